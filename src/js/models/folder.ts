// A saved model's files, through whatever can read them: what src/models/folder.ts writes.
import { CheckpointError } from '../../errors.js'
import { Vocabulary } from '../../text/vocabulary.js'
import type { Values } from '../module.js'
import { parseSafetensors } from '../safetensors.js'
import { sha256 } from '../sha256.js'

/** Gives the bytes of a file of the folder: `(name) => fetch('poet/' + name).then((answer) => answer.arrayBuffer())`. */
export type ReadFile = (name: string) => Promise<ArrayBuffer | Uint8Array>

export interface Folder {
  config: Record<string, unknown>
  vocabularies: Record<string, Vocabulary>
  state: Map<string, Values>
}

const VERSION = 1

/**
 * `names` are those of the vocabularies that the kind has.
 *
 * @throws CheckpointError (`ERR_CHECKPOINT`) where a file is damaged, of another kind or of another model; whatever `read` throws.
 */
export async function readFolder(read: ReadFile, kind: string, names: readonly string[]): Promise<Folder> {
  const text = async (name: string): Promise<string> => new TextDecoder().decode(await read(name))
  const files = new Map([['config.json', await text('config.json')]])
  const { quarterturn, kind: found, ...config } = object(parsed(files, 'config.json'))
  if (found !== kind || quarterturn !== VERSION) {
    const [expected, got] = [`${kind} ${VERSION}`, `${String(found)} ${String(quarterturn)}`]
    throw new CheckpointError(`loadModel: the folder holds a model of kind and version ${got}, not ${expected}`, {
      op: 'loadModel',
      expected,
      got,
    })
  }
  for (const name of names) files.set(`${name}.json`, await text(`${name}.json`))
  const { tensors, metadata } = parseSafetensors(await read('model.safetensors'))
  if (metadata.quarterturn !== sha256([...files].map(([name, content]) => `${name}\0${content}\0`).join('')))
    throw new CheckpointError(
      'loadModel: the files do not belong together: one was changed after the model was saved',
      {
        op: 'loadModel',
      },
    )
  const symbols = (name: string): Vocabulary => new Vocabulary(parsed(files, `${name}.json`) as string[])
  return {
    config,
    vocabularies: Object.fromEntries(names.map((name) => [name, symbols(name)])),
    state: tensors,
  }
}

function parsed(files: ReadonlyMap<string, string>, name: string): unknown {
  try {
    return JSON.parse(files.get(name) as string)
  } catch (cause) {
    throw new CheckpointError(`loadModel: ${name} is damaged: it is not JSON`, { op: 'loadModel', cause })
  }
}

function object(value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new CheckpointError('loadModel: config.json is damaged: it does not hold an object', { op: 'loadModel' })
}
