// The checkpoints of a run: one file each, the last few kept, the newest whole one found again.
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { CheckpointError } from '../errors.js'
import type { PlateauState } from '../optim/index.js'
import { loadCheckpointFile, saveSafetensors } from '../tensor/file.js'
import type { GeneratorState } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'
import type { EpochRecord } from './history.js'
import { fileError, lockFolder } from './lock.js'
import type { MeanState } from './mean.js'
import type { Group } from './update.js'

const VERSION = 1
const NAME = /^checkpoint-(\d+)\.safetensors$/
/** What a save is written to before it is renamed. */
const UNFINISHED = /^\.checkpoint-\d+\.safetensors\..*\.tmp$/

/** Everything of a run that is not a tensor. */
export interface RunState {
  readonly version: number
  /** Steps done since the beginning. */
  readonly step: number
  /** Batches done in the current epoch. */
  readonly position: number
  /** All batches of the epoch are done, and the data are at the next; only the validation is left. */
  readonly validating?: boolean
  readonly generator: GeneratorState
  /** States of the training and validation loaders, as they gave them; null for data without a state. */
  readonly data: unknown
  readonly validation: unknown
  /** The losses of the current epoch so far. */
  readonly losses: MeanState
  /** Of `accumulate`: the group of batches that has begun. */
  readonly accumulated?: Group
  /** Of `reduceOnPlateau`. */
  readonly plateau?: PlateauState
  readonly epochs: readonly EpochRecord[]
  /** The step at the end of each epoch; absent in checkpoints of before there were such. */
  readonly ends?: readonly number[]
  /** The best epoch, from 1; absent where there is none. */
  readonly best?: number
}

/**
 * A checkpoint: tensors under `model.` and `optimizer.`; where the best weights are kept, `best.`; in the middle of a group of batches the sum of its
 * gradients, `accumulated.`; with averages of the weights (`ema.`), `model.` holds them, and `trained.` the weights that the training goes on from.
 */
export interface Checkpoint {
  readonly path: string
  readonly state: RunState
  readonly model: Map<string, Tensor>
  readonly optimizer: Map<string, Tensor>
  readonly best: Map<string, Tensor>
  readonly accumulated: Map<string, Tensor>
  readonly ema: Map<string, Tensor>
  readonly trained: Map<string, Tensor>
}

const parts = ['model', 'optimizer', 'best', 'accumulated', 'ema', 'trained'] as const
export type CheckpointParts = Pick<Checkpoint, (typeof parts)[number]>

/** The folder of a run, locked while it is open. */
export class Checkpoints {
  readonly folder: string
  readonly #keep: number
  readonly #unlock: () => Promise<void>

  private constructor(folder: string, keep: number, unlock: () => Promise<void>) {
    this.folder = folder
    this.#keep = keep
    this.#unlock = unlock
  }

  /** Makes the folder if need be, locks it and removes what a killed save left behind. */
  static async open(folder: string, keep: number): Promise<Checkpoints> {
    const path = resolve(folder)
    await mkdir(path, { recursive: true }).catch((cause) => {
      throw fileError(path, cause)
    })
    const unlock = await lockFolder(path)
    const opened = new Checkpoints(path, keep, unlock)
    try {
      await opened.#clean()
    } catch (error) {
      await unlock()
      throw error
    }
    return opened
  }

  async close(): Promise<void> {
    await this.#unlock()
  }

  /** Writes a checkpoint, removes the oldest beyond those to keep and those of the steps `besides`, and returns its path. */
  async save(
    state: Omit<RunState, 'version'>,
    tensors: CheckpointParts,
    besides: ReadonlySet<number>,
  ): Promise<string> {
    const path = join(this.folder, checkpointName(state.step))
    const all = new Map<string, Tensor>()
    for (const part of parts) for (const [name, tensor] of tensors[part]) all.set(`${part}.${name}`, tensor)
    await saveSafetensors(path, all, { run: JSON.stringify({ version: VERSION, ...state }, writeNumber) })
    await this.prune(besides)
    return path
  }

  /** Removes the oldest checkpoints beyond those to keep; only when the newest is known to be whole. */
  async prune(besides: ReadonlySet<number>): Promise<void> {
    for (const { name, step } of (await this.list()).slice(this.#keep)) {
      if (besides.has(step)) continue
      await rm(join(this.folder, name), { force: true }).catch((cause) => {
        throw fileError(join(this.folder, name), cause)
      })
    }
  }

  /** The checkpoints of the folder, newest first. */
  async list(): Promise<{ name: string; step: number }[]> {
    return listCheckpoints(this.folder)
  }

  /** Moves damaged checkpoints out of the way, so that they are neither kept nor tried again. */
  async setAside(paths: readonly string[]): Promise<void> {
    for (const path of paths) await rename(path, `${path}.damaged`).catch(() => {})
  }

  async #clean(): Promise<void> {
    const names = await readdir(this.folder).catch((cause) => {
      throw fileError(this.folder, cause)
    })
    for (const name of names) {
      if (UNFINISHED.test(name)) await rm(join(this.folder, name), { force: true }).catch(() => {})
    }
  }
}

/** The file of the checkpoint after so many steps. */
export function checkpointName(step: number): string {
  return `checkpoint-${String(step).padStart(9, '0')}.safetensors`
}

async function listCheckpoints(folder: string): Promise<{ name: string; step: number }[]> {
  const names = await readdir(folder).catch((cause) => {
    throw fileError(folder, cause)
  })
  return names
    .map((name) => ({ name, step: Number(NAME.exec(name)?.[1] ?? -1) }))
    .filter(({ step }) => step >= 0)
    .sort((a, b) => b.step - a.step)
}

/**
 * The newest whole checkpoint of a folder, and the newer ones that are damaged; undefined where there is none at all.
 *
 * @throws CheckpointError that lists them where all are damaged.
 */
export async function newestCheckpoint(
  folder: string,
  op = 'fit',
): Promise<{ checkpoint: Checkpoint; damaged: string[] } | undefined> {
  const found = await listCheckpoints(folder)
  const reasons: string[] = []
  const damaged: string[] = []
  for (const { name } of found) {
    const path = join(folder, name)
    try {
      return { checkpoint: await readCheckpoint(path), damaged: warned(damaged, reasons, path) }
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error
      damaged.push(path)
      reasons.push(error.message)
    }
  }
  if (found.length === 0) return undefined
  throw new CheckpointError(`${op}: no checkpoint in ${folder} can be used:\n  ${reasons.join('\n  ')}`, {
    op,
    expected: 'a whole checkpoint',
    got: `${found.length} damaged`,
  })
}

function warned(damaged: string[], reasons: readonly string[], path: string): string[] {
  if (damaged.length > 0) {
    process.emitWarning(`${reasons.join('; ')}: going on from ${path} instead`, {
      type: 'QuarterturnWarning',
      code: 'QUARTERTURN_DAMAGED_CHECKPOINT',
    })
  }
  return damaged
}

/** Whether a path is a folder; false for anything else that exists. */
export async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (cause) {
    throw fileError(path, cause)
  }
}

/** @throws CheckpointError unless the file is a whole checkpoint; FileError where it cannot be read. */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  const { tensors, metadata } = await loadCheckpointFile(path)
  const split = Object.fromEntries(parts.map((part) => [part, new Map()])) as Record<
    keyof CheckpointParts,
    Map<string, Tensor>
  >
  for (const [name, tensor] of tensors) {
    const part = parts.find((prefix) => name.startsWith(`${prefix}.`))
    if (part !== undefined) split[part].set(name.slice(part.length + 1), tensor)
  }
  return { path, state: parseState(metadata.run, path), ...split }
}

/** JSON has no NaN and no infinities. */
export function writeNumber(_: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value
}

function readNumber(_: string, value: unknown): unknown {
  return value === 'NaN' || value === 'Infinity' || value === '-Infinity' ? Number(value) : value
}

function parseState(text: string | undefined, path: string): RunState {
  if (text === undefined)
    throw new CheckpointError(`${path}: it holds tensors, but it is not a checkpoint of a run`, {
      op: 'fit',
      expected: 'a checkpoint of a run',
    })
  let state: RunState
  try {
    state = JSON.parse(text, readNumber) as RunState
  } catch (cause) {
    throw new CheckpointError(`${path}: its description of the run cannot be understood`, { op: 'fit', cause })
  }
  if (state.version !== VERSION) {
    throw new CheckpointError(
      `${path}: it is of version ${String(state.version)}; this library reads version ${VERSION}`,
      {
        op: 'fit',
        expected: String(VERSION),
        got: String(state.version),
      },
    )
  }
  return state
}

/** Frees the tensors of a checkpoint that has been taken over. */
export function disposeCheckpoint(checkpoint: CheckpointParts): void {
  for (const part of parts) for (const tensor of checkpoint[part].values()) tensor.dispose()
}
