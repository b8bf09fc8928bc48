// Our side of train/g2p and train/g2p-time: the model of examples/g2p on its own batches, which are also written to a file for the opponent.
import { writeFileSync } from 'node:fs'
import { grad, models, optim, type Tensor, tensor } from 'quarterturn'
import { readDictionary } from '../../examples/g2p/dictionary.js'
import { g2p, pairs, vocabularies } from '../../examples/g2p/g2p.js'
import { options, serve, spread } from './common.js'

/** Batches of one epoch are plenty for timing. */
const BATCHES = 600

const given = options() as unknown as { batches?: string; seed?: number; lr: number; betas: [number, number]; weightDecay: number; clip: number }

/** Phoneme error on the test words in %, greedily, after the training of the main job, without its limit of time. */
async function phonemeError(): Promise<number> {
  const { greedy } = await g2p({ seed: given.seed ?? 1, minutes: 60, beam: 2, progress: false })
  return 100 * greedy.symbols
}

interface Batch {
  source: number[][]
  target: number[][]
}

async function makeBatches(model: models.EncoderDecoder): Promise<Batch[]> {
  const batches: Batch[] = []
  for await (const { source, target } of model.loader(pairs(readDictionary().training), { batch: 128, seed: 1 })) {
    batches.push({ source: (await source.toArray()) as number[][], target: (await target.toArray()) as number[][] })
    if (batches.length === BATCHES) break
  }
  return batches
}

async function trainingStep(file: string): Promise<() => Promise<number>> {
  const model = new models.EncoderDecoder(vocabularies(readDictionary().training))
  const parameters = model.parameters()
  for (const [k, parameter] of parameters.entries()) parameter.assign(spread(parameter.shape, 1000 * k, 0.08))
  const optimizer = new optim.AdamW(parameters, { lr: given.lr, betas: given.betas, weightDecay: given.weightDecay })
  const made = await makeBatches(model)
  writeFileSync(file, JSON.stringify({ batches: made, letters: model.source.size, phonemes: model.target.size }))
  const int64 = (rows: number[][]): Tensor => tensor(rows, { dtype: 'int64' })
  const batches = made.map(({ source, target }) => ({ source: int64(source), target: int64(target) }))
  let count = 0
  return async () => {
    const loss = model.loss(batches[count++ % batches.length] as models.PairBatch)
    optimizer.step(grad(loss, parameters).clipByNorm(given.clip))
    return await loss.item()
  }
}

if (given.batches === undefined) await serve({ about: 'quarterturn', measure: phonemeError })
else await serve({ about: 'quarterturn, AdamW, float32', step: await trainingStep(given.batches) })
