// engine/serve-while-training: 95th percentile of the time of a 20-token greedy decode while a model with steps of half a second trains, in steps.
import { setTimeout as sleep } from 'node:timers/promises'
import { models, text } from 'quarterturn'
import { options, quantile, serve } from './common.js'
import { slowTraining } from './slow-training.js'

const TOKENS = 20
const REQUESTS = 60
const MEAN_PAUSE_MS = 200

options()
const training = await slowTraining()
const letters = [...'abcdefghijklmnopqrstuvwxyz']
const model = new models.EncoderDecoder({
  source: text.Vocabulary.of([letters]),
  target: text.Vocabulary.of([letters]),
})
const word = letters.slice(0, 9)
await model.decode([word], { maxLength: TOKENS })

async function measure(): Promise<number> {
  const times: number[] = []
  await training.during(async () => {
    await sleep(3 * training.stepMs) // training is under way
    for (let i = 0; i < REQUESTS; i++) {
      const begin = performance.now()
      await model.decode([word], { maxLength: TOKENS })
      times.push(performance.now() - begin)
      // Requests come at any moment of a step: pauses by the golden ratio are spread evenly.
      await sleep(2 * MEAN_PAUSE_MS * ((i * 0.6180339887498949) % 1))
    }
  })
  return quantile(times, 0.95) / training.stepMs
}

await serve({ about: `quarterturn, steps of ${Math.round(training.stepMs)} ms`, measure })
