// Optimizers and schedules against PyTorch's: ten steps over given gradients, every state after them, and rates over sixty steps.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { devices, Gradients, loadCheckpointFile, optim, type Tensor, Variable, zeros } from 'quarterturn'
import { beforeAll, describe, expect, test } from 'vitest'
import { expectClose } from '../tolerances.js'
import { numbersOf } from './checkOp.js'

const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url))

/** Those of optimizers.py. */
const optimizers: Record<string, (parameters: Variable[]) => optim.Optimizer> = {
  'sgd nesterov': (p) => new optim.SGD(p, { lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.01 }),
  adam: (p) => new optim.Adam(p, { lr: 0.01 }),
  'adam with decay': (p) => new optim.Adam(p, { lr: 0.02, betas: [0.8, 0.95], eps: 1e-4, weightDecay: 0.1 }),
  adamw: (p) => new optim.AdamW(p, { lr: 0.02, betas: [0.8, 0.95], weightDecay: 0.1 }),
  nadam: (p) => new optim.NAdam(p, { lr: 0.01 }),
  'nadam with decay': (p) => new optim.NAdam(p, { lr: 0.01, betas: [0.85, 0.9], weightDecay: 0.1, momentumDecay: 0.1 }),
  rmsprop: (p) => new optim.RMSprop(p, { lr: 0.01 }),
  'rmsprop centered': (p) =>
    new optim.RMSprop(p, { lr: 0.01, alpha: 0.9, eps: 1e-3, centered: true, weightDecay: 0.1 }),
  'rmsprop momentum': (p) => new optim.RMSprop(p, { lr: 0.01, momentum: 0.8 }),
  'rmsprop all': (p) =>
    new optim.RMSprop(p, { lr: 0.01, alpha: 0.9, momentum: 0.8, centered: true, weightDecay: 0.05 }),
  adafactor: (p) => new optim.Adafactor(p, { lr: 0.01 }),
  'adafactor with decay': (p) =>
    new optim.Adafactor(p, { lr: 0.5, beta2Decay: -0.5, eps: [1e-6, 1e-2], clipThreshold: 1.5, weightDecay: 0.1 }),
}
const STEPS = 10
const PARAMETERS = 4

let file: Map<string, Tensor>
beforeAll(async () => {
  const { tensors, metadata } = await loadCheckpointFile(fixture('optimizers.safetensors'))
  expect((JSON.parse(metadata.made as string) as { torch: string }).torch).toMatch(/^2\.11\.0\b/)
  file = tensors
})
const tensorOf = (name: string): Tensor => file.get(name) as Tensor

describe.each(devices())('on %s', (device) => {
  test.each(Object.keys(optimizers))('%s: parameters and states after ten steps', async (name) => {
    const parameters = Array.from({ length: PARAMETERS }, (_, i) => new Variable(tensorOf(`start/${i}`).to(device)))
    const optimizer = optimizers[name]?.(parameters) as optim.Optimizer
    for (let t = 0; t < STEPS; t++) {
      const gradients = parameters.map((_, i) => tensorOf(`gradient/${t}/${i}`).to(device))
      optimizer.step(new Gradients(parameters, gradients), { keep: true })
    }
    const states = [...optimizer.stateDict()].filter(([key]) => key.startsWith('state.'))
    const found = new Map<string, Tensor>([
      ...parameters.map((parameter, i): [string, Tensor] => [`${name}/${i}`, parameter]),
      ...states.map(([key, value]): [string, Tensor] => [key.replace('state.', `${name}/`).replace('.', '/'), value]),
    ])
    const expected = [...file.keys()].filter((key) => key.startsWith(`${name}/`))
    expect([...found.keys()].sort()).toEqual(expected.sort())
    for (const [key, value] of found) {
      expect(value.shape, key).toEqual(tensorOf(key).shape)
      expectClose(await numbersOf(value), await numbersOf(tensorOf(key)), 'float64', key, 10) // ten steps of rounding
    }
  })
})

describe.skipIf(devices().length > 1)('on cuda', () => {
  test.skip(`${Object.keys(optimizers).length} optimizers: there is no CUDA device here`, () => {})
})

interface Row {
  name?: string
  plateau?: Record<string, number | string>
  measured?: (number | 'NaN')[]
  rates: number[]
}
const rows = (JSON.parse(readFileSync(fixture('schedules.json'), 'utf8')) as { rows: Row[] }).rows

describe('schedules', () => {
  const lr = 0.4
  const s = optim.schedules
  const schedules: Record<string, optim.schedules.Schedule> = {
    step: s.step(lr, { every: 7, factor: 0.5 }),
    multiStep: s.multiStep(lr, { at: [5, 20, 21], factor: 0.3 }),
    exponential: s.exponential(lr, { factor: 0.9 }),
    linear: s.linear(lr, { start: 0.25, end: 0.75, steps: 12 }),
    polynomial: s.polynomial(lr, { steps: 30, power: 2 }),
    cosine: s.cosine(lr, { steps: 59, end: 0.05 }),
    cosineRestarts: s.cosineRestarts(lr, { steps: 8, factor: 2, end: 0.05 }),
    'cosineRestarts of one length': s.cosineRestarts(lr, { steps: 9, end: 0.05 }),
    oneCycle: s.oneCycle(lr, { steps: 60 }),
    'oneCycle linear': s.oneCycle(lr, { steps: 60, rise: 0.2, shape: 'linear', startDivisor: 10, endDivisor: 100 }),
    'oneCycle three phases': s.oneCycle(lr, { steps: 60, threePhases: true }),
    warmup: s.warmup(s.exponential(lr, { factor: 0.9 }), { steps: 10, start: 0.1 }),
    sequential: s.sequential([lr, s.step(lr, { every: 4, factor: 0.5 }), s.exponential(lr, { factor: 0.9 })], {
      at: [6, 20],
    }),
    chained: s.chained(s.linear(lr, { start: 0.2, steps: 10 }), s.exponential(1, { factor: 0.95 })),
  }

  test('are all compared', () => {
    expect(rows.flatMap(({ name }) => name ?? [])).toEqual(Object.keys(schedules))
  })

  test.each(rows.flatMap(({ name, rates }) => (name ? [[name, rates] as const] : [])))('%s', (name, rates) => {
    const schedule = schedules[name] as optim.schedules.Schedule
    expectClose(
      rates.map((_, step) => schedule(step)),
      rates,
      'float64',
      name,
    )
  })

  test.each(rows.flatMap((row) => (row.plateau ? [[row.plateau, row] as const] : [])))(
    'plateau %j, also with its state carried over at every step',
    (options, { measured = [], rates }) => {
      const optimizer = new optim.SGD([new Variable(zeros([1]))], { lr })
      const make = (): optim.ReduceOnPlateau =>
        new optim.ReduceOnPlateau(optimizer, {
          factor: options.factor as number,
          patience: options.patience as number,
          mode: (options.mode ?? 'min') as 'min',
          ...(options.cooldown === undefined ? {} : { cooldown: options.cooldown as number }),
          ...(options.min_lr === undefined ? {} : { least: options.min_lr as number }),
          ...(options.threshold === undefined ? {} : { threshold: options.threshold as number }),
          absolute: options.threshold_mode === 'abs',
        })
      let plateau = make()
      const found = measured.map((value) => {
        const before = optimizer.lr
        const lowered = plateau.step(Number(value))
        // A rate that is at its least already stays.
        if (optimizer.lr !== before) expect(lowered).toBe(true)
        plateau = make().restore(JSON.parse(JSON.stringify(plateau.state())) as optim.PlateauState)
        return optimizer.lr as number
      })
      expectClose(found, rates, 'float64', 'rates')
    },
  )
})
