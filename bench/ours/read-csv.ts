// Our side of data/csv: a file to one float64 tensor [rows, columns], whose sum is read.
import { data } from 'quarterturn'
import { options, serve } from './common.js'

const { path } = options() as unknown as { path: string }

async function step(): Promise<number> {
  const table = await data.readCsv(path)
  const x = table.tensor({ dtype: 'float64' })
  return (await x.sum().item()) as number
}

await serve({ step })
