// The studies of the rotation with a budget of a few steps: they run, are gone on with where they stopped, and report what they measured.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { adding } from '../../examples/rotation/adding.js'
import { attentionResiduals } from '../../examples/rotation/attention-residuals.js'
import { characters } from '../../examples/rotation/characters.js'
import { copy } from '../../examples/rotation/copy.js'
import { digits, readMnist } from '../../examples/rotation/digits.js'
import { grid } from '../../examples/rotation/grid.js'
import { type Outcome, runStudy, type Study } from '../../examples/study/study.js'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rotation-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const few = { steps: 2, batch: 4 }

it('the adding problem: a constant answer leaves 1/6, and the LSTM learns a short one', async () => {
  const study = adding({ time: 12, width: 32, batch: 64, steps: 250, lr: 5e-3 })
  const { LSTM, 'no memory (control)': none } = study.variants
  study.variants = { LSTM: LSTM as never, 'no memory (control)': none as never }
  const runs = await runStudy(study, { seeds: 1, folder })
  expect(runs.LSTM?.[1]?.['mean squared error']).toBeLessThan(0.05)
  expect(runs['no memory (control)']?.[1]?.['mean squared error']).toBeGreaterThan(0.1)
})

it.each<[string, () => Study, string, number, number]>([
  ['copy', () => copy({ ...few, blanks: 12, width: 8 }) as Study, 'cross entropy', 0.1, 3],
  ['digits', () => digits({ ...few, width: 8 }) as Study, 'accuracy', 0, 0.6],
  [
    'characters',
    () => first(characters({ steps: 2, tokens: 512, parameters: 8000, layers: 2 }) as Study, 3),
    'nats per letter',
    2,
    6,
  ],
  [
    'attention-residuals',
    () => attentionResiduals({ ...few, layers: 3, width: 16, context: 16 }) as Study,
    'nats per letter',
    2,
    6,
  ],
  ['grid', () => grid({ ...few, layers: 2, parameters: 12_000, context: 16 }) as Study, 'nats per letter', 2, 6],
])('%s: every variant runs and is reported', async (name, make, measure, low, high) => {
  const study = make()
  const runs = await runStudy(study, { seeds: 1, folder })
  expect(readdirSync(folder).sort()).toEqual([`${name}.json`, `${name}.md`])
  expect(Object.keys(runs)).toEqual(Object.keys(study.variants))
  for (const [variant, seeds] of Object.entries(runs)) {
    const value = (seeds[1] as Outcome)[measure] as number
    expect(value, variant).toBeGreaterThanOrEqual(low)
    expect(value, variant).toBeLessThan(high)
  }
  const page = readFileSync(join(folder, `${name}.md`), 'utf8')
  for (const variant of Object.keys(study.variants)) expect(page).toContain(`| ${variant} |`)
  expect(page).toMatch(/\n- (Holds here|\*\*Does not reproduce at this scale\*\*): /)
  expect(page).not.toContain('NaN')
})

it('attention over depth: the curves have a point for each layer, and a table of their own', async () => {
  const study = attentionResiduals({ ...few, layers: 3, width: 16, context: 16 })
  study.variants = { 'residual (control)': study.variants['residual (control)'] as never }
  const outcome = (await runStudy(study, { seeds: 1, folder }))['residual (control)']?.[1] as Outcome
  const [stream, writes] = ['stream after layer', 'gradient of what layer writes'].map(
    (name) => outcome[name] as number[],
  )
  expect([stream, writes].map((curve) => curve?.filter((x) => x > 0).length)).toEqual([3, 3])
  expect(outcome['stream, last to first layer']).toBeCloseTo((stream?.[2] as number) / (stream?.[0] as number), 12)
  const page = readFileSync(join(folder, 'attention-residuals.md'), 'utf8')
  expect(page).toContain('| stream after layer | 1 | 2 | 3 |\n')
  expect(page).toContain(`| residual (control) | ${stream?.map((x) => x.toPrecision(3)).join(' | ')} |`)
  expect(page).toMatch(/: the plain residual stream grows with depth/)
})

/** MNIST's four files with images of 28 × 28 whose pixels and labels the index gives. */
function writeMnist(rows: { train: number; t10k: number }): void {
  for (const [name, count] of Object.entries(rows)) {
    const images = Buffer.alloc(16 + count * 784)
    for (const [i, value] of [0x803, count, 28, 28].entries()) images.writeUInt32BE(value, 4 * i)
    for (let i = 0; i < count * 784; i++) images[16 + i] = (7 * i + 3) % 256
    const labels = Buffer.alloc(8 + count)
    for (const [i, value] of [0x801, count].entries()) labels.writeUInt32BE(value, 4 * i)
    for (let i = 0; i < count; i++) labels[8 + i] = i % 10
    writeFileSync(join(folder, `${name}-images-idx3-ubyte`), images)
    writeFileSync(join(folder, `${name}-labels-idx1-ubyte`), labels)
  }
}

it('digits read MNIST’s files: the mean of each 2 × 2 of the right image, in 0 … 1, with its label', async () => {
  writeMnist({ train: 23, t10k: 11 })
  const { training, test } = await readMnist(folder)
  expect([training.labels.length, test.labels.length]).toEqual([23, 11])
  expect([...training.labels]).toEqual(Array.from({ length: 23 }, (_, i) => i % 10))
  expect(training.pixels).toHaveLength(23 * 196)
  const pixel = (row: number, y: number, x: number): number => (7 * (row * 784 + y * 28 + x) + 3) % 256
  for (const [row, y, x] of [
    [0, 0, 0],
    [0, 0, 13],
    [0, 13, 0],
    [1, 5, 6],
    [22, 13, 13],
  ] as const) {
    const four = [0, 1].flatMap((dy) => [0, 1].map((dx) => pixel(row, 2 * y + dy, 2 * x + dx)))
    const mean = four.reduce((sum, value) => sum + value, 0) / 4 / 255
    expect(training.pixels[row * 196 + y * 14 + x], `image ${row}, ${y} × ${x}`).toBeCloseTo(mean, 6)
  }
  const study = digits({ ...few, width: 8, mnist: folder })
  study.variants = { LSTM: study.variants.LSTM as never }
  const outcome = (await runStudy(study, { seeds: 1, folder: join(folder, 'results') })).LSTM?.[1] as Outcome
  expect((outcome.accuracy as number) * 11).toBeCloseTo(Math.round((outcome.accuracy as number) * 11), 9) // of the 11
})

function first(study: Study, count: number): Study {
  return {
    ...study,
    variants: Object.fromEntries(Object.entries(study.variants).slice(0, count)),
    verdicts: (mean) => [`Holds here: ${mean('LSTM, 256', 'nats per letter')}`],
  }
}

it('a study goes on where it stopped, and begins anew with other settings', async () => {
  let calls = 0
  const study = (size: number): Study<{ size: number }> => ({
    name: 'sample',
    title: 'Sample',
    about: 'A sample.',
    settings: { size },
    variants: {
      one: async (seed) => {
        calls++
        return { value: seed }
      },
      two: async (seed) => {
        calls++
        if (seed === 2 && calls < 5) throw new Error('stopped')
        return { value: 10 * seed }
      },
    },
    verdicts: (mean) => [`${mean('one', 'value')} ${mean('two', 'value')}`],
  })
  await expect(runStudy(study(1), { seeds: 2, folder })).rejects.toThrow('stopped')
  expect(calls).toBe(4)
  const runs = await runStudy(study(1), { seeds: 2, folder })
  expect(calls).toBe(5) // only what was missing
  expect(runs.two?.[2]?.value).toBe(20)
  expect(readFileSync(join(folder, 'sample.md'), 'utf8')).toContain('- 1.5 15')
  await runStudy(study(2), { seeds: 1, folder })
  expect(calls).toBe(7)
})

it('a page is of the seeds that are asked for, also where a measure was no number', async () => {
  const study: Study = {
    name: 'sample',
    title: 'Sample',
    about: 'A sample.',
    settings: {},
    variants: {
      one: async (seed) => ({ value: seed, lost: Number.POSITIVE_INFINITY, curve: [seed, Number.NaN] }),
      two: async () => ({ value: 7 }),
    },
    verdicts: (mean) => [`${mean('one', 'value')}`],
  }
  const page = () => readFileSync(join(folder, 'sample.md'), 'utf8')
  await runStudy(study, { seeds: 3, folder })
  expect(page()).toContain('- 2\n')
  await runStudy(study, { seeds: 1, folder })
  expect(page()).toContain('over 1 seed.')
  expect(page()).toContain('- 1\n')
  expect(page()).toContain('| one | 1.000 ± 0.0 | NaN ± NaN |')
  expect(page()).toMatch(/\| curve \| 1 \| 2 \|\n.*\n\| one \| 1.00 \| NaN \|\n\n/) // two has no curve
})
