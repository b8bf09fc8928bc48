// The sequential bottleneck: how many steps must follow one another, whatever the hardware.
import { whole } from '../../tensor/shape.js'
import { formOf } from '../sequence.js'
import type { Stack } from '../stack.js'

export interface SerialSteps {
  /** Layer after layer. */
  layerByLayer: number
  /** The longest chain of cells that read one another: what a wavefront over anti-diagonals needs where time is recurrent. */
  criticalPath: number
}

/**
 * Serial steps of one forward pass over T time steps and L layers: recurrent T·L, or T + L − 1 on the critical path; by a scan L·⌈log₂ T⌉; L where
 * all steps are one product. Symmetric in T and L where both axes are recurrences: the rotation again.
 */
export function serialSteps(stack: Stack, steps: number): SerialSteps {
  const T = whole(steps, 'steps', 'axis.serialSteps', 1)
  const L = stack.layers
  const form = formOf(stack.alongTime, T, stack.form)
  if (form === 'recurrent') return { layerByLayer: T * L, criticalPath: T + L - 1 }
  const inTime = form === 'scan' ? Math.max(1, Math.ceil(Math.log2(T))) : 1
  return { layerByLayer: L * inTime, criticalPath: L * inTime }
}
