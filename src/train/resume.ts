// Going on from a checkpoint: which one, and taking it over all or nothing.
import { dirname } from 'node:path'
import { CheckpointError } from '../errors.js'
import type { Module } from '../nn/index.js'
import type { EMA, Optimizer } from '../optim/index.js'
import type { Batches } from './batches.js'
import { type Checkpoint, type Checkpoints, isFolder, newestCheckpoint, readCheckpoint } from './checkpoints.js'

/**
 * The checkpoint that `resume` names, if any, where the folder for new ones has room for what follows it.
 *
 * @throws CheckpointError where it cannot be used, or where the folder holds later ones: they would be mixed with the new ones.
 */
export async function findCheckpoint(
  checkpoints: Checkpoints | undefined,
  resume: string | undefined,
): Promise<Checkpoint | undefined> {
  const from = resume === undefined ? undefined : await find(checkpoints, resume)
  const newest = (await checkpoints?.list())?.[0]
  if (newest === undefined || (from !== undefined && newest.step <= from.state.step)) return from
  const until = `${checkpoints?.folder} holds checkpoints up to step ${newest.step}`
  const message =
    from === undefined
      ? `${until}; pass resume: 'auto' to go on, or choose another folder`
      : `${until}, beyond ${from.path}; choose another folder for those to come`
  throw new CheckpointError(`fit: ${message}`, { op: 'fit', expected: 'an empty folder', got: newest.name })
}

async function find(checkpoints: Checkpoints | undefined, resume: string): Promise<Checkpoint | undefined> {
  if (resume !== 'auto' && !(await isFolder(resume))) return readCheckpoint(resume)
  const found = await newestCheckpoint(resume === 'auto' ? (checkpoints as Checkpoints).folder : resume)
  if (found === undefined) {
    if (resume === 'auto') return undefined
    const message = `fit: there is no checkpoint in ${resume}`
    throw new CheckpointError(message, { op: 'fit', expected: 'a checkpoint', got: 'none' })
  }
  if (checkpoints?.folder === dirname(found.checkpoint.path)) await checkpoints.setAside(found.damaged)
  return found.checkpoint
}

/** What a checkpoint puts back. */
export interface Restorable {
  model: Module
  optimizer: Optimizer
  average: EMA | undefined
  data: Batches<unknown>
  validation: Batches<unknown> | undefined
}

/**
 * Gives model, optimizer and data the state of a checkpoint.
 *
 * @throws CheckpointError where it is of another model, optimizer or dataset; nothing has changed then.
 */
export async function takeOver(
  { model, optimizer, average, data, validation }: Restorable,
  from: Checkpoint,
): Promise<void> {
  const loaders = [
    { loader: data, before: data.state?.(), after: from.state.data },
    { loader: validation, before: validation?.state?.(), after: from.state.validation },
  ]
  const weights = model.stateDict()
  const averages = average?.stateDict()
  try {
    for (const { loader, after } of loaders) restore(loader, after)
    model.loadStateDict(from.trained.size > 0 ? from.trained : from.model)
    await average?.loadStateDict(from.ema)
    await optimizer.loadStateDict(from.optimizer)
  } catch (error) {
    for (const { loader, before } of loaders) restore(loader, before)
    model.loadStateDict(weights)
    if (averages !== undefined) await average?.loadStateDict(averages)
    if (!(error instanceof CheckpointError)) throw error
    throw new CheckpointError(`fit: ${from.path} is of another run: ${error.message}`, { op: 'fit', cause: error })
  } finally {
    for (const tensor of [...weights.values(), ...(averages?.values() ?? [])]) tensor.dispose()
  }
}

function restore(data: Batches<unknown> | undefined, state: unknown): void {
  if (state === null || state === undefined) return
  ;(data?.restore as ((state: unknown) => void) | undefined)?.call(data, state)
}
