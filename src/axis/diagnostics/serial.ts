// The sequential bottleneck: how many steps must follow one another, whatever the hardware.
import { whole } from '../../tensor/shape.js'
import { describe } from '../describe.js'
import { needStack } from '../need.js'
import type { Stack } from '../stack.js'

export interface SerialSteps {
  /** Layer after layer. */
  layerByLayer: number
  /** The longest chain of cells that wait for one another: what a wavefront over anti-diagonals needs where time is recurrent. */
  criticalPath: number
}

/**
 * Serial steps of one forward pass over T steps and L layers. The critical path is that of `describe`: T + L − 1 where time is recurrent, symmetric in
 * T and L (the rotation again); layer by layer the same net takes T·L.
 */
export function serialSteps(stack: Stack, steps: number): SerialSteps {
  needStack(stack, 'axis.serialSteps')
  const T = whole(steps, 'steps', 'axis.serialSteps', 1)
  const { form, serialSteps: criticalPath } = describe(stack, { steps: T })
  return { layerByLayer: form === 'recurrent' ? T * stack.layers : criticalPath, criticalPath }
}
