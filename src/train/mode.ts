// Train or eval mode for the length of a synchronous call, whatever the model's own mode is.
import type { Module } from '../nn/index.js'

/**
 * Remembers which mode `train()` and `eval()` give each module (a model may keep a part in eval mode by overriding them), so that a call can be run
 * in that mode and leave no trace.
 */
export class Mode {
  readonly #modules: Module[]
  readonly #train: boolean[]
  readonly #eval: boolean[]

  constructor(model: Module) {
    this.#modules = [...new Set([model, ...model.modules()])]
    const own = this.#flags()
    try {
      model.train()
      this.#train = this.#flags()
      model.eval()
      this.#eval = this.#flags()
    } finally {
      this.#set(own)
    }
  }

  /** Runs a synchronous function with the model in train or eval mode. */
  run<T>(training: boolean, fn: () => T): T {
    const own = this.#flags()
    this.#set(training ? this.#train : this.#eval)
    try {
      return fn()
    } finally {
      this.#set(own)
    }
  }

  #flags(): boolean[] {
    return this.#modules.map((module) => module.training)
  }

  #set(flags: readonly boolean[]): void {
    for (let i = 0; i < flags.length; i++) (this.#modules[i] as Module).training = flags[i] as boolean
  }
}
