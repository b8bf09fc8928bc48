// What all of our sides share: the JSON-lines loop on stdin and stdout, and inputs made by a formula that bench/opponents/common.py repeats.
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setThreads, type Tensor, tensor } from 'quarterturn'

export interface Options {
  threads: number
  [name: string]: unknown
}

/** The options that bench/runner.ts gives as the one argument; sets the number of threads. */
export function options(): Options {
  const given = JSON.parse(process.argv[2] ?? '{"threads":1}') as Options
  setThreads(given.threads)
  return given
}

/** Numbers in [-scale, scale), the same on both sides: a multiplicative hash of the position, exact in float64. */
export function hashed(count: number, seed: number, scale: number): Float32Array {
  const out = new Float32Array(count)
  for (let i = 0; i < count; i++) out[i] = ((((i + seed) * 2654435761) % 4294967296) / 2147483648 - 1) * scale
  return out
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}

/** A float32 tensor of such numbers. */
export function spread(shape: readonly number[], seed: number, scale: number): Tensor<'float32'> {
  return tensor(hashed(elements(shape), seed, scale), { shape: [...shape] })
}

/** An int64 tensor with values in [0, vocabulary), the same on both sides. */
export function tokens(shape: readonly number[], seed: number, vocabulary: number): Tensor<'int64'> {
  const numbers = hashed(elements(shape), seed, 1)
  const whole = Int32Array.from(numbers, (x) =>
    Math.min(vocabulary - 1, Math.max(0, Math.trunc((x + 1) * (vocabulary / 2)))),
  )
  return tensor(whole, { shape: [...shape] })
}

/** Peak resident memory of this process so far, in MB. */
export function peakMegabytes(): number {
  return megabytes('VmHWM')
}

/** Resident memory of this process now, in MB. */
export function residentMegabytes(): number {
  return megabytes('VmRSS')
}

function megabytes(field: string): number {
  const found = new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))
  return Number(found?.[1] ?? Number.NaN) / 1024
}

/** The value below which a share `q` of the numbers lies. */
export function quantile(numbers: readonly number[], q: number): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] as number
}

interface Request {
  losses?: number
  run?: number
  peak?: true
  measure?: true
}

export interface Answers {
  about?: string
  /** One training step; gives its loss. */
  step?: () => Promise<number>
  /** A figure in the unit of the case. */
  measure?: () => Promise<number>
}

/** Answers requests until stdin ends; see bench/peer.ts for what they mean. */
export async function serve({ about = 'quarterturn', step, measure }: Answers): Promise<void> {
  const reply = (data: object) => process.stdout.write(`${JSON.stringify(data)}\n`)
  reply({ ready: about })
  for await (const text of createInterface({ input: process.stdin })) {
    const request = JSON.parse(text) as Request
    if (request.losses !== undefined && step) {
      const losses: number[] = []
      for (let i = 0; i < request.losses; i++) losses.push(await step())
      reply({ losses })
    } else if (request.run !== undefined && step) {
      const begin = performance.now()
      for (let i = 0; i < request.run; i++) await step()
      reply({ ms: (performance.now() - begin) / request.run })
    } else if (request.measure && measure) {
      reply({ value: await measure() })
    } else if (request.peak) {
      reply({ peak: peakMegabytes() })
    } else {
      reply({ error: `unknown request ${text}` })
    }
  }
}
