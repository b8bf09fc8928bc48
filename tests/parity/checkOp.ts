// Runs one parity case: values, dtypes, shapes and gradients against PyTorch's, gradients against finite differences.
import { readFileSync } from 'node:fs'
import { type Device, type DType, type GradOptions, grad, Tensor, tensor, Variable } from 'quarterturn'
import { expect } from 'vitest'
import { fromBfloat16, isDType, isFloat } from '../../src/tensor/dtype.js'
import { deltaRule } from '../../src/tensor/ops/delta-rule.js'
import { diagonal } from '../../src/tensor/ops/diagonal.js'
import type { OpName } from '../../src/tensor/ops/index.js'
import { slstm } from '../../src/tensor/ops/slstm.js'
import { type Meta, record } from '../../src/tensor/record.js'
import { elements, type Shape } from '../../src/tensor/shape.js'
import { expectClose, finiteDifference } from '../tolerances.js'

/** A line of cases.jsonl. */
export interface Case {
  op: OpName
  inputs: string[]
  attributes?: Record<string, unknown>
  dtypes?: DType[]
  fd?: false
  twice?: false
  loose?: number
  why?: string
}

type Layout = 'contiguous' | 'transposed' | 'sliced' | 'expanded'
/** JSON has neither NaN nor infinities: they are strings. */
type JsonNumber = number | boolean | 'NaN' | 'Infinity' | '-Infinity'

interface InputFixture {
  kind: string
  shape: Shape
  layout: Layout
  values: JsonNumber[]
}

export interface CaseFixture {
  /** The line of cases.jsonl that it was made from. */
  case: string
  inputs: (InputFixture | null)[]
  /** The dtypes of the results, by the dtype of the inputs that name none. */
  dtypes: Partial<Record<DType, DType[]>>
  outputs: { shape: Shape; values: JsonNumber[] }[]
  /** By input; null where there is none. */
  gradients: (JsonNumber[] | null)[] | null
}

export interface Fixture {
  torch: string
  casesSha256: string
  cases: CaseFixture[]
}

export function readJson(path: string): unknown {
  return JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'))
}

/** Lines of cases.jsonl without its comments. */
export function caseLines(): string[] {
  const lines = readFileSync(new URL('cases.jsonl', import.meta.url), 'utf8').split('\n')
  return lines.filter((line) => line !== '' && !line.startsWith('//'))
}

/** The elements as numbers, whatever the dtype. */
export async function numbersOf(x: Tensor): Promise<number[]> {
  const data: ArrayLike<number | bigint> = await x.data()
  return Array.from(x.dtype === 'bfloat16' ? fromBfloat16(data as Uint16Array) : data, Number)
}

/** What only our kernels compute, and on the CPU only. */
function isOurs({ op, attributes = {} }: Case): boolean {
  return 'recompute' in attributes || op in deltaRule || op in diagonal || op in slstm || op.endsWith('Stack')
}

/** On CUDA, lengths in float32 and bfloat16 only (tests/cuda). */
function hasLengths({ op, inputs }: Case): boolean {
  return ['lstm', 'gru', 'rnn'].includes(op) && inputs.some((input) => input.startsWith('int64'))
}

/** Checks one case on a device, in each of its dtypes. */
export async function checkOp(fixture: CaseFixture, device: Device): Promise<void> {
  const one = JSON.parse(fixture.case) as Case
  if (device !== 'cpu' && hasLengths(one)) return
  if (device !== 'cpu' && isOurs(one)) {
    expect(() => new Run(one, fixture, 'float32', device).call()).toThrow(
      expect.objectContaining({ code: 'ERR_DEVICE' }),
    )
    return
  }
  for (const dtype of Object.keys(fixture.dtypes) as DType[]) {
    const run = new Run(one, fixture, dtype, device)
    await run.values()
    if (fixture.gradients === null) continue
    await run.gradients(fixture.gradients)
    // In float64 throughout, or rounding drowns the difference.
    if (dtype === 'float64' && one.fd !== false && run.floats().every((name) => name === 'float64')) {
      await run.differences()
      if (one.twice !== false) await run.twice()
    }
  }
}

class Run {
  readonly #loose: number

  constructor(
    private readonly one: Case,
    private readonly fixture: CaseFixture,
    private readonly dtype: DType,
    private readonly device: Device,
  ) {
    this.#loose = one.loose ?? 1
  }

  /** The float dtypes that take part. */
  floats(): DType[] {
    const inputs = this.fixture.inputs.map((input) => (input === null ? 'bool' : this.#dtypeOf(input)))
    return [...inputs, ...(this.fixture.dtypes[this.dtype] ?? [])].filter(isFloat)
  }

  /** The dtype whose tolerance holds: the least precise of those that take part. */
  #precision(own: DType): DType {
    if (!isFloat(own)) return own
    return (['bfloat16', 'float32'] as const).find((name) => this.floats().includes(name)) ?? 'float64'
  }

  #dtypeOf({ kind }: InputFixture): DType {
    return isDType(kind) ? kind : this.dtype
  }

  /** The inputs, in their layouts; those that gradients are taken for are views of variables. */
  #inputs(moved?: { index: number; by: (i: number) => number }): (Tensor | undefined)[] {
    return this.fixture.inputs.map((input, index) => {
      if (input === null) return undefined
      const values = input.values.map((value, i) => Number(value) + (moved?.index === index ? moved.by(i) : 0))
      const dtype = this.#dtypeOf(input)
      return laidOut(values, input.shape, input.layout, dtype, this.device, isFloat(dtype) && input.kind !== 'constant')
    })
  }

  call(inputs: readonly (Tensor | undefined)[] = this.#inputs()): Tensor[] {
    const { op, attributes = {} } = this.one
    const metas = this.fixture.outputs.map(
      ({ shape }, k): Meta => ({ shape, dtype: this.fixture.dtypes[this.dtype]?.[k] as DType, device: this.device }),
    )
    const given = Object.fromEntries(
      Object.entries(attributes).map(([key, value]) => [
        key,
        /^(-?Infinity|NaN)$/.test(String(value)) ? Number(value) : value,
      ]),
    )
    return record(op, inputs, { device: this.device, metas, ...given } as never).map((result) => new Tensor(result))
  }

  async values(): Promise<void> {
    const outputs = this.call(this.#inputs())
    expect(outputs.length, 'number of results').toBe(this.fixture.outputs.length)
    const found = await Promise.all(outputs.map(numbersOf))
    for (const [k, output] of outputs.entries()) {
      const expected = this.fixture.outputs[k] as CaseFixture['outputs'][number]
      const what = `${this.dtype}, result ${k}`
      expect(output.shape, `${what}: shape`).toEqual(expected.shape)
      expect(output.dtype, `${what}: dtype`).toBe(this.fixture.dtypes[this.dtype]?.[k])
      expectClose(found[k] as number[], expected.values.map(Number), this.#precision(output.dtype), what, this.#loose)
    }
    expect(
      outputs.some((output) => output.requiresGrad),
      `${this.dtype}: whether gradients flow`,
    ).toBe(this.fixture.gradients !== null)
  }

  /** Σ of the results times fixed numbers. */
  #loss(inputs: readonly (Tensor | undefined)[]): Tensor {
    const parts = this.call(inputs).flatMap((y, k) => (y.requiresGrad ? [y.mul(cotangent(y, k)).sum()] : []))
    return parts.reduce((a, b) => a.add(b))
  }

  #gradientsOf(inputs: readonly (Tensor | undefined)[], options: GradOptions = {}): (Tensor | undefined)[] {
    const leaves = inputs.filter((x): x is Tensor => x?.requiresGrad === true)
    const gradients = grad(this.#loss(inputs), leaves, { unused: 'zeros', ...options })
    return inputs.map((x) => (x?.requiresGrad ? gradients.get(x) : undefined))
  }

  async gradients(expected: (JsonNumber[] | null)[]): Promise<void> {
    const inputs = this.#inputs()
    const gradients = this.#gradientsOf(inputs)
    const found = await Promise.all(gradients.map(async (gradient) => gradient && (await numbersOf(gradient))))
    for (const [i, gradient] of gradients.entries()) {
      const what = `${this.dtype}, gradient of input ${i}`
      expect(gradient === undefined, `${what}: absent`).toBe(expected[i] === null)
      if (gradient === undefined) continue
      expect(gradient.dtype, `${what}: dtype`).toBe((inputs[i] as Tensor).dtype)
      expectClose(
        found[i] as number[],
        (expected[i] as JsonNumber[]).map(Number),
        this.#precision(gradient.dtype),
        what,
        this.#loose,
      )
    }
  }

  /** (f(x + hd) − f(x − hd)) / 2h = ∇f · d, one direction d per input. */
  async differences(): Promise<void> {
    const inputs = this.#inputs()
    await this.#compare('finite difference', this.#gradientsOf(inputs), (moved) => this.#loss(moved))
  }

  /** The same for ∇f · e, with another direction e: the gradient of the gradient. */
  async twice(): Promise<void> {
    const slope = (inputs: readonly (Tensor | undefined)[], createGraph: boolean): Tensor => {
      const gradients = this.#gradientsOf(inputs, { createGraph })
      const parts = gradients.flatMap((gradient, index) => {
        if (gradient === undefined) return []
        const along = Array.from({ length: gradient.size }, (_, i) => direction(i, index + 7))
        return [
          gradient.mul(tensor(along, { shape: gradient.shape, dtype: gradient.dtype, device: this.device })).sum(),
        ]
      })
      return parts.reduce((a, b) => a.add(b))
    }
    const inputs = this.#inputs()
    const leaves = inputs.filter((x): x is Tensor => x?.requiresGrad === true)
    const second = grad(slope(inputs, true), leaves, { unused: 'zeros' })
    const gradients = inputs.map((x) => (x?.requiresGrad ? second.get(x) : undefined))
    await this.#compare('second derivative', gradients, (moved) => slope(moved, false))
  }

  async #compare(
    what: string,
    gradients: (Tensor | undefined)[],
    f: (inputs: readonly (Tensor | undefined)[]) => Tensor,
  ): Promise<void> {
    const { step, rtol, atol } = finiteDifference
    for (const [index, gradient] of gradients.entries()) {
      if (gradient === undefined || gradient.size === 0) continue
      // The rows of an expanded input are one: they move together.
      const { layout, shape } = this.fixture.inputs[index] as InputFixture
      const free = layout === 'expanded' ? elements(shape.slice(1)) : gradient.size
      const at = (sign: number): Promise<number> =>
        f(this.#inputs({ index, by: (i) => sign * step * direction(i % free, index) })).item()
      const [g, above, below] = await Promise.all([numbersOf(gradient), at(1), at(-1)])
      const slope = g.reduce((sum, value, i) => sum + value * direction(i % free, index), 0)
      const difference = (above - below) / (2 * step)
      const size = g.reduce((sum, value) => sum + Math.abs(value), 0)
      expect(
        Math.abs(slope - difference),
        `${what} for input ${index}: ${difference}, gradient · direction: ${slope}`,
      ).toBeLessThanOrEqual(atol + rtol * size)
    }
  }
}

/** The fixed gradient of result k: never 0, exact in bfloat16. make_fixtures.py computes the same. */
export function cotangent(y: Tensor, k: number): Tensor {
  const values = Array.from({ length: y.size }, (_, i) => (((7 * i + 3 * k) % 10) - 4.5) / 4)
  return tensor(values, { shape: y.shape, dtype: y.dtype, device: y.device })
}

/** A direction without pattern: the fractional parts of multiples of the golden ratio, in −1 … 1. */
function direction(i: number, index: number): number {
  return 2 * (((i + 1) * 0.6180339887498949 + index * 0.37) % 1) - 1
}

/** A tensor of these row-major values whose elements lie in memory as `layout` says. */
function laidOut(
  values: number[],
  shape: Shape,
  layout: Layout,
  dtype: DType,
  device: Device,
  gradients: boolean,
): Tensor {
  const base = (data: number[], size: Shape): Tensor => {
    const made = tensor(data, { shape: size, dtype, device })
    return gradients ? new Variable(made) : made
  }
  switch (layout) {
    case 'contiguous':
      return base(values, shape)
    case 'transposed': {
      const turned = shape.map((_, i) => shape.length - 1 - i)
      if (turned.length < 2) throw new Error('transposed: at least two axes are needed')
      return base(reversedAxes(values, shape), [...shape].reverse()).permute(turned)
    }
    case 'sliced': {
      // Every second element of rows that are twice as long.
      const width = shape.at(-1) as number
      const rows = elements(shape.slice(0, -1))
      const data = Array.from({ length: rows * (2 * width + 1) }, (_, i) => {
        const [row, column] = [Math.floor(i / (2 * width + 1)), i % (2 * width + 1)]
        return column % 2 === 1 ? (values[row * width + (column - 1) / 2] as number) : 99
      })
      return base(data, [...shape.slice(0, -1), 2 * width + 1]).slice(-1, 1, Infinity, 2)
    }
    case 'expanded':
      return base(values.slice(0, elements(shape.slice(1))), [1, ...shape.slice(1)]).expand(shape)
  }
}

/** The values of the array with its axes in reverse order. */
function reversedAxes(values: number[], shape: Shape): number[] {
  const strides = shape.map((_, i) => elements(shape.slice(i + 1)))
  let indices: number[] = [0]
  for (let i = shape.length - 1; i >= 0; i--) {
    const size = shape[i] as number
    const stride = strides[i] as number
    indices = indices.flatMap((index) => Array.from({ length: size }, (_, k) => index + k * stride))
  }
  return indices.map((index) => values[index] as number)
}
