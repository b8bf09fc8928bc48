// The queue to the engine: entries are written here, handed over once per tick or every 16, and answered by replies.
import { isMainThread } from 'node:worker_threads'
import { CaptureError, fromNative, type NativeErrorData, OutOfMemoryError, type QuarterturnError } from '../errors.js'
import { native } from '../native.js'
import { Words } from './words.js'

const ENTRIES_PER_HANDOVER = 16
const EXIT_GRACE_MS = 100
const TRACED_ENTRIES = 200_000

type Settle = { resolve: (payload: unknown) => void; reject: (error: QuarterturnError) => void }

/** Where entries go: the queue itself, a unit of the second lane, or a program being recorded. */
export interface Sink {
  readonly words: Words
  /** Whether its entries are counted by sequence numbers: those of a program are not. */
  readonly counted: boolean
  /** 1 for a unit that runs ahead of the queue. */
  readonly lane: 0 | 1
  /** Bytes that the written entries will allocate. */
  bytes: number
  /** Optimizer steps among them. */
  steps: number
}

const main: Sink = newSink('queue')
let sink: Sink = main
let codes: Map<string, number> | undefined
let nextId = 1
let submitted = 0
let finishedAt = 0
let flushQueued = false
let external = 0
let inFlight = 0
let keepAlive: NodeJS.Timeout | undefined
let freed: number[] = []
let macrotaskBytes = 0

const requests = new Map<number, Settle>()
const failures = new Map<number, QuarterturnError>()
const names = new Map<number, () => string>()
const tracing = process.env.QUARTERTURN_TRACE === '1'
const sites = new Map<number, string>()

/** A new id: of a tensor, a program or a request. */
export function newId(): number {
  return nextId++
}

/** Writes one entry to the current sink. */
export function write(
  op: string,
  flags: number,
  inputs: readonly number[],
  outputs: readonly number[],
  attributes: readonly number[],
  bytes = 0,
): void {
  const code = (codes ?? start()).get(op) as number
  sink.words.entry(code + 4096 * flags, inputs, outputs, attributes)
  sink.bytes += bytes
  if (tracing && sink.counted) trace(submitted + main.words.entries + (sink === main ? 0 : sink.words.entries))
  if (sink !== main) return
  if (sink.words.entries >= ENTRIES_PER_HANDOVER) flush()
  else if (!flushQueued) {
    flushQueued = true
    queueMicrotask(flush)
  }
}

/** Counts one optimizer step for back pressure. */
export function countStep(): void {
  sink.steps++
}

/** Hands over what has been written. */
export function flush(): void {
  flushQueued = false
  if (codes === undefined) return
  if (freed.length > 0) {
    main.words.entry(codes.get('free') as number, freed, [], [])
    freed = []
  }
  submit(main)
}

function submit(from: Sink): void {
  const { words, lane, steps, bytes } = from
  if (words.entries === 0 && external === 0) return
  macrotaskBytes += bytes
  const full = native().submit(lane, words.view(), steps, bytes, external)
  submitted += words.entries
  words.clear()
  from.bytes = 0
  from.steps = 0
  external = 0
  // Only a loop that never yields gets here with a full queue; it was blocking the event loop anyway.
  if (full) native().wait()
}

/** Runs `record` with `target` as the sink, which must not be left by an await. */
export function into<T>(target: Sink, record: () => T): T {
  const outer = sink
  sink = target
  try {
    return record()
  } finally {
    sink = outer
  }
}

/** Whether entries are being recorded into something else than the queue. */
export function isRecording(): boolean {
  return sink !== main
}

export function newSink(kind: 'queue' | 'unit' | 'program'): Sink {
  return { words: new Words(), counted: kind !== 'program', lane: kind === 'unit' ? 1 : 0, bytes: 0, steps: 0 }
}

/** The lane of what is recorded now. */
export function currentLane(): 0 | 1 {
  return sink.lane
}

/** Hands over a unit of the second lane: it runs whole, before the rest of what is queued. */
export function submitUnit(unit: Sink): void {
  // What is queued comes first, but not the releases: the unit may use what was released after it was recorded.
  submit(main)
  submit(unit)
}

/** Writes a request to a lane and returns its payload when the engine has answered. */
export function request(
  op: string,
  inputs: readonly number[],
  attributes: readonly number[],
  lane: 0 | 1 = 0,
): Promise<unknown> {
  if (isRecording()) {
    throw new CaptureError(
      `${op}: a function that is being recorded cannot read values; return the tensor and read it outside`,
      { op },
    )
  }
  return ask((id) => {
    const unit = lane === 1 ? newSink('unit') : main
    into(unit, () => write(op, 0, inputs, [], [id, ...attributes]))
    if (lane === 1) submitUnit(unit)
    else flush()
  })
}

/** A promise that the reply to `send`'s request id settles; keeps the process alive until then. */
export function ask(send: (request: number) => void): Promise<unknown> {
  if (codes === undefined) start()
  return new Promise((resolve, reject) => {
    const id = newId()
    requests.set(id, { resolve, reject })
    if (inFlight++ === 0) keepAlive?.ref()
    send(id)
  })
}

/** Starts the engine for this thread, if nothing has done so yet: for calls of the addon that need it. */
export function begin(): void {
  if (codes === undefined) start()
}

/** Puts a copy of bytes aside for an operation that names it. */
export function stage(bytes: Uint8Array): number {
  begin()
  return native().stage(bytes)
}

/** Puts equally long columns aside, side by side: the matrix [rows, columns], in float64 or float32. */
export function stageColumns(columns: readonly (Float64Array | Float32Array)[], dtype: 'float64' | 'float32'): number {
  begin()
  const given = columns.map((values) => (values instanceof Float64Array ? { float64: values } : { float32: values }))
  try {
    return native().stageColumns(given, dtype === 'float64')
  } catch (cause) {
    throw new OutOfMemoryError('Table.tensor: no memory holds the matrix', { op: 'Table.tensor', cause })
  }
}

/** Tells the engine that nobody can use this tensor any more, and V8 how many of the bytes that it was told of are gone. */
export function release(id: number, bytes: number): void {
  freed.push(id)
  external -= bytes
  names.delete(id)
  if (!flushQueued) {
    flushQueued = true
    queueMicrotask(flush)
  }
}

/** Tells V8 about bytes that a handle keeps outside its heap. */
export function account(bytes: number): void {
  external += bytes
}

/** Gives the slot of a variable a name for error messages. */
export function nameSlot(id: number, name: () => string): void {
  names.set(id, name)
}

/** Throws the first error that nobody has awaited: called where training goes on (`step`, `save`, a loader's turn). */
export function throwPending(): void {
  for (const [id, error] of failures) {
    failures.delete(id)
    throw error
  }
}

/** Forgets errors that nobody has awaited; returns them. */
export function takePending(): QuarterturnError[] {
  const all = [...failures.values()]
  failures.clear()
  return all
}

/** A turn of the event loop when much was allocated since the last one, so that finalizers run. */
export async function breathe(budget = 64 * 2 ** 20): Promise<void> {
  if (macrotaskBytes < budget) return
  macrotaskBytes = 0
  await new Promise((resolve) => setImmediate(resolve))
}

function start(): Map<string, number> {
  const addon = native()
  codes = new Map(addon.operations().map((name, code) => [name, code]))
  addon.start(reply)
  keepAlive = setInterval(() => {}, 2 ** 30)
  keepAlive.unref()
  // The engine must stop before libtorch's statics are destroyed; workers are cleaned up by the addon itself.
  if (isMainThread) process.on('exit', (code) => addon.park(EXIT_GRACE_MS, code))
  process.on('beforeExit', finish)
  return codes
}

function reply(kind: 'value' | 'error' | 'failure', id: number, payload: unknown): void {
  macrotaskBytes = 0
  if (kind === 'failure') {
    const data = payload as NativeErrorData
    failures.set(data.id, toError(data))
    return
  }
  const settle = requests.get(id)
  requests.delete(id)
  if (--inFlight === 0) keepAlive?.unref()
  if (settle === undefined) return
  if (kind === 'value') settle.resolve(payload)
  else {
    const data = payload as NativeErrorData
    const known = failures.get(data.id)
    failures.delete(data.id)
    settle.reject(known ?? toError(data))
  }
}

function toError(data: NativeErrorData): QuarterturnError {
  const error = fromNative(data, data.slot ? names.get(data.slot)?.() : undefined)
  error.recordedAt = sites.get(data.sequence)
  if (error.recordedAt !== undefined) error.message += `\n    recorded at ${error.recordedAt}`
  return error
}

/** Before a natural exit: run what is still queued, then say what failed and nobody asked for. */
function finish(): void {
  flush()
  if (submitted > finishedAt) {
    finishedAt = submitted + 1
    void request('mark', [], [])
    return
  }
  for (const error of takePending()) {
    process.exitCode = 1
    console.error(`Uncaught ${error.stack ?? error}`)
  }
}

/** The user's own line, found by skipping the frames of this package. */
function trace(sequence: number): void {
  const frames = (new Error().stack ?? '').split('\n').slice(1)
  const line = frames.find((frame) => !ownFolders.some((folder) => frame.includes(folder)) && !frame.includes('node:'))
  if (line !== undefined) sites.set(sequence, line.trim().replace(/^at /, ''))
  if (sites.size > TRACED_ENTRIES) sites.delete(sites.keys().next().value as number)
}

// Where source maps are on, the frames of dist are shown as lines of src.
const packageFolder = import.meta.url.replace(/(src|dist)\/(tensor\/)?[^/]*$/, '')
const ownFolders = [`${packageFolder}src/`, `${packageFolder}dist/`]
