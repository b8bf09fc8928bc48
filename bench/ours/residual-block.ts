// Our side of residual/block-train: the block of bench/opponents/residual_block.py.
import { grad, models, scope, type Tensor, Variable } from 'quarterturn'
import { options, serve, spread } from './common.js'

const [N, C, SIZE] = [32, 16, 32]

options()
const net = new models.ResNet({ labels: ['a', 'b'], depth: 8, channels: C, width: C })
const block = (net.blocks[0] as models.Block).train()
const parameters = block.parameters()
for (const [k, parameter] of parameters.entries())
  if (parameter.rank > 1) parameter.assign(spread(parameter.shape, 1000 * k, 0.2))
// Channels side by side in memory, as a leaf: permuted on the way in, which costs nothing.
const x = new Variable(spread([N, SIZE, SIZE, C], 1, 1))
const cotangent = spread([N, SIZE, SIZE, C], 2, 1).permute([0, 3, 1, 2])

function queueStep(): Tensor {
  const loss = block
    .forward(x.permute([0, 3, 1, 2]))
    .mul(cotangent)
    .sum()
  const gradients = grad(loss, [x, ...parameters])
  return loss.add(gradients.get(x).sum())
}

await serve({ step: async () => (await scope(queueStep).item()) as number })
