// Where the parallel form of each carrier begins to beat its recurrent one: the table of src/axis/forms.ts is written from what this prints.
// taskset -c 0 node build/ts/bench/ours/axis-forms.js        (--repeats 9, and more on a machine that is not idle; --only NAME)
import { parseArgs } from 'node:util'
import { axis, grad, noGrad, normal, scope, setThreads, type Tensor } from 'quarterturn'

const STEPS = [1, 2, 4, 8, 16, 64, 256]
const ROWS = [1, 16]
const WIDTHS = [64, 256]

/** The least of some repeats, in ms: what others do on the machine only adds. */
async function least(run: () => Tensor, repeats: number): Promise<number> {
  await scope(run).item()
  let best = Infinity
  for (let i = 0; i < repeats; i++) {
    const begin = performance.now()
    await scope(run).item()
    best = Math.min(best, performance.now() - begin)
  }
  return best
}

/** Time of the parallel form over that of the recurrent one at T steps: the geometric mean over rows, widths, use and training. */
async function ratio(make: () => axis.Carrier, T: number, repeats: number): Promise<number> {
  const logs: number[] = []
  for (const width of WIDTHS) {
    const net = new axis.Stack({ width, layers: 1, alongTime: make(), alongDepth: axis.plain(), norm: 'none' })
    const parameters = net.parameters()
    for (const rows of ROWS) {
      const x = normal([rows, T, width])
      const use = (): Tensor => noGrad(() => net.forward(x).sum())
      const train = (): Tensor => {
        const loss = net.forward(x).square().mean()
        const gradients = grad(loss, parameters, { unused: 'zeros' })
        return parameters.reduce((sum, p) => sum.add(gradients.get(p).sum()), loss)
      }
      for (const run of [use, train]) {
        const times: number[] = []
        for (const form of [net.alongTime.parallelForm as axis.Form, 'recurrent'] as const) {
          net.form = form
          times.push(await least(run, repeats))
        }
        logs.push(Math.log((times[0] as number) / (times[1] as number)))
      }
    }
  }
  return Math.exp(logs.reduce((sum, x) => sum + x, 0) / logs.length)
}

/** The least T of the list from which on the parallel form is never slower; Infinity where it is at the end. */
function crossover(ratios: readonly number[]): number {
  const slower = ratios.findLastIndex((value) => value > 1)
  return STEPS[slower + 1] ?? Infinity
}

export async function measureForms(
  repeats: number,
  say: (line: string) => void,
  only = '',
): Promise<Record<string, number>> {
  setThreads(1)
  const found: Record<string, number> = {}
  say(`parallel / recurrent, time    ${STEPS.map((T) => `T=${T}`.padStart(7)).join('')}`)
  for (const make of axis.carriers.flatMap(({ time }) => Object.values(time))) {
    const { name, parallelForm } = make()
    if (parallelForm === undefined || (only !== '' && name !== only)) continue
    const ratios: number[] = []
    for (const T of STEPS) ratios.push(await ratio(make, T, repeats))
    found[name] = crossover(ratios)
    say(`${`${name} (${parallelForm})`.padEnd(30)}${ratios.map((value) => value.toFixed(2).padStart(7)).join('')}`)
  }
  return found
}

if (process.argv[1]?.endsWith('axis-forms.js')) {
  const { values } = parseArgs({ options: { repeats: { type: 'string', default: '9' }, only: { type: 'string' } } })
  const found = await measureForms(Number(values.repeats), console.log, values.only)
  console.log(JSON.stringify(found))
}
