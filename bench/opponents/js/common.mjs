// What all sides of the js/ cases share: the two problems, their weights by one formula, and the JSON-lines loop of bench/peer.ts.
//
// The model is an LSTM(64) and a linear map of its last step to one number, float32, mean squared error, Adam. The LSTM has no bias: torch's has two
// and tfjs's has one, and Adam would move two twice as fast.
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

export const options = JSON.parse(process.argv[2] ?? '{}')

/** What an opponent's package gives. */
export async function load(name) {
  const peers = await import(`file://${options.folder}/load.js`)
  const module = await peers.load(name)
  return module.default ?? module
}

/** Numbers in [-scale, scale): as in bench/ours/common.ts. */
function hashed(count, seed, scale) {
  return Float32Array.from(
    { length: count },
    (_, i) => ((((i + seed) * 2654435761) % 4294967296) / 2147483648 - 1) * scale,
  )
}

const H = 64

/** Batches of x [B, T, I] and y [B, 1]; `target` is the loss to reach, as the mean of the last 40 steps. */
export const problem = options.problem === 'weather' ? weather() : { ...sizes(16, 64, 32, 1e-3), batches: [oneBatch()] }

function sizes(B, T, I, lr) {
  return { B, T, I, H, lr }
}

function oneBatch() {
  return { x: hashed(16 * 64 * 32, 77, 1), y: hashed(16, 78901, 1) }
}

/** The highest temperature of the next day in Seattle, from the weather of the last 30: 1,461 days, everything scaled to mean 0 and deviation 1. */
function weather() {
  const [, ...lines] = readFileSync(options.csv, 'utf8').trim().split('\n')
  const rows = lines.map((line) => line.split(',').slice(1, 5).map(Number)) // precipitation, temp_max, temp_min, wind
  const columns = [0, 1, 2, 3].map((j) => {
    const mean = rows.reduce((sum, row) => sum + row[j], 0) / rows.length
    const deviation = Math.sqrt(rows.reduce((sum, row) => sum + (row[j] - mean) ** 2, 0) / rows.length)
    return rows.map((row) => (row[j] - mean) / deviation)
  })
  const [B, T, I] = [32, 30, 4]
  const starts = Array.from({ length: rows.length - T }, (_, i) => i)
  const keys = hashed(starts.length, 5, 1)
  starts.sort((a, b) => keys[a] - keys[b])
  const batches = []
  for (let at = 0; at + B <= starts.length; at += B) {
    const chosen = starts.slice(at, at + B)
    const x = Float32Array.from(
      chosen.flatMap((s) => Array.from({ length: T * I }, (_, i) => columns[i % I][s + Math.floor(i / I)])),
    )
    batches.push({ x, y: Float32Array.from(chosen, (s) => columns[1][s + T]) })
  }
  return { ...sizes(B, T, I, 3e-3), batches, target: 0.13 }
}

/** By torch's keys, gates in the order i, f, g, o. */
export function weights() {
  const { I } = problem
  const made = (shape, seed, scale) => ({
    shape,
    data: hashed(
      shape.reduce((a, b) => a * b),
      seed,
      scale,
    ),
  })
  return {
    'lstm.weight_ih_l0': made([4 * H, I], 1000, 1 / 8),
    'lstm.weight_hh_l0': made([4 * H, H], 2000, 1 / 8),
    'head.weight': made([1, H], 3000, 1 / 8),
    'head.bias': made([1], 4000, 0.1),
  }
}

/** [R, C] → [C, R], for libraries that keep matrices the other way round. */
export function transposed({ shape: [R, C], data }) {
  return { shape: [C, R], data: Float32Array.from({ length: R * C }, (_, i) => data[(i % R) * C + Math.floor(i / R)]) }
}

/**
 * Answers requests until stdin ends. `open` makes the model anew and gives its step, which trains on batch i and gives the loss before that.
 * A measurement is the seconds from the first step of a new model to the target.
 */
export async function serve(about, open) {
  const reply = (data) => process.stdout.write(`${JSON.stringify(data)}\n`)
  const { batches, target } = problem
  let step = await open()
  let steps = 0
  const next = () => step(steps++ % batches.length)
  reply({ ready: about })
  for await (const text of createInterface({ input: process.stdin })) {
    const request = JSON.parse(text)
    if (request.losses !== undefined) {
      const losses = []
      for (let i = 0; i < request.losses; i++) losses.push(await next())
      reply({ losses })
    } else if (request.run !== undefined) {
      const begin = performance.now()
      for (let i = 0; i < request.run; i++) await next()
      reply({ ms: (performance.now() - begin) / request.run })
    } else if (request.measure) {
      step = await open()
      steps = 0
      const last = []
      const begin = performance.now()
      for (;;) {
        last.push(await next())
        if (last.length > 40) last.shift()
        if (last.length === 40 && last.reduce((a, b) => a + b) / 40 <= target) break
        if (steps > 4000) throw new Error(`the loss ${target} was not reached in 4,000 steps`)
      }
      reply({ value: (performance.now() - begin) / 1000 })
    } else reply({ error: `unknown request ${text}` })
  }
}
