// Our side of residual/resnet18-infer: the model of bench/opponents/resnet18.py.
import { models, noGrad, scope } from 'quarterturn'
import { options, serve, spread } from './common.js'

const { batch } = options() as unknown as { batch: number }
// The opponent's images are not normalised.
const moments = { mean: [0, 0, 0], deviation: [1, 1, 1] }
const trained = new models.ResNet({ labels: Array.from({ length: 1000 }, (_, i) => `${i}`), depth: 18, moments })
for (const [k, parameter] of trained.parameters().entries())
  if (parameter.rank > 1) {
    const fanIn = parameter.size / (parameter.shape[0] as number)
    parameter.assign(spread(parameter.shape, 1000 * k, Math.sqrt(3 / fanIn)))
  }
trained.fc.bias?.assign(spread([1000], 0, 0))
const model = trained.folded()
const x = spread([batch, 3, 224, 224], 7, 1)

await serve({
  step: async () => (await noGrad(() => scope(() => model.forward(x).square().mean())).item()) as number,
})
