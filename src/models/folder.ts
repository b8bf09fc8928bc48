// A saved model: a folder of config.json, the vocabularies and model.safetensors, that loads without the code that trained it.
import { createHash } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CheckpointError, FileError } from '../errors.js'
import { loadCheckpointFile, saveSafetensors } from '../tensor/file.js'
import type { Tensor } from '../tensor/index.js'
import { writeWhole } from '../tensor/whole-file.js'
import { type Codec, Vocabulary } from '../text/index.js'
import { refused as refusedArgument } from './check.js'

const VERSION = 1
const WEIGHTS = 'model.safetensors'

export interface SavedModel<C, V extends Vocabulary | Codec = Vocabulary> {
  /** The class that loads it. */
  kind: string
  /** Its options. */
  config: C
  vocabularies: Record<string, V>
  state: Map<string, Tensor>
}

/** Writes each file whole or not at all. The weights carry a fingerprint of the others, so that files of two models are not taken for one. */
export async function saveFolder(
  folder: string,
  { kind, config, vocabularies, state }: SavedModel<object, Vocabulary | Codec>,
): Promise<void> {
  checkFolder(folder, 'save')
  const files = new Map([['config.json', text({ quarterturn: VERSION, kind, ...config })]])
  for (const [name, vocabulary] of Object.entries(vocabularies)) files.set(`${name}.json`, text(vocabulary))
  await refused(folder, () => mkdir(folder, { recursive: true }))
  for (const [name, content] of files)
    await refused(join(folder, name), () => writeWhole(join(folder, name), [content]))
  await saveSafetensors(join(folder, WEIGHTS), state, { quarterturn: fingerprint(files) })
}

/**
 * What `saveFolder` wrote; `read` makes of JSON what a file of `vocabularies` holds.
 *
 * @throws FileError (`ERR_IO`) where a file cannot be read; CheckpointError (`ERR_CHECKPOINT`) where it is damaged, of another kind or of another model.
 */
export async function loadFolder<C, V extends Vocabulary | Codec = Vocabulary>(
  folder: string,
  kind: string,
  vocabularies: readonly string[],
  read: (json: unknown) => V = (json) => new Vocabulary(json as string[]) as V,
): Promise<SavedModel<C, V>> {
  checkFolder(folder, 'load')
  const files = new Map<string, string>()
  for (const name of ['config.json', ...vocabularies.map((name) => `${name}.json`)]) {
    files.set(name, await refused(join(folder, name), () => readFile(join(folder, name), 'utf8')))
  }
  const parse = (name: string): unknown => parsed(files.get(name) as string, join(folder, name))
  const { quarterturn, kind: found, ...config } = object(parse('config.json'), join(folder, 'config.json'))
  if (found !== kind || quarterturn !== VERSION) {
    throw new CheckpointError(
      `load: ${folder} holds a model of kind ${String(found)}, version ${String(quarterturn)}, not ${kind}, version ${VERSION}`,
      {
        op: 'load',
        expected: `${kind} ${VERSION}`,
        got: `${String(found)} ${String(quarterturn)}`,
      },
    )
  }
  const { tensors, metadata } = await loadCheckpointFile(join(folder, WEIGHTS))
  if (metadata.quarterturn !== fingerprint(files)) {
    throw new CheckpointError(
      `load: the files in ${folder} do not belong together: one was changed or replaced after the model was saved`,
      { op: 'load' },
    )
  }
  return {
    kind,
    config: config as C,
    vocabularies: Object.fromEntries(vocabularies.map((name) => [name, read(parse(`${name}.json`))])),
    state: tensors,
  }
}

function checkFolder(folder: unknown, op: string): void {
  if (typeof folder !== 'string' || folder === '' || folder.includes('\0'))
    throw refusedArgument(op, 'the folder', 'a path', folder)
}

function text(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

function fingerprint(files: ReadonlyMap<string, string>): string {
  const hash = createHash('sha256')
  for (const [name, content] of files) hash.update(`${name}\0${content}\0`)
  return hash.digest('hex')
}

function parsed(content: string, path: string): unknown {
  try {
    return JSON.parse(content)
  } catch (cause) {
    throw new CheckpointError(`load: ${path} is damaged: it is not JSON`, { op: 'load', cause })
  }
}

function object(value: unknown, path: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new CheckpointError(`load: ${path} is damaged: it does not hold an object`, { op: 'load' })
}

/** Turns an error of the file system into ours. */
async function refused<T>(path: string, fn: () => Promise<T>): Promise<T> {
  try {
    return await fn()
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'an unknown error'
    throw new FileError(`${path}: ${code === 'ENOENT' ? 'there is no such file (ENOENT)' : code}`, {
      op: 'file',
      got: code,
      cause,
    })
  }
}
