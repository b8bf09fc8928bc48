// How many threads one operation may use.
import { native } from '../native.js'
import { record } from './record.js'
import { whole } from './shape.js'

/** Sets the number of threads within one operation, from this place in the order on. Results of reductions may differ in the last bits. */
export function setThreads(count: number): void {
  record('threads', [], { count: whole(count, 'count', 'setThreads', 1, 1024) })
}

/** The number of threads that the engine uses now. */
export function threads(): number {
  return native().info().threads
}
