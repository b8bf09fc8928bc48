// Recording one operation: its shape rule runs at once, at the user's own line; its entry goes to the queue.
import { ArgumentError, CaptureError, DeviceError, DisposedError, OutOfMemoryError } from '../errors.js'
import type { Device } from './device.js'
import { type DType, dtypes, isFloat } from './dtype.js'
import { type Attributes, type OpName, ops } from './ops/index.js'
import { currentLane, newId, write } from './queue.js'
import { elements, type Shape, show } from './shape.js'

/** What is known of a tensor before it is computed. */
export interface Meta {
  readonly shape: Shape
  readonly dtype: DType
  readonly device: Device
}

/** What an operation needs of a tensor: `id` 0 after its disposal. */
export interface Handle extends Meta {
  /** @internal */
  readonly id: number
  readonly requiresGrad: boolean
  /** @internal The program being recorded that computes it, if any. */
  readonly program: Program | undefined
}

/** A program being recorded: it knows its own values and may take in variables of the outside. */
export interface Program {
  /** The id under which the program knows a value of the outside; throws unless it may be used there. */
  capture(handle: Handle, op: string): number
}

export interface Result extends Meta {
  readonly id: number
  readonly requiresGrad: boolean
  readonly program: Program | undefined
  /** 1 if it is computed, and so read, ahead of the queue. */
  readonly lane: 0 | 1
  /** Bytes of its own: a view has none. */
  readonly bytes: number
}

let gradEnabled = true
let program: Program | undefined

/** Whether operations recorded now take part in gradients. */
export function isGradEnabled(): boolean {
  return gradEnabled
}

/** Runs a synchronous function with recording of gradients switched on or off. */
export function withGrad<T>(enabled: boolean, fn: () => T): T {
  const outer = gradEnabled
  gradEnabled = enabled
  try {
    return fn()
  } finally {
    gradEnabled = outer
  }
}

export function withProgram<T>(inner: Program, fn: () => T): T {
  const outer = program
  program = inner
  try {
    return fn()
  } finally {
    program = outer
  }
}

/** @throws ArgumentError for what is no tensor: types are not there at run time. */
export function needTensor(value: unknown, op: string, name = 'an operand'): void {
  if (typeof value === 'object' && value !== null && typeof (value as Handle).id === 'number') return
  const got = value === null ? 'null' : typeof value
  throw new ArgumentError(`${op}: ${name} must be a tensor, got ${got}`, { op, expected: 'a tensor', got })
}

/** The id to write for an input: checks that it is a tensor, is alive and belongs here. */
export function inputId(handle: Handle, op: string): number {
  needTensor(handle, op)
  if (handle.id === 0) {
    throw new DisposedError(`${op}: this tensor was disposed: by dispose(), or at the end of the scope that made it`, {
      op,
    })
  }
  if (handle.program === program) return handle.id
  if (program !== undefined) return program.capture(handle, op)
  throw new CaptureError(`${op}: this tensor belongs to a recorded function; return it from there to use it outside`, {
    op,
  })
}

/** What no machine has: the addresses of 47 bits. */
const MOST_BYTES = 2 ** 47

function tooLarge(op: string, shape: Shape): OutOfMemoryError {
  return new OutOfMemoryError(`${op}: a result of shape ${show(shape)} is larger than any memory`, {
    op,
    got: show(shape),
  })
}

/**
 * Records `name` over `inputs` and returns its results.
 *
 * @throws ShapeError, DTypeError, DeviceError, DisposedError, CaptureError before anything is queued.
 */
export function record<N extends OpName>(
  name: N,
  inputs: readonly (Handle | undefined)[],
  attributes: Attributes<N>,
): Result[] {
  const spec = ops[name]
  const ids = new Array<number>(inputs.length)
  let device: Device | undefined
  let differentiable = false
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i]
    if (input === undefined) {
      ids[i] = 0
      continue
    }
    ids[i] = inputId(input, name)
    if (device === undefined) device = input.device
    else if (device !== input.device && spec.anyDevice !== true) {
      throw new DeviceError(`${name}: operands are on ${device} and ${input.device}; move one with .to()`, {
        op: name,
        expected: device,
        got: input.device,
      })
    }
    if (input.requiresGrad) differentiable = true
  }
  const metas = spec.outputs(inputs, attributes as never)
  const words = spec.attributes(attributes as never)
  const grad = differentiable && gradEnabled && spec.differentiable !== false
  const results = new Array<Result>(metas.length)
  const outputs = new Array<number>(metas.length)
  const lane = currentLane()
  let bytes = 0
  for (let i = 0; i < metas.length; i++) {
    const { shape, dtype, device } = metas[i] as Meta
    const whole = elements(shape) * dtypes[dtype].bytes
    if (whole > MOST_BYTES) throw tooLarge(name, shape)
    const own = spec.view === true ? 0 : whole
    const id = newId()
    outputs[i] = id
    bytes += own
    results[i] = { id, shape, dtype, device, requiresGrad: grad && isFloat(dtype), program, lane, bytes: own }
  }
  write(name, gradEnabled ? 0 : 1, ids, outputs, words, bytes)
  return results
}
