// Training whose steps last about half a second each: what the event loop and a server have to live with.
import { data, nn, optim, type Tensor, tanh, tensor, train } from 'quarterturn'

const WIDTH = 1024
const BATCH = 1024
const STEP_MS = 500

/** One layer applied again and again: the step lasts as long as it is applied often. */
class Repeated extends nn.Module {
  layer = new nn.Linear(WIDTH, WIDTH)
  times = 1

  forward(x: Tensor): Tensor {
    let y = x
    for (let i = 0; i < this.times; i++) y = tanh(this.layer.forward(y))
    return y
  }
}

export interface SlowTraining {
  /** The length of a step, measured, in ms. */
  stepMs: number
  /** Runs `fit` while `body` runs; stops it afterwards. */
  during(body: () => Promise<void>): Promise<void>
}

/** Finds out how often the layer must be applied. */
export async function slowTraining(): Promise<SlowTraining> {
  const model = new Repeated()
  const x = new Float32Array(BATCH * WIDTH).map((_, i) => Math.sin(i))
  const fields = { x: tensor(x, { shape: [BATCH, WIDTH] }) }
  const options = {
    loss: (m: Repeated, batch: { x: Tensor }) => m.forward(batch.x).square().mean(),
    optimizer: optim.sgd({ lr: 1e-3 }),
    progress: false,
  } as const
  const loader = () => new data.Loader(fields, { batch: BATCH })
  const timed = async (times: number, epochs: number) => {
    model.times = times
    const begin = performance.now()
    await train.fit(model, loader(), { ...options, epochs })
    return (performance.now() - begin) / epochs
  }
  await timed(2, 2) // memory and threads warm up
  const few = await timed(4, 3)
  model.times = Math.max(1, Math.round((4 * STEP_MS) / few))
  const stepMs = await timed(model.times, 4)
  return {
    stepMs,
    during: async (body) => {
      const stop = new AbortController()
      const training = train.fit(model, loader(), { ...options, epochs: 1_000_000, signal: stop.signal })
      try {
        await body()
      } finally {
        stop.abort()
        await training.catch((error: unknown) => {
          if (!stop.signal.aborted) throw error
        })
      }
    },
  }
}
