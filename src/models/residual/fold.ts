// Batch norm folded into the convolution before it.
import type * as nn from '../../nn/index.js'
import { noGrad, scope, type Tensor } from '../../tensor/index.js'
import type { ResNet } from './resnet.js'

/** The state dict of `copy`, a folded model, from a model with norms: computed in float64. */
export function foldedState(model: ResNet, copy: ResNet): Map<string, Tensor> {
  const { order } = model.config
  const before = order === 'preactivation'
  const pairs: [path: string, conv: nn.Conv2d, norm: nn.BatchNorm2d | undefined][] = []
  pairs.push(['conv1', model.conv1, before ? undefined : model.bn1])
  for (const [s, stage] of model.stages.entries())
    for (const [i, block] of stage.entries()) {
      const path = `layer${s + 1}.${i}`
      const { conv1, conv2, conv3, bn1, bn2, bn3, downsample } = block
      const norms = before ? [bn2, conv3 === undefined ? undefined : bn3, undefined] : [bn1, bn2, bn3]
      for (const [k, conv] of [conv1, conv2, conv3].entries())
        if (conv !== undefined) pairs.push([`${path}.conv${k + 1}`, conv, norms[k]])
      if (downsample !== undefined)
        pairs.push([`${path}.downsample.0`, downsample[0] as nn.Conv2d, downsample[1] as nn.BatchNorm2d | undefined])
    }
  return noGrad(() =>
    scope(() => {
      const state = new Map<string, Tensor>()
      for (const [path, conv, norm] of pairs) {
        const { weight, bias } = norm === undefined ? { weight: conv.weight, bias: undefined } : fold(conv, norm)
        state.set(`${path}.weight`, weight)
        if (bias !== undefined) state.set(`${path}.bias`, bias)
      }
      // What no convolution precedes: norms before activation, gates, and the map at the end.
      const own = model.stateDict()
      for (const key of copy.stateDict().keys()) if (!state.has(key)) state.set(key, own.get(key) as Tensor)
      return state
    }),
  )
}

function fold(conv: nn.Conv2d, norm: nn.BatchNorm2d): { weight: Tensor; bias: Tensor } {
  const { dtype } = conv.weight
  const wide = (x: Tensor | undefined): Tensor => (x as Tensor).to('float64')
  const factor = wide(norm.weight).div(wide(norm.runningVar).add(norm.eps).sqrt())
  const weight = wide(conv.weight).mul(factor.reshape([-1, 1, 1, 1]))
  const bias = wide(norm.bias).sub(wide(norm.runningMean).mul(factor))
  return { weight: weight.to(dtype), bias: bias.to(dtype) }
}
