// Data: reading CSV, and loading shuffled batches of windows.

import { once } from 'node:events'
import { createWriteStream, existsSync, mkdirSync, renameSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BenchCase } from '../case.js'
import { checkLosses, trainingDuel } from '../duel.js'
import { withPackages } from '../python.js'

/** What pandas needs beside numpy. */
const PANDAS = ['pandas==3.1.1', 'python-dateutil==2.9.0.post0', 'six==1.17.0']
const CSV_MEGABYTES = Number(process.env.QUARTERTURN_BENCH_CSV_MB ?? 200)
const WINDOWS = { width: 32, past: 48, future: 16, batch: 64 }
const BATCHES = 200

export const cases: BenchCase[] = [
  {
    id: 'data/csv',
    kind: 'ratio',
    unit: 'ms',
    opponent: 'pandas read_csv (C engine) and torch.from_numpy',
    goal: 1,
    rounds: 7,
    start: async (context) => {
      await withPackages(PANDAS)
      const path = await csvFile(CSV_MEGABYTES)
      const peers = [await context.ours('read-csv', { path }), await context.python('read_csv', { path })] as const
      return trainingDuel(...peers, { steps: 1, compare: 1, tolerance: 1e-9 })
    },
  },
  {
    id: 'data/loader',
    kind: 'ratio',
    unit: 'ms',
    opponent: 'PyTorch DataLoader, shuffle, two workers',
    goal: 3,
    rounds: 7,
    start: async (context) => {
      const options = { rows: 1_000_000, ...WINDOWS }
      const ours = await context.ours('data-loader', options)
      const theirs = await context.python('data_loader', options)
      return {
        // Orders differ, sums over a whole epoch do not.
        check: async () => {
          const small = { rows: 5000, ...WINDOWS }
          const batches = Math.ceil((small.rows - small.past - small.future + 1) / small.batch)
          const sums = []
          for (const peer of [await context.ours('data-loader', small), await context.python('data_loader', small)]) {
            sums.push((await peer.losses(batches)).reduce((sum, x) => sum + x, 0))
            await peer.close()
          }
          checkLosses([sums[0] as number], [sums[1] as number], 1e-4)
        },
        ours: () => ours.run(BATCHES),
        theirs: () => theirs.run(BATCHES),
        beside: async (medians) => ({ 'rows/s': (1000 * WINDOWS.batch) / medians.ours }),
        close: async () => {
          await Promise.all([ours.close(), theirs.close()])
        },
      }
    },
  },
]

/** A file of ten columns of numbers with 0 to 6 decimals, made once. */
async function csvFile(megabytes: number): Promise<string> {
  const folder = join(tmpdir(), 'quarterturn-bench')
  const path = join(folder, `numbers-${megabytes}.csv`)
  if (existsSync(path)) return path
  mkdirSync(folder, { recursive: true })
  const out = createWriteStream(`${path}.part`)
  out.write(`${Array.from({ length: 10 }, (_, i) => `c${i}`).join(',')}\n`)
  let state = 1
  const next = () => {
    state = (state * 48271) % 2147483647
    return state / 2147483647 - 0.5
  }
  for (let bytes = 0; bytes < megabytes * 1e6; ) {
    let text = ''
    for (let row = 0; row < 1000; row++) {
      const cells = Array.from({ length: 10 }, (_, i) => (next() * 10 ** (i % 5)).toFixed(i % 3 === 0 ? 6 : i % 7))
      text += `${cells.join(',')}\n`
    }
    bytes += text.length
    if (!out.write(text)) await once(out, 'drain')
  }
  out.end()
  await once(out, 'finish')
  renameSync(`${path}.part`, path)
  return path
}
