// The encoder-decoder with both attentions against the same model in PyTorch: logits, loss, every gradient and the weights of attention, sources padded.
import { fileURLToPath } from 'node:url'
import { grad, loadCheckpointFile, models, type Tensor, text } from 'quarterturn'
import { beforeAll, describe, expect, test } from 'vitest'
import { expectClose } from '../tolerances.js'
import { numbersOf } from './checkOp.js'

let file: Map<string, Tensor>
beforeAll(async () => {
  const path = fileURLToPath(new URL('fixtures/seq2seq.safetensors', import.meta.url))
  const { tensors, metadata } = await loadCheckpointFile(path)
  expect((JSON.parse(metadata.made as string) as { torch: string }).torch).toMatch(/^2\.11\.0\b/)
  file = tensors
})

const part = (name: string): Map<string, Tensor> =>
  new Map(
    [...file].flatMap(([key, x]) => (key.startsWith(`${name}/`) ? [[key.slice(name.length + 1), x] as const] : [])),
  )
const fixture = (name: string): Tensor => file.get(name) as Tensor
/** The Model of seq2seq.py. */
const vocabularies = { source: new text.Vocabulary([...'abcdefg']), target: new text.Vocabulary([...'uvwxyz']) }
const sizes = { ...vocabularies, width: 6, numLayers: 2 }

// On the CPU: elsewhere padding is read before the source, and is not nothing.
describe('on cpu', () => {
  describe.each(['float64', 'float32'] as const)('%s', (dtype) => {
    const loaded = (attention: 'additive' | 'multiplicative'): models.EncoderDecoder =>
      new models.EncoderDecoder({ ...sizes, attention })
        .to(dtype)
        .loadStateDict(new Map([...part(`${attention}/state`)].map(([key, x]) => [key, x.to(dtype)])))

    test.each(['additive', 'multiplicative'] as const)(
      '%s attention: logits, loss, every gradient',
      async (attention) => {
        const model = loaded(attention)
        const batch = { source: fixture('source'), target: fixture('target') }
        const logits = model.forward(batch.source, batch.target)
        const expected = fixture(`${attention}/output/logits`)
        expect(logits.shape).toEqual(expected.shape)
        expectClose(await numbersOf(logits), await numbersOf(expected), dtype, 'logits')
        const loss = model.loss(batch)
        expectClose([await loss.item()], await numbersOf(fixture(`${attention}/output/loss`)), dtype, 'loss')
        const named = model.namedParameters()
        const gradients = grad(loss, [...named.values()])
        const theirs = part(`${attention}/gradient`)
        expect([...named.keys()].sort()).toEqual([...theirs.keys()].sort())
        for (const [name, parameter] of named)
          expectClose(await numbersOf(gradients.get(parameter)), await numbersOf(theirs.get(name)!), dtype, name)
      },
    )

    test.each(['additive', 'multiplicative'] as const)('%s attention: its weights, step by step', async (attention) => {
      const weights = (await fixture(`${attention}/output/weights`).toArray()) as number[][][]
      const [ids, written] = (await Promise.all([fixture('source').toArray(), fixture('target').toArray()])) as [
        number[][],
        number[][],
      ]
      const sources = ids.map((row) => vocabularies.source.decode(row))
      const prefix = written.map((row) => vocabularies.target.decode(row))
      const found = await loaded(attention).decode(sources, { prefix, attention: true, maxLength: 5 })
      for (const [row, [best]] of found.entries())
        for (const [t] of prefix[row]!.entries()) {
          const length = sources[row]!.length
          // A source is read from its end: so stand torch's weights.
          const theirs = weights[row]![t]!.slice(0, length).reverse()
          expectClose(best!.attention![t]!, theirs, 'float32', `weights of symbol ${t} of row ${row}`)
        }
    })
  })
})
