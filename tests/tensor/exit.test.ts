// The end of a process or worker, at any moment of training: never a crash, always the right exit code.
import { expect, test } from 'vitest'
import { type Ended, runModule } from '../child.js'

const training = `
  import { grad, matmul, normal, Variable, noGrad } from 'quarterturn'
  const w = new Variable(normal([64, 64]))
  const step = () => {
    const x = normal([32, 64])
    let y = x
    for (let i = 0; i < 8; i++) y = matmul(y, w).tanh()
    const loss = y.square().mean()
    const g = grad(loss, [w])
    noGrad(() => w.assign(w.sub(g.get(w).mul(0.01))))
    return loss
  }
  await step().item()
`

/** Runs in pairs: two cores. */
async function pairs(count: number, run: (i: number) => Promise<Ended>): Promise<Ended[]> {
  const ended: Ended[] = []
  for (let i = 0; i < count; i += 2) ended.push(...(await Promise.all([run(i), run(i + 1)].slice(0, count - i))))
  return ended
}

test('100 exits in the middle of training end with their code and nothing else', async () => {
  const ended = await pairs(100, (i) =>
    runModule(`${training}
      for (let k = 0; k < ${3 + (i % 5)}; k++) step()
      setTimeout(() => process.exit(${i % 7}), ${(i * 7) % 23})
      for (;;) { step(); await new Promise((r) => setImmediate(r)) }
    `),
  )
  expect(ended.map(({ code, signal, stderr }) => `${code} ${signal} ${stderr}`)).toEqual(
    ended.map((_, i) => `${i % 7} null `),
  )
}, 300_000)

test('an exit during an operation that outlasts the grace time still has its code', async () => {
  const { code, signal } = await runModule(`
    import { matmul, normal } from 'quarterturn'
    const a = normal([5000, 5000])
    matmul(matmul(a, a), a)
    setTimeout(() => process.exit(9), 150)
  `)
  expect({ code, signal }).toEqual({ code: 9, signal: null })
})

test('an uncaught exception during training has exit code 1 and its own message', async () => {
  const { code, signal, stderr } = await runModule(`${training}
    for (let k = 0; k < 10; k++) step()
    setTimeout(() => { throw new Error('the user’s own') }, 5)
    for (;;) { step(); await new Promise((r) => setImmediate(r)) }
  `)
  expect({ code, signal }).toEqual({ code: 1, signal: null })
  expect(stderr).toContain('the user’s own')
})

test('a program that ends with work queued finishes it first', async () => {
  const { code, stdout } = await runModule(`${training}
    const loss = step()
    void loss.item().then((value) => console.log(Number.isFinite(value)))
  `)
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'true\n' })
})

test('40 worker terminations in the middle of training, two at a time: no crash, and the main thread goes on', async () => {
  const { code, signal, stdout, stderr } = await runModule(
    `
    import { Worker } from 'node:worker_threads'
    import { memory, tensor } from 'quarterturn'
    await tensor([1]).item()
    const source = ${JSON.stringify(training)} + "import { parentPort } from 'node:worker_threads'; parentPort.postMessage(0); for (;;) { step(); await new Promise((r) => setImmediate(r)) }"
    const once = async (i) => {
      const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(source.replaceAll("'quarterturn'", JSON.stringify(import.meta.resolve('quarterturn'))))))
      await new Promise((resolve, reject) => { worker.once('message', resolve); worker.once('error', reject) })
      await new Promise((r) => setTimeout(r, i % 11))
      await worker.terminate()
    }
    for (let i = 0; i < 20; i++) await Promise.all([once(i), once(i + 5)])
    const sum = await tensor([1, 2, 3]).sum().item()
    await new Promise((r) => setTimeout(r, 200))
    console.log(sum, memory().slots < 10)
  `,
    { timeoutMs: 120_000 },
  )
  expect(stderr).toBe('')
  expect({ code, signal, stdout }).toEqual({ code: 0, signal: null, stdout: '6 true\n' })
}, 180_000)

test('a tensor cannot be posted to another thread', async () => {
  const { tensor } = await import('quarterturn')
  expect(() => structuredClone(tensor([1]))).toThrow(expect.objectContaining({ name: 'DataCloneError' }))
})
