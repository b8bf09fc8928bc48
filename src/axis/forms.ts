// The rule of forms: in which form a carrier along time is computed where nobody says so. The rule is measured.
import { broken, type Carrier, type Form } from './carrier.js'

/**
 * The number of steps from which the parallel form is not slower than the recurrent one, by carrier, as
 * `taskset -c 0 node build/ts/bench/ours/axis-forms.js` prints it: one thread, the geometric mean over 1 and 16 rows, widths 64 and 256, use and
 * training, at T = 1, 2, 4, 8, 16, 64, 256.
 */
export const CROSSOVERS: Readonly<Record<string, number>> = {
  minGRU: 1,
  minLSTM: 1,
  ssm: 2,
  ema: 2,
}

/** What is not in the table, be it a carrier of one's own or one that was not measured yet: one step is the recurrent form itself, more are the parallel one. */
const UNMEASURED = 2

/** The form asked for, or by the table. */
export function formOf(carrier: Carrier, steps: number, asked: Form | 'auto'): Form {
  if (asked === 'auto')
    return steps >= (CROSSOVERS[carrier.name] ?? UNMEASURED) ? (carrier.parallelForm ?? 'recurrent') : 'recurrent'
  if (asked !== 'recurrent' && asked !== carrier.parallelForm) {
    const got = carrier.parallelForm ?? 'no parallel form'
    throw broken(carrier, `the form ‘${asked}’ is asked for, but it has ${got}`, { expected: asked, got })
  }
  return asked
}
