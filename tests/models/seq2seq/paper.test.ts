// The system of 2014: its size, counted without making it, its start, and its training schedule and clipping, by the numbers of the paper.
import { data, grad, manualSeed, models, optim, text, train } from 'quarterturn'
import { expect, it } from 'vitest'
import { letters, sounds } from './variants.js'

it('has 384 million parameters, 64 million of them recurrent, and 8,000 reals for a sentence', () => {
  const sizes = models.EncoderDecoder.sizes({ ...models.paper2014, source: 160_000, target: 80_000 })
  expect(sizes).toEqual({
    parameters: 384_000_000,
    sourceEmbedding: 160_000_000,
    targetEmbedding: 80_000_000,
    encoder: 32_000_000,
    decoder: 32_000_000,
    between: 0,
    head: 80_000_000,
    sentenceVector: 8000,
  })
})

it('starts uniform within ±0.08, without biases, reading the source from its end', async () => {
  // Its width and depth over vocabularies of a few letters: 64 million recurrent parameters are made, and let go.
  const model = new models.EncoderDecoder({ ...models.paper2014, width: 40, source: letters, target: sounds })
  expect([...model.namedParameters().keys()].filter((key) => key.includes('bias'))).toEqual([])
  expect(model.config).toMatchObject({ numLayers: 4, reversed: true, attention: 'none' })
  for (const parameter of model.parameters()) {
    expect(await parameter.abs().amax().item()).toBeLessThanOrEqual(0.08)
    if (parameter.size > 1000) {
      expect(await parameter.amax().item()).toBeGreaterThan(0.079)
      expect(Math.abs((await parameter.mean().item()) as number)).toBeLessThan(
        (0.08 / Math.sqrt(3 * parameter.size)) * 5,
      )
    }
  }
})

it('the preset is that system', () => {
  const model = models.EncoderDecoder.paper({ source: letters, target: sounds })
  expect(model.config).toMatchObject({
    width: 1000,
    numLayers: 4,
    bias: false,
    reversed: true,
    cell: 'lstm',
    tied: false,
  })
  expect(model.parameters().reduce((sum, { size }) => sum + size, 0)).toBe(64_000_000 + 3 * 6 * 1000)
  for (const parameter of model.parameters()) parameter.dispose()
})

it('halves the rate every half epoch after five', () => {
  const rate = optim.schedules.halvings(0.7, { epoch: 100 })
  const at = (epochs: number) => rate(Math.round(epochs * 100))
  expect([0, 1, 4.99].map(at)).toEqual([0.7, 0.7, 0.7])
  expect([5, 5.49, 5.5, 6, 6.5, 7, 7.49].map(at)).toEqual([2, 2, 4, 8, 16, 32, 32].map((by) => 0.7 / by))
  for (const options of [{ epoch: 0 }, { epoch: 1.5 }, { epoch: 10, every: 0 }, { epoch: 10, after: -1 }])
    expect(() => optim.schedules.halvings(0.7, options)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
})

const pairs = Array.from({ length: 12 }, (_, i) => ({
  source: [...'abcd'].slice(0, 1 + (i % 4)),
  target: [...'ABC'].slice(0, i % 3),
}))

it('its recipe changes nothing after 7.5 epochs', async () => {
  const after = async (epochs: number, more: object) => {
    manualSeed(1)
    const model = new models.EncoderDecoder({ source: letters, target: sounds, width: 8 })
    const loader = model.loader(pairs, { batch: 3, seed: 1 })
    const { callbacks, ...recipe } = models.recipe2014(loader, { epochs })
    await train.fit(model, loader, { ...recipe, ...more, progress: false })
    return model.head.weight.toArray()
  }
  expect(await after(7.5, {})).toEqual(await after(7.5, { epochs: 12 }))
  expect(await after(7.5, {})).not.toEqual(await after(8, {}))
  expect(await after(7.5, {})).not.toEqual(await after(7, {}))
})

it('a step of the recipe is 0.7 times the gradient of the loss per sentence, scaled to a norm of 5 where it is longer', async () => {
  manualSeed(1)
  const make = () => new models.EncoderDecoder({ source: letters, target: sounds, width: 8, initRange: 3 })
  const [model, other] = [make(), make()]
  other.loadStateDict(model.stateDict())
  const loader = model.loader(pairs.slice(0, 3), { batch: 3, shuffle: false })
  const { callbacks, ...recipe } = models.recipe2014(loader)
  let norm = 0
  for await (const batch of other.loader(pairs.slice(0, 3), { batch: 3, shuffle: false })) {
    const gradients = grad(other.loss(batch, { per: 'sentence' }), other.parameters())
    norm = Number(await gradients.norm().item())
    const step = gradients.clipByNorm(5)
    for (const parameter of other.parameters()) parameter.assign(parameter.sub(step.get(parameter).mul(0.7)))
  }
  expect(norm).toBeGreaterThan(5)
  await train.fit(model, loader, { ...recipe, epochs: 1, progress: false })
  const expected = other.stateDict()
  for (const [key, value] of model.stateDict())
    expect(await value.sub(expected.get(key)!).abs().amax().item()).toBeLessThan(1e-5)
})

it('the recipe takes a loader', () => {
  expect(models.recipe2014(new data.Loader({ x: [1, 2, 3] }, { batch: 2 })).epochs).toBe(8)
  expect(() => models.recipe2014(undefined as never)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  expect(() => models.recipe2014({ length: 3 }, { epochs: 0 })).toThrow(
    expect.objectContaining({ code: 'ERR_ARGUMENT' }),
  )
  expect(text.EOS_ID).toBe(1)
})
