// The second lane: what is recorded here runs as a unit between two operations of training.
import { inScope } from './lifetime.js'
import { into, isRecording, newSink, submitUnit } from './queue.js'
import { withGrad } from './record.js'
import { synchronous } from './scope.js'
import { tensorsIn } from './tree.js'

/**
 * Runs a synchronous function without gradients, ahead of the queue: its operations see the weights of that moment, never half an update.
 * Its results are read ahead of the queue too. Its temporaries are freed.
 */
export function ahead<T>(fn: () => T): T {
  const run = (): T => inScope(() => withGrad(false, () => synchronous(fn, 'predict')), tensorsIn)
  if (isRecording()) return run()
  const unit = newSink('unit')
  const result = into(unit, run)
  submitUnit(unit)
  return result
}
