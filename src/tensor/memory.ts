// What is held, and how to give it back.
import { native } from '../native.js'
import { memoryCount, resetPeak } from './lifetime.js'

export interface Memory {
  /** Live tensors of this thread. */
  tensors: number
  /** Bytes of their elements; a view has none of its own. */
  bytes: number
  /** The most there were at once since the start or `memory.resetPeak()`. */
  peakBytes: number
  /** Values that the engine holds for all threads, and operations that wait. */
  slots: number
  queued: number
}

/** The tensors alive now. What the engine keeps for gradients is not among them. */
export function memory(): Memory {
  const { slots, queued } = native().statistics()
  return { ...memoryCount(), slots, queued }
}

memory.resetPeak = resetPeak
/** Returns memory that libtorch no longer uses, and keeps for speed, to the system. */
memory.trim = (): void => native().trim()
