// Ten thousand training steps in a plain loop: live tensors come back to where they were, and resident memory does not grow.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { grad, manualSeed, memory, nn, normal, optim, randint, type Tensor } from 'quarterturn'
import { expect, test } from 'vitest'

const STEPS = 10_000
const WARM = 2_000
const READ_EVERY = 100

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Resident memory in MB outside of V8's heap, which V8 widens as it likes, once the collector has run and the engine has nothing left to do. */
async function resident(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    collect()
    await new Promise((resolve) => setTimeout(resolve, 20)) // finalizers run between
  }
  const { rss, heapTotal } = process.memoryUsage()
  return (rss - heapTotal) / 2 ** 20
}

class Classifier extends nn.Module {
  rnn = new nn.GRU(4, 8)
  head = new nn.Linear(8, 3)
  forward(x: Tensor): Tensor {
    return this.head.forward(this.rnn.forward(x).output.select(1, -1))
  }
}

test('10,000 steps without dispose or scope', { timeout: 300_000 }, async () => {
  manualSeed(1)
  const model = new Classifier()
  const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3 })
  const [x, y] = [normal([6, 5, 4]), randint([6], 0, 3)]
  const step = () => {
    const loss = nn.functional.crossEntropy(model.forward(x), y)
    optimizer.step(grad(loss, model.parameters()).clipByNorm(1))
    return loss
  }
  await step().item()
  await resident()
  const { tensors } = memory()

  let [warm, last] = [0, Number.NaN]
  for (let i = 1; i <= STEPS; i++) {
    const loss = step()
    if (i % READ_EVERY === 0) last = await loss.item()
    if (i === WARM) warm = await resident()
  }
  const growth = (await resident()) - warm

  expect(last).toBeGreaterThan(0)
  expect(last).toBeLessThan(1.2)
  expect(memory().tensors).toBeLessThanOrEqual(tensors + 2) // V8 may hold the last loss on its stack
  expect(growth / ((STEPS - WARM) / 1000)).toBeLessThan(1)
})
