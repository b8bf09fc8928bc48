// train/fit-overhead: what `fit` with metrics, logs and a progress line takes more than the loop written by hand, in % of that.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { data, grad, nn, noGrad, optim, scope, type Tensor, train } from 'quarterturn'
import { options, quantile, serve, spread, tokens } from './common.js'

const [ROWS, TIME, WIDTH, HIDDEN, CLASSES, BATCH] = [2048, 24, 32, 128, 10, 64]
const EPOCHS = 4
const PAIRS = 5

options()

class Classifier extends nn.Module {
  rnn = new nn.LSTM(WIDTH, HIDDEN)
  head = new nn.Linear(HIDDEN, CLASSES)
  forward(x: Tensor): Tensor {
    return this.head.forward(this.rnn.forward(x).output.select(1, -1))
  }
}

const fields = (rows: number, seed: number) => ({
  x: spread([rows, TIME, WIDTH], seed, 1),
  y: tokens([rows], seed + 1, CLASSES),
})
const [trained, validated] = [fields(ROWS, 1), fields(ROWS / 8, 7)]
const loader = () => new data.Loader(trained, { batch: BATCH, shuffle: true, seed: 1 })
const held = () => new data.Loader(validated, { batch: BATCH })

/** The loop that a user would write: the loss is read now and then, the validation loss at the end of each epoch. */
async function bare(): Promise<void> {
  const model = new Classifier()
  const parameters = model.parameters()
  const optimizer = new optim.AdamW(parameters, { lr: 1e-3 })
  const lossOf = ({ x, y }: { x: Tensor; y: Tensor }) => nn.functional.crossEntropy(model.forward(x), y)
  const [batches, validation] = [loader(), held()]
  for (let epoch = 0; epoch < EPOCHS; epoch++) {
    for await (const { x, y, step } of batches) {
      const loss = scope(() => {
        const loss = lossOf({ x, y })
        optimizer.step(grad(loss, parameters))
        return loss
      })
      if (step % 100 === 0) await loss.item()
      for (const tensor of [loss, x, y]) tensor.dispose()
    }
    const losses: Promise<number>[] = []
    for await (const { x, y } of validation) {
      losses.push(noGrad(() => scope(() => lossOf({ x, y }))).item())
      for (const tensor of [x, y]) tensor.dispose()
    }
    await Promise.all(losses)
  }
}

async function fitted(logs: string): Promise<void> {
  await train.fit(new Classifier(), loader(), {
    loss: (model, { x, y }) => {
      const prediction = model.forward(x)
      return { loss: nn.functional.crossEntropy(prediction, y), prediction, target: y }
    },
    optimizer: optim.adamW({ lr: 1e-3 }),
    epochs: EPOCHS,
    validation: held(),
    metrics: {
      accuracy: train.accuracy(),
      top3: train.topKAccuracy(3),
      f1: train.f1(),
      perplexity: train.perplexity(),
    },
    logs,
  })
}

async function timed(fn: () => Promise<void>): Promise<number> {
  const begin = performance.now()
  await fn()
  return performance.now() - begin
}

async function measure(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'quarterturn-'))
  // A terminal that nobody sees: the line is made and written as on one.
  Object.defineProperties(process.stderr, { isTTY: { value: true }, write: { value: () => true } })
  try {
    await bare()
    await fitted(folder)
    const ratios: number[] = []
    for (let i = 0; i < PAIRS; i++) {
      const first = i % 2 === 0 ? await timed(bare) : undefined
      const ours = await timed(() => fitted(folder))
      ratios.push(ours / (first ?? (await timed(bare))))
    }
    return 100 * (quantile(ratios, 0.5) - 1)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

await serve({ measure })
