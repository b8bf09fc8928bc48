// The weights in the checkpoints of a run, for use after it: of the best epoch, the newest, or a file.
import { join } from 'node:path'
import { CheckpointError } from '../errors.js'
import type { Module } from '../nn/index.js'
import type { Tensor } from '../tensor/tensor.js'
import { checkModel, refused, taken } from './check.js'
import {
  type Checkpoint,
  checkpointName,
  disposeCheckpoint,
  isFolder,
  newestCheckpoint,
  readCheckpoint,
} from './checkpoints.js'

const op = 'loadWeights'

export interface LoadWeightsOptions {
  /** Which of a folder: that of the best epoch, or the newest. @default 'best' */
  which?: 'best' | 'newest'
}

/**
 * Gives a model the weights of a run: of its folder (`checkpoints`), or of one checkpoint file. Returns the path that they come from.
 *
 * ```ts
 * await train.loadWeights(model, 'runs/tagger')
 * ```
 *
 * The weights of the best epoch are there if `keepBest` or `earlyStopping.restoreBest` kept them, or that epoch is among the newest.
 *
 * @throws CheckpointError (`ERR_CHECKPOINT`) where there are none, or they are of another model, which then has not changed; FileError (`ERR_IO`).
 */
export async function loadWeights(model: Module, path: string, options: LoadWeightsOptions = {}): Promise<string> {
  const { which = 'best' } = taken(options, op)
  checkModel(model, op)
  if (typeof path !== 'string') throw refused(op, 'path', 'a path', path)
  if (which !== 'best' && which !== 'newest') throw refused(op, 'which', "'best' or 'newest'", which)
  if (!(await isFolder(path))) return take(model, await readCheckpoint(path), 'model')
  const newest = (await newestCheckpoint(path, op))?.checkpoint
  if (newest === undefined)
    throw new CheckpointError(`${op}: there is no checkpoint in ${path}`, { op, expected: 'a checkpoint', got: 'none' })
  const { best: epoch, ends = [] } = newest.state
  if (which === 'newest') return take(model, newest, 'model')
  const step = epoch === undefined ? undefined : ends[epoch - 1]
  if (step === newest.state.step) return take(model, newest, 'model')
  if (newest.best.size > 0) return take(model, newest, 'best')
  disposeCheckpoint(newest)
  if (step === undefined || epoch === undefined)
    throw new CheckpointError(`${op}: no epoch of the run in ${path} is known as its best`, { op })
  const file = join(path, checkpointName(step))
  const kept = await readCheckpoint(file).catch((cause) => {
    const message = `${op}: the weights of the best epoch, ${epoch}, were not kept in ${path}; run with keepBest: 1, or take the newest`
    throw new CheckpointError(message, { op, expected: file, cause })
  })
  return take(model, kept, 'model')
}

function take(model: Module, checkpoint: Checkpoint, part: 'model' | 'best'): string {
  try {
    model.loadStateDict(checkpoint[part] as Map<string, Tensor>)
    return checkpoint.path
  } finally {
    disposeCheckpoint(checkpoint)
  }
}
