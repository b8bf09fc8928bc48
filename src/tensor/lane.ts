// The second lane: what is recorded here runs as a unit between two operations of training.
import { full } from './create.js'
import { inScope, unscope } from './lifetime.js'
import { into, isRecording, newSink, submitUnit } from './queue.js'
import { withGrad } from './record.js'
import { synchronous } from './scope.js'
import type { Tensor } from './tensor.js'
import { tensorsIn } from './tree.js'
import { takeAssigned } from './variable.js'

/** A value that exists once every `assign` recorded so far is done. */
let assigned: Tensor | undefined

/**
 * Runs a synchronous function without gradients, ahead of the queue: its operations see the weights of that moment, never half an update.
 * It overtakes computations and optimizer steps, but no `assign`: what was loaded into a model before is there.
 * Its results are read ahead of the queue too. Its temporaries are freed.
 */
export function ahead<T>(fn: () => T): T {
  const run = (): T => withGrad(false, () => synchronous(fn, 'predict'))
  if (isRecording()) return inScope(run, tensorsIn)
  if (takeAssigned()) {
    assigned?.dispose()
    assigned = full([], 0)
    unscope(assigned)
  }
  const unit = newSink('unit')
  const result = into(unit, () =>
    inScope(() => {
      assigned?.detach() // the unit waits for whatever it uses
      return run()
    }, tensorsIn),
  )
  submitUnit(unit)
  return result
}
