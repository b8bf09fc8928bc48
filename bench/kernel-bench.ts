// The kernels' own bench in Rust (crates/kernels/benches/kernels): times without libtorch, and the multiply-add peak. scripts/bench.mjs builds it.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)

export type Isa = 'avx512' | 'avx2'

export interface KernelBench {
  /** Multiply-add peak of all threads together, measured just now, in GF/s. */
  peak: number
  /** Median milliseconds of each case that ran, by id. */
  medians: Map<string, number>
}

/** Runs the cases whose id contains `pattern`. */
export async function kernelBench(pattern: string, threads: number, isa?: Isa): Promise<KernelBench> {
  const program = process.env.QUARTERTURN_KERNEL_BENCH
  if (program === undefined) throw new Error('QUARTERTURN_KERNEL_BENCH must name the Rust bench; npm run bench sets it')
  const forced = isa === undefined ? [] : ['--isa', isa]
  const { stdout } = await run(program, [pattern, '--threads', String(threads), ...forced])
  const peak = Number(/multiply-add peak (\d+) GF\/s/.exec(stdout)?.[1])
  const lines = stdout.matchAll(/^(kernels\/\S+) +([\d.]+) ms/gm)
  return { peak, medians: new Map(Array.from(lines, ([, id, ms]) => [id as string, Number(ms)])) }
}

/** The multiply-add peak alone. */
export async function multiplyAddPeak(threads: number, isa?: Isa): Promise<number> {
  return (await kernelBench('no case has this id', threads, isa)).peak
}
