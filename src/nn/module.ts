// Module: the base of every layer and model. It finds its parameters, saves and loads them, moves, and describes itself.

import { inspect } from 'node:util'
import { ArgumentError } from '../errors.js'
import { type Device, type DeviceLike, device } from '../tensor/device.js'
import { checkDType, type DType, type FloatDType, isDType, isFloat } from '../tensor/dtype.js'
import { needOptions } from '../tensor/options.js'
import { noGrad } from '../tensor/scope.js'
import type { StateDict } from '../tensor/state-dict.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { Buffer } from './buffer.js'
import { findMembers, type Members } from './members.js'
import { loadState } from './state.js'
import { type SummaryInput, summarize } from './summary.js'

/**
 * The base class of layers and models. Modules and Variables in its fields, in arrays, Maps and plain objects are found when asked for; their
 * keys are the paths: `layers.0.weight`. A Variable or module that is found at two places counts once, at the first.
 *
 * Differs from torch: no registration (`ModuleList` is an array, `ModuleDict` an object or a Map); the forward function is called by name;
 * `stateDict` is a snapshot; private `#fields` are not found.
 *
 * @example
 * class Tagger extends nn.Module {
 *   embed = new nn.Embedding(5_000, 128)
 *   rnn = new nn.LSTM(128, 256)
 *   head = new nn.Linear(256, 17)
 *   forward(words: Tensor): Tensor {
 *     return this.head.forward(this.rnn.forward(this.embed.forward(words)).output)
 *   }
 * }
 * const tagger = new Tagger()
 * tagger.forward(zeros([32, 40], { dtype: 'int64' })).shape   // [32, 40, 17]
 */
export abstract class Module {
  /** Whether layers that differ between training and use (Dropout, BatchNorm) are in training mode; `train` and `eval` set it. */
  training = true

  /** Computes the module's output. */
  abstract forward(...inputs: never[]): unknown

  /** Its own entries, searched for parameters and modules. A layer whose state dict keys are not its field names overrides it. */
  protected members(): Iterable<readonly [key: string, value: unknown]> {
    return Object.entries(this)
  }

  #find(): Members {
    const found = findMembers(this, (value) => (value instanceof Module ? value.members() : undefined))
    for (const [path, variable] of found.variables) {
      // A path from further out replaces one from further in; a name that the user gave stays.
      if (path !== variable.name && (variable.name === '' || path.endsWith(`.${variable.name}`))) variable.name = path
    }
    return found
  }

  /** Sets the mode of this module and all in it. */
  train(mode = true): this {
    for (const module of this.modules()) module.training = mode
    return this
  }

  /** Leaves training mode: dropout does nothing, batch norm uses its running statistics. */
  eval(): this {
    return this.train(false)
  }

  /** The trained Variables (all but Buffers), each once, in the order of the fields. Frozen ones are among them. */
  parameters(): Variable[] {
    return [...this.namedParameters().values()]
  }

  /** The parameters by path. Naming them also makes the path their `name` in error messages. */
  namedParameters(): Map<string, Variable> {
    return new Map([...this.#find().variables].filter(([, variable]) => !(variable instanceof Buffer)))
  }

  /** The Buffers by path: state that is saved and not trained. */
  namedBuffers(): Map<string, Variable> {
    return new Map([...this.#find().variables].filter(([, variable]) => variable instanceof Buffer))
  }

  /** This module and all within it, each once. */
  modules(): Module[] {
    return [...this.#find().modules.values()]
  }

  /** The same by path; its own is ''. */
  namedModules(): Map<string, Module> {
    return this.#find().modules
  }

  /** Copies of all parameters and buffers as they are at this place of the order, by path; later training does not change them. */
  stateDict(): Map<string, Tensor> {
    return noGrad(() => new Map([...this.#find().variables].map(([path, variable]) => [path, variable.clone()])))
  }

  /**
   * Overwrites parameters and buffers in place. Everything is checked first; if anything does not fit, nothing is changed.
   * A parameter used at two places may be under either of its paths.
   *
   * @param options `strict: false` passes over keys that are missing or unexpected; shapes and dtypes are checked all the same.
   * @throws CheckpointError (`ERR_CHECKPOINT`) that lists all missing and unexpected keys, wrong shapes and dtypes.
   */
  loadStateDict(dict: StateDict, options: { strict?: boolean } = {}): this {
    const { strict = true } = needOptions(options, 'Module.loadStateDict')
    loadState(this.#find(), dict, strict)
    return this
  }

  /**
   * Moves all parameters and buffers to a device, or converts those of float dtype to another float dtype. In place: they stay the same
   * Variables, so an optimizer that was made before goes on.
   *
   * @throws DeviceError, DTypeError; ArgumentError for a dtype that is not a float dtype.
   */
  to(target: DeviceLike | FloatDType): this {
    const dtype = isDType(target)
      ? target
      : String(target).startsWith('float')
        ? checkDType(target, 'Module.to')
        : undefined
    if (dtype !== undefined && !isFloat(dtype)) {
      throw new ArgumentError(`Module.to: parameters need a float dtype, got ${dtype}`, {
        op: 'Module.to',
        expected: 'a float dtype',
        got: dtype,
      })
    }
    const place = dtype === undefined ? device(target as DeviceLike, 'Module.to') : undefined
    const changes = [...this.#find().variables.values()].map((variable) => {
      const to = place ?? variable.device
      return {
        variable,
        to,
        as: checkDType(dtype !== undefined && isFloat(variable.dtype) ? dtype : variable.dtype, 'Module.to', to),
      }
    })
    for (const { variable, to, as } of changes) variable.convert(as, to)
    return this
  }

  /** Where the first parameter (or buffer) is; the CPU if there is none. */
  get device(): Device {
    return this.#first()?.device ?? 'cpu'
  }

  #first(): Variable | undefined {
    return this.#find().variables.values().next().value
  }

  /**
   * A table: layer · output shape · parameters · bytes. Runs `forward` once in eval mode without gradients, with zeros of the given shapes:
   * of the parameters' dtype, or int64 where the model refuses that. Other inputs are given as tensors or `{ shape, dtype }`.
   *
   * @example
   * console.log(new nn.Sequential(new nn.Linear(8, 16), new nn.ReLU(), new nn.Linear(16, 2)).summary([4, 8]))
   */
  summary(...inputs: SummaryInput[]): string {
    const dtype =
      [...this.#find().variables.values()].find((variable) => isFloat(variable.dtype))?.dtype ??
      ('float32' satisfies DType)
    return summarize(this, this.#find(), inputs, { dtype, device: this.device })
  }

  /** What a console shows: the modules as a tree. */
  toString(): string {
    const lines = [...this.#find().modules].map(([path, module]) => {
      const depth = path === '' ? 0 : path.split('.').length
      return `${'  '.repeat(depth)}${path === '' ? '' : `${path.slice(path.lastIndexOf('.') + 1)}: `}${module.constructor.name}`
    })
    return lines.join('\n')
  }

  [inspect.custom](): string {
    return this.toString()
  }
}
