// Every error class of Quarterturn, and the one place where the engine's error data become JavaScript errors.

/** The stable codes that errors carry; programs compare these, never messages. */
export type ErrorCode =
  | 'ERR_SHAPE'
  | 'ERR_DTYPE'
  | 'ERR_DEVICE'
  | 'ERR_ARGUMENT'
  | 'ERR_RANGE'
  | 'ERR_DISPOSED'
  | 'ERR_CAPTURE'
  | 'ERR_UNUSED'
  | 'ERR_NOT_FINITE'
  | 'ERR_OUT_OF_MEMORY'
  | 'ERR_ENGINE'
  | 'ERR_PANIC'
  | 'ERR_ABORTED'
  | 'ERR_BUSY'
  | 'ERR_CALLBACK'
  | 'ERR_CHECKPOINT'
  | 'ERR_DATA'
  | 'ERR_IO'
  | 'ERR_NATIVE'
  | 'ERR_PACKAGE'

export interface ErrorDetails {
  /** The operation or function that refused, for example `lstm`. */
  op?: string | undefined
  /** What would have been right. */
  expected?: string | undefined
  /** What was given. */
  got?: string | undefined
  cause?: unknown
}

/** The base class: every error that Quarterturn throws or rejects with is one. */
export class QuarterturnError extends Error {
  readonly code: ErrorCode
  readonly op: string | undefined
  readonly expected: string | undefined
  readonly got: string | undefined
  /** The user's line that recorded the failed operation; known under `QUARTERTURN_TRACE=1`. */
  recordedAt: string | undefined

  constructor(code: ErrorCode, message: string, { op, expected, got, cause }: ErrorDetails = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = new.target.name
    this.code = code
    this.op = op
    this.expected = expected
    this.got = got
  }
}

/** Shapes that do not fit: `ERR_SHAPE`. */
export class ShapeError extends QuarterturnError {
  constructor(message: string, details?: ErrorDetails) {
    super('ERR_SHAPE', message, details)
  }
}

/** A dtype that the operation does not take: `ERR_DTYPE`. */
export class DTypeError extends QuarterturnError {
  constructor(message: string, details?: ErrorDetails) {
    super('ERR_DTYPE', message, details)
  }
}

/** A device that is absent, or operands on two devices: `ERR_DEVICE`. */
export class DeviceError extends QuarterturnError {
  constructor(message: string, details?: ErrorDetails) {
    super('ERR_DEVICE', message, details)
  }
}

/** An argument outside its domain: `ERR_ARGUMENT`. */
export class ArgumentError extends QuarterturnError {
  constructor(message: string, details?: ErrorDetails) {
    super('ERR_ARGUMENT', message, details)
  }
}

/** An index or number out of range, also one found only while running: `ERR_RANGE`. */
export class OutOfRangeError extends QuarterturnError {
  constructor(message: string, details?: ErrorDetails) {
    super('ERR_RANGE', message, details)
  }
}

/** A tensor used after `dispose()`, or after the end of the scope that owned it: `ERR_DISPOSED`. */
export class DisposedError extends QuarterturnError {
  constructor(message: string, details?: ErrorDetails) {
    super('ERR_DISPOSED', message, details)
  }
}

/** A recorded function used a value that is not among its inputs, or tried to read one: `ERR_CAPTURE`. */
export class CaptureError extends QuarterturnError {
  constructor(message: string, details?: ErrorDetails) {
    super('ERR_CAPTURE', message, details)
  }
}

/** A gradient was asked for a variable that the loss does not depend on: `ERR_UNUSED`. */
export class UnusedVariableError extends QuarterturnError {
  constructor(message: string, details?: ErrorDetails) {
    super('ERR_UNUSED', message, details)
  }
}

/** A loss or gradient that is NaN or infinite: `ERR_NOT_FINITE`. */
export class NotFiniteError extends QuarterturnError {
  constructor(message: string, details?: ErrorDetails) {
    super('ERR_NOT_FINITE', message, details)
  }
}

/** The device has no memory left for a result: `ERR_OUT_OF_MEMORY`. */
export class OutOfMemoryError extends QuarterturnError {
  constructor(message: string, details?: ErrorDetails) {
    super('ERR_OUT_OF_MEMORY', message, details)
  }
}

/** An operation failed inside libtorch or our kernels: `ERR_ENGINE`, or `ERR_PANIC` for a contained panic. */
export class EngineError extends QuarterturnError {
  constructor(message: string, details?: ErrorDetails, code: 'ERR_ENGINE' | 'ERR_PANIC' = 'ERR_ENGINE') {
    super(code, message, details)
  }
}

/** Work stopped on request: `ERR_ABORTED`. */
export class AbortedError extends QuarterturnError {
  constructor(message: string, details?: ErrorDetails) {
    super('ERR_ABORTED', message, details)
  }
}

/** A second `fit` of a model that is being fitted: `ERR_BUSY`. */
export class BusyError extends QuarterturnError {
  constructor(message: string, details?: ErrorDetails) {
    super('ERR_BUSY', message, details)
  }
}

/** A callback of the user threw; `cause` is what it threw: `ERR_CALLBACK`. */
export class CallbackError extends QuarterturnError {
  constructor(message: string, details?: ErrorDetails) {
    super('ERR_CALLBACK', message, details)
  }
}

/** A checkpoint or weight file that is missing, damaged, or of another model: `ERR_CHECKPOINT`. */
export class CheckpointError extends QuarterturnError {
  constructor(message: string, details?: ErrorDetails) {
    super('ERR_CHECKPOINT', message, details)
  }
}

/** Data that are malformed, with the place where that is known: `ERR_DATA`. */
export class DataError extends QuarterturnError {
  /** Line of the file, from 1. */
  readonly line: number | undefined
  /** Column of the line, from 1. */
  readonly column: number | undefined

  constructor(message: string, { line, column, ...details }: ErrorDetails & { line?: number; column?: number } = {}) {
    super('ERR_DATA', message, details)
    this.line = line
    this.column = column
  }
}

/** The file system refused: `ERR_IO`; the message names the path and the system's own code. */
export class FileError extends QuarterturnError {
  constructor(message: string, details?: ErrorDetails) {
    super('ERR_IO', message, details)
  }
}

/** The addon or libtorch cannot be loaded: `ERR_NATIVE`. */
export class NativeError extends QuarterturnError {
  constructor(message: string, details?: ErrorDetails) {
    super('ERR_NATIVE', message, details)
  }
}

/** An optional package that a function needs is not installed; the message ends with the command that mends it: `ERR_PACKAGE`. */
export class PackageError extends QuarterturnError {
  constructor(message: string, details?: ErrorDetails) {
    super('ERR_PACKAGE', message, details)
  }
}

/** What the addon sends for an error (docs/protocol.md). */
export interface NativeErrorData {
  id: number
  code: string
  op: string
  message: string
  expected?: string | null
  got?: string | null
  sequence: number
  slot?: number | null
}

type Builder = (message: string, details: ErrorDetails) => QuarterturnError

const builders: Record<ErrorCode, Builder> = {
  ERR_SHAPE: (m, d) => new ShapeError(m, d),
  ERR_DTYPE: (m, d) => new DTypeError(m, d),
  ERR_DEVICE: (m, d) => new DeviceError(m, d),
  ERR_ARGUMENT: (m, d) => new ArgumentError(m, d),
  ERR_RANGE: (m, d) => new OutOfRangeError(m, d),
  ERR_DISPOSED: (m, d) => new DisposedError(m, d),
  ERR_CAPTURE: (m, d) => new CaptureError(m, d),
  ERR_UNUSED: (m, d) => new UnusedVariableError(m, d),
  ERR_NOT_FINITE: (m, d) => new NotFiniteError(m, d),
  ERR_OUT_OF_MEMORY: (m, d) => new OutOfMemoryError(m, d),
  ERR_ENGINE: (m, d) => new EngineError(m, d),
  ERR_PANIC: (m, d) => new EngineError(m, d, 'ERR_PANIC'),
  ERR_ABORTED: (m, d) => new AbortedError(m, d),
  ERR_BUSY: (m, d) => new BusyError(m, d),
  ERR_CALLBACK: (m, d) => new CallbackError(m, d),
  ERR_CHECKPOINT: (m, d) => new CheckpointError(m, d),
  ERR_DATA: (m, d) => new DataError(m, d),
  ERR_IO: (m, d) => new FileError(m, d),
  ERR_NATIVE: (m, d) => new NativeError(m, d),
  ERR_PACKAGE: (m, d) => new PackageError(m, d),
}

/** The JavaScript error for error data of the addon; `variable` is the name of the slot that the error points to. */
export function fromNative(data: NativeErrorData, variable?: string): QuarterturnError {
  const build = builders[data.code as ErrorCode] ?? builders.ERR_ENGINE
  const about = variable === undefined ? '' : ` (${variable})`
  const message = data.op && !data.message.startsWith(`${data.op}:`) ? `${data.op}: ${data.message}` : data.message
  return build(message + about, {
    op: data.op || undefined,
    expected: data.expected ?? undefined,
    got: data.got ?? variable,
  })
}
