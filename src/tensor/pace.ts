// Back pressure for loops over batches: JavaScript prepares a step or two ahead of the engine, and no more.
import { breathe, request, throwPending } from './queue.js'

/** Lets a loop run at most `ahead` turns in front of the engine. */
export class Pace {
  readonly #ahead: number
  #marks: Promise<unknown>[] = []

  constructor(ahead = 2) {
    this.#ahead = ahead
  }

  /**
   * Ends a turn: waits until the engine has done all but the last `ahead` − 1 of them, and lets finalizers run.
   *
   * @throws the first error that nobody has awaited.
   */
  async turn(): Promise<void> {
    this.#marks.push(request('mark', [], []))
    if (this.#marks.length >= this.#ahead) await this.#marks.shift()
    await breathe()
    throwPending()
  }
}
