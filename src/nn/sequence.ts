// What recurrences as functions share: lengths and direction, and the form of their results.
import { OutOfRangeError } from '../errors.js'
import { tensor } from '../tensor/create.js'
import type { Result } from '../tensor/record.js'
import { Tensor } from '../tensor/tensor.js'

export interface HiddenState {
  h: Tensor
}

/** The number of steps of each row: int64 [B], or an array of B whole numbers. */
export type Lengths = Tensor | readonly number[]

export interface ScanOptions {
  /** From the last step to the first. @default false */
  reverse?: boolean
  /**
   * The number of steps of each row, 0 … T. The first `length` steps of a row count; the later ones give output 0 and touch neither state nor
   * gradient, whatever lies there. A reversed pass starts at the row's own last step. As with torch's packed sequences. Default: all steps.
   */
  lengths?: Lengths | undefined
}

/**
 * The lengths as a tensor beside x [B, T, …].
 *
 * @throws OutOfRangeError (`ERR_RANGE`) for a number of an array outside 0 … T; those of a tensor are checked while running.
 */
export function lengthsTensor(lengths: Lengths | undefined, x: Tensor, op: string): Tensor | undefined {
  if (lengths === undefined || lengths instanceof Tensor) return lengths
  const most = x.shape[1] ?? 0
  const wrong = lengths.find((length) => !Number.isInteger(length) || length < 0 || length > most)
  if (wrong !== undefined) {
    const expected = `whole numbers within 0 … T=${most}`
    throw new OutOfRangeError(`${op}: lengths must be ${expected}, got ${String(wrong)}`, {
      op,
      expected,
      got: String(wrong),
    })
  }
  return tensor([...lengths], { dtype: 'int64', device: x.device })
}

/** The results of a recurrence that has no state but h. */
export function outputAndState(results: readonly Result[]): { output: Tensor; state: HiddenState } {
  const [output, h] = results.map((result) => new Tensor(result))
  return { output: output as Tensor, state: { h: h as Tensor } }
}
