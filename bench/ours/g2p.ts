// Our side of train/g2p (`part` "error": the whole of examples/g2p, with a seed), of seq2seq/g2p (`part` "words": its longer run) and of train/g2p-time (`part` "step": its training step,
// on batches that are written to a file for the other side).
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { grad, models, optim, scope, type Tensor } from 'quarterturn'
import { readDictionary } from '../../examples/g2p/dictionary.js'
import { g2p, LONGER, pairs, vocabularies } from '../../examples/g2p/g2p.js'
import { options, serve, spread } from './common.js'

const EPOCHS = 4
const BATCH = 128
const KEPT = 320

interface Given {
  part: 'error' | 'words' | 'step'
  seed: number
  batches: string
  clip: number
  lr: number
  betas: [number, number]
  weightDecay: number
}

const given = options() as unknown as Given

async function serveError(): Promise<void> {
  const measure = async () => {
    const result = await g2p({ seed: given.seed, minutes: 1e6, progress: false })
    return 100 * result.greedy.symbols
  }
  await serve({ measure })
}

/** The time that there is for it: the learning rate comes down within that on any machine. */
const MINUTES = 60

async function serveWords(): Promise<void> {
  const measure = async () => {
    const result = await g2p({ ...LONGER, seed: given.seed, minutes: MINUTES, progress: false })
    return 100 * result.beam.sequences
  }
  await serve({ measure })
}

async function serveStep(): Promise<void> {
  const words = readDictionary()
  const model = new models.EncoderDecoder(vocabularies(words.training))
  const parameters = model.parameters()
  for (const [k, parameter] of parameters.entries()) parameter.assign(spread(parameter.shape, 1000 * k, 0.08))
  const optimizer = new optim.AdamW(parameters, { lr: given.lr, betas: given.betas, weightDecay: given.weightDecay })

  const loader = model.loader(pairs(words.training), { batch: BATCH, seed: 1 })
  const batches: { source: Tensor; target: Tensor }[] = []
  for await (const { source, target } of loader) {
    batches.push({ source, target })
    if (batches.length === KEPT) break
  }
  const arrays = await Promise.all(
    batches.map(async ({ source, target }) => ({ source: await source.toArray(), target: await target.toArray() })),
  )
  mkdirSync(dirname(given.batches), { recursive: true })
  writeFileSync(
    given.batches,
    JSON.stringify({ letters: model.source.size, phonemes: model.target.size, batches: arrays }),
  )

  let count = 0
  const step = async () => {
    // A scope per step, as `fit` has: nothing is left to the collector, which would mark the whole dictionary every other step.
    const loss = scope(() => {
      const loss = model.loss(batches[count++ % KEPT] as (typeof batches)[number])
      optimizer.step(grad(loss, parameters).clipByNorm(given.clip))
      return loss
    })
    const value = (await loss.item()) as number
    loss.dispose()
    return value
  }
  // The figure: how many steps the whole training has.
  await serve({ step, measure: async () => EPOCHS * loader.length })
}

const parts = { error: serveError, words: serveWords, step: serveStep }
await parts[given.part]()
