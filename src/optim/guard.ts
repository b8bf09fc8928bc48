// All or nothing over several operations: a step whose parameters are in several groups or cohorts changes all of them or none.

import { zeros } from '../tensor/create.js'
import { record } from '../tensor/record.js'
import { call, type Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { type Cohort, state } from './cohort.js'

export type NotFinite = 'ignore' | 'error' | 'skip'

let checks: Variable | undefined

/**
 * A scalar that depends on every gradient of the step: 0 where all are fine, NaN where one is not finite (unless that is to be ignored), marked
 * by an error where one is. Each operation of the step gets it as the gradient of a scalar of its own, and so fails or is skipped with the others.
 * For `'error'` one more operation, over these scalars alone, makes the error; the others then skip.
 *
 * Norms are taken in the dtype of the gradients: finite ones beyond 10¹⁹ in float32 count as not finite here.
 */
export function verdict(
  parts: readonly { cohort: Cohort; gradients: readonly Tensor[] }[],
  notFinite: NotFinite,
): Tensor {
  const each = parts.map(({ gradients }) => {
    const looked = notFinite === 'ignore' ? gradients.map(nothingOf) : gradients
    return call('foreachNorm', looked, {}).mul(0).to('float32', 'cpu')
  })
  if (notFinite === 'error') {
    checks ??= state(zeros([]), 'a count of checks')
    const witnesses = parts.map(({ cohort }) => cohort.witness(0)[0] as Variable)
    const rate = { n: parts.length, policy: 1, base: 0, rates: [0], masters: false }
    record('sgd', [checks, ...witnesses, ...each], {
      ...rate,
      momentum: 0,
      dampening: 0,
      weightDecay: 0,
      nesterov: false,
    })
  }
  return each.reduce((sum, one) => sum.add(one))
}

/** No elements, but the same history of errors. */
function nothingOf(gradient: Tensor): Tensor {
  return gradient.reshape([-1]).slice(0, 0, 0)
}
