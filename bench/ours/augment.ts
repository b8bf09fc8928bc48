// Our side of residual/augment: shuffled batches of a Loader over uint8 images [N, 3, 32, 32], cropped, mirrored and normalised, one batch per step, whose sum is read.
// The whole process runs on one core: JavaScript, the threads that augment, and the engine.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { data } from 'quarterturn'
import { options, serve } from './common.js'

interface Given {
  rows: number
  batch: number
  padding: number
  flip: number
  shuffle: boolean
}

const { rows, batch, padding, flip, shuffle } = options() as unknown as Given
const core = /^Cpus_allowed_list:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'
const pinned = spawnSync('taskset', ['-acp', core, String(process.pid)])
if (pinned.status !== 0) throw new Error('taskset is needed to stay on one core')

const size = 3 * 32 * 32
const pixels = new Uint8Array(rows * size)
for (let i = 0; i < pixels.length; i++) pixels[i] = ((i * 2654435761) % 4294967296) / 16777216
const images = { data: pixels, shape: [rows, 3, 32, 32] }
const normalize = { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] }
const augment = { images: { padCrop: padding, flip, normalize } }
const loader = new data.Loader({ images }, { batch, shuffle, seed: 1, dropLast: true, augment })
let batches = loader[Symbol.asyncIterator]()

async function step(): Promise<number> {
  let next = await batches.next()
  if (next.done) {
    batches = loader[Symbol.asyncIterator]()
    next = await batches.next()
  }
  const { images: x } = next.value as { images: import('quarterturn').Tensor }
  const sum = x.sum()
  x.dispose()
  return (await sum.item()) as number
}

await serve({ step, about: `quarterturn, one core (${core})` })
