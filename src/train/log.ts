// The logs of a run: run.json, epochs.csv and events.jsonl in a folder. A disk that fails later costs the logs, never the training.
import { appendFile, type FileHandle, mkdir, open, rename, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { writeNumber } from './checkpoints.js'
import type { RunEvent } from './events.js'
import type { EpochRecord } from './history.js'
import { fileError } from './lock.js'
import type { MetricValue } from './metrics/index.js'

/** How long the samples of steps may wait to be written; anything else that is told takes them along. */
const MS_PER_WRITE = 1000
/** How much of the end of a file is searched for its last line. */
const TAIL_BYTES = 1 << 16

/** Written behind the training, in order. */
export class RunLog {
  readonly #description: string
  readonly #table: string
  readonly #lines: string
  readonly #records: EpochRecord[]
  #columns: readonly string[] = []
  #text = ''
  #rows: EpochRecord[] = []
  #writing: Promise<void> | undefined
  #due: NodeJS.Timeout | undefined
  /** events.jsonl, open for appending. */
  #file: FileHandle | undefined
  #failed = false

  private constructor(folder: string, records: readonly EpochRecord[]) {
    this.#description = join(folder, 'run.json')
    this.#table = join(folder, 'epochs.csv')
    this.#lines = join(folder, 'events.jsonl')
    this.#records = [...records]
  }

  /**
   * Makes the folder if need be and writes the epochs done before; a line that a killed process left half written is cut off. The description of the
   * run is written when it comes.
   *
   * @throws FileError (`ERR_IO`)
   */
  static async open(folder: string, description: Promise<object>, records: readonly EpochRecord[]): Promise<RunLog> {
    const path = resolve(folder)
    try {
      await mkdir(path, { recursive: true })
      const log = new RunLog(path, records)
      log.#file = await opened(log.#lines)
      await log.#renewTable()
      log.#writing = log.#write(async () => log.#describe(await description))
      return log
    } catch (cause) {
      throw fileError(path, cause)
    }
  }

  /** Notes an event. */
  tell(event: RunEvent): void {
    if (this.#failed) return
    this.#text += line(told(event))
    if (event.type === 'epoch') this.#rows.push(event.metrics)
    if (event.type !== 'step') this.#writing ??= this.#write()
    else
      this.#due ??= setTimeout(() => {
        this.#due = undefined
        this.#writing ??= this.#write()
      }, MS_PER_WRITE).unref()
  }

  /** Waits until all is written. */
  async close(): Promise<void> {
    clearTimeout(this.#due)
    await this.#writing
    if (!this.#failed) await this.#write()
    await this.#file?.close().catch(() => {})
  }

  async #write(begin?: () => Promise<void>): Promise<void> {
    try {
      await begin?.()
      while (this.#text !== '') {
        const [text, rows] = [this.#text, this.#rows]
        this.#text = ''
        this.#rows = []
        await this.#file?.appendFile(text)
        for (const row of rows) await this.#addRow(row)
      }
    } catch (cause) {
      this.#failed = true
      process.emitWarning(`the logs of the run end here: ${fileError(this.#table, cause).message}`, {
        type: 'QuarterturnWarning',
        code: 'QUARTERTURN_LOG',
      })
    } finally {
      this.#writing = undefined
    }
  }

  async #describe(description: object): Promise<void> {
    await replace(this.#description, `${JSON.stringify(description, writeNumber, 2)}\n`)
    await this.#file?.appendFile(line({ type: 'run', ...description }))
  }

  async #addRow(record: EpochRecord): Promise<void> {
    this.#records.push(record)
    const cells = cellsOf(record)
    if (cells.length !== this.#columns.length || cells.some(([name], i) => name !== this.#columns[i]))
      await this.#renewTable()
    else await appendFile(this.#table, `${cells.map(([, value]) => value).join(',')}\n`)
  }

  /** The whole table, whose columns are those of all records. */
  async #renewTable(): Promise<void> {
    const rows = this.#records.map((record) => new Map(cellsOf(record)))
    this.#columns = [...new Set(rows.flatMap((row) => [...row.keys()]))]
    const lines = rows.map((row) => this.#columns.map((name) => row.get(name) ?? '').join(','))
    await replace(this.#table, [this.#columns.map(quoted).join(','), ...lines].map((line) => `${line}\n`).join(''))
  }
}

function line(content: object): string {
  return `${JSON.stringify({ time: new Date().toISOString(), ...content }, writeNumber)}\n`
}

/** What of an event is worth a line. */
function told(event: RunEvent): object {
  if (event.type === 'end') return { type: event.type, ended: event.history.ended, best: event.history.best }
  if (event.type === 'start') return { type: event.type, totalSteps: event.totalSteps, resumed: event.resumed }
  return event
}

/** The numbers of a record by column: `f1.0`, `confusion.0.1` of those that are several. */
function cellsOf(record: EpochRecord): [name: string, value: number][] {
  const flat = (name: string, value: MetricValue): [string, number][] =>
    typeof value === 'number' ? [[name, value]] : value.flatMap((each, i) => flat(`${name}.${i}`, each))
  return Object.entries(record).flatMap(([name, value]) => (value === undefined ? [] : flat(name, value)))
}

function quoted(name: string): string {
  return /[",\n\r]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name
}

/** The new file whole, or the old one. */
async function replace(path: string, text: string): Promise<void> {
  const aside = `${path}.new`
  await writeFile(aside, text)
  await rename(aside, path)
}

/** Opens a file of lines for appending, made if there is none, and cuts off what follows the last end of a line. */
async function opened(path: string): Promise<FileHandle> {
  const file = await open(path, 'a+')
  try {
    const { size } = await file.stat()
    const from = Math.max(0, size - TAIL_BYTES)
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(size - from), position: from })
    const end = buffer.subarray(0, bytesRead).lastIndexOf('\n')
    if (bytesRead > 0 && end !== bytesRead - 1) await file.truncate(from + end + 1)
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}
