// The table that Module.summary returns.
import { DTypeError } from '../errors.js'
import { zeros } from '../tensor/create.js'
import type { Device } from '../tensor/device.js'
import { type DType, dtypes } from '../tensor/dtype.js'
import { Generator, withGenerator } from '../tensor/random.js'
import { noGrad, scope } from '../tensor/scope.js'
import { type Shape, show } from '../tensor/shape.js'
import { Tensor } from '../tensor/tensor.js'
import { tensorsIn } from '../tensor/tree.js'
import { Buffer } from './buffer.js'
import type { Members } from './members.js'
import type { Module } from './module.js'

/** An input of `forward`: the shape of zeros, with their dtype if it is not the usual one, or a tensor. */
export type SummaryInput = Shape | { shape: Shape; dtype: DType } | Tensor

interface Place {
  dtype: DType
  device: Device
}

export function summarize(root: Module, members: Members, inputs: readonly SummaryInput[], place: Place): string {
  const shapes = outputShapes(root, members, inputs, place)
  const rows: Row[] = [...members.modules].map(([path, module]) => {
    const own = [...members.owners].filter(([, owner]) => owner === module).map(([variable]) => variable)
    const trained = own.filter((variable) => !(variable instanceof Buffer))
    return {
      layer: `${'  '.repeat(path === '' ? 0 : path.split('.').length)}${path === '' ? '' : `${path} `}${module.constructor.name}`,
      output: shapes.get(module) ?? '—',
      parameters: sum(trained, (variable) => variable.size),
      frozen: sum(trained, (variable) => (variable.requiresGrad ? 0 : variable.size)),
      bytes: sum(own, (variable) => variable.size * dtypes[variable.dtype].bytes),
    }
  })
  return table(rows)
}

interface Row {
  layer: string
  output: string
  parameters: number
  frozen: number
  bytes: number
}

function table(rows: readonly Row[]): string {
  const total = sum(rows, (row) => row.parameters)
  const frozen = sum(rows, (row) => row.frozen)
  const cells = [
    ['layer', 'output', 'parameters', 'bytes'],
    ...rows.map((row) => [row.layer, row.output, count(row.parameters), bytes(row.bytes)]),
    [
      frozen === 0 ? 'total' : `total (${count(frozen)} frozen)`,
      '',
      count(total),
      bytes(sum(rows, (row) => row.bytes)),
    ],
  ]
  const widths = [0, 1, 2, 3].map((column) => Math.max(...cells.map((row) => (row[column] as string).length)))
  const lines = cells.map((row) => {
    const padded = row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i] as number) : cell.padStart(widths[i] as number)))
    return padded.join('   ').trimEnd()
  })
  const rule = '─'.repeat(widths.reduce((all, width) => all + width + 3, -3))
  return [lines[0], rule, ...lines.slice(1, -1), rule, lines.at(-1)].join('\n')
}

/** The shape of each module's first output, in one run without gradients that leaves mode, generator and memory as they were. */
function outputShapes(
  root: Module,
  { modules }: Members,
  inputs: readonly SummaryInput[],
  place: Place,
): Map<Module, string> {
  const shapes = new Map<Module, string>()
  const modes = [...modules.values()].map((module) => [module, module.training] as const)
  const restore = [...modules.values()].map((module) =>
    watch(module, (output) => shapes.has(module) || shapes.set(module, describe(output))),
  )
  const run = (dtype: DType): void =>
    withGenerator(new Generator(0), () =>
      noGrad(() =>
        scope(() => {
          const made = inputs.map((input) => toTensor(input, { dtype, device: place.device }))
          ;(root.forward as (...inputs: Tensor[]) => unknown)(...made)
        }),
      ),
    )
  try {
    root.eval()
    try {
      run(place.dtype)
    } catch (error) {
      // Indices are int64: tried only where the model refuses floats.
      if (!(error instanceof DTypeError) || inputs.every((input) => !Array.isArray(input))) throw error
      shapes.clear()
      run('int64')
    }
  } finally {
    for (const undo of restore) undo()
    for (const [module, training] of modes) module.training = training
  }
  return shapes
}

function toTensor(input: SummaryInput, place: Place): Tensor {
  if (input instanceof Tensor) return input
  return 'shape' in input ? zeros(input.shape, { ...place, dtype: input.dtype }) : zeros(input, place)
}

/** Reports what `forward` of a module returns until the returned function is called. */
function watch(module: Module, report: (output: unknown) => void): () => void {
  const own = Object.getOwnPropertyDescriptor(module, 'forward')
  const forward = module.forward as (...inputs: unknown[]) => unknown
  const watched = (...inputs: unknown[]): unknown => {
    const output = forward.apply(module, inputs)
    report(output)
    return output
  }
  Object.defineProperty(module, 'forward', { value: watched, configurable: true, enumerable: false, writable: true })
  return () => {
    if (own === undefined) delete (module as { forward?: unknown }).forward
    else Object.defineProperty(module, 'forward', own)
  }
}

function describe(output: unknown): string {
  const first = tensorsIn(output)[0]
  return first === undefined ? '—' : show(first.shape)
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0)
}

const count = (n: number): string => n.toLocaleString('en-US')

function bytes(n: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = n === 0 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(n) / 10))
  return `${power === 0 ? n : (n / 1024 ** power).toFixed(1)} ${units[power]}`
}
