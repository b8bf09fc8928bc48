// NumPy's .npy and .npz files: arrays read and written as tensors. Arrays of Python objects, which are pickles, are refused.
import { ArgumentError, type QuarterturnError } from '../../errors.js'
import { type DeviceLike, device } from '../device.js'
import type { DType } from '../dtype.js'
import { absolute, type NamedTensors, optionsOf } from '../file.js'
import { elements } from '../shape.js'
import { Tensor } from '../tensor.js'
import { writeWhole } from '../whole-file.js'
import { type ForeignFormat, foreignTensor, formats, rowByRow } from './foreign.js'
import { onDisk, ZipFile, zipPieces } from './zip.js'

export interface LoadNpzOptions {
  /** Where the tensors are put (default: `'cpu'`). */
  device?: DeviceLike
  /** The most bytes that the arrays may have together: a packed file of a few MB can hold many GB. @default 4 GiB */
  maxBytes?: number
}

const MAGIC = Buffer.from('\x93NUMPY', 'latin1')
const LARGEST_HEADER = 1 << 16

/** NumPy's names of dtypes, little-endian or of one byte. */
const descriptions: Readonly<Record<string, string>> = {
  '<f8': 'float64',
  '<f4': 'float32',
  '<f2': 'float16',
  '<i8': 'int64',
  '<i4': 'int32',
  '<i2': 'int16',
  '|i1': 'int8',
  '<u4': 'uint32',
  '<u2': 'uint16',
  '|u1': 'uint8',
  '|b1': 'bool',
}

/**
 * The arrays of an `.npz` file, of `numpy.savez` or `savez_compressed`, by name.
 *
 * Arrays in Fortran order are laid out row by row. float16 becomes float32; integers of a dtype that the library does not have become int64.
 *
 * @throws FileError (`ERR_IO`) where the file cannot be read; CheckpointError (`ERR_CHECKPOINT`), saying what and where, where it is damaged, holds Python
 * objects, strings, complex or big-endian numbers, or more than `maxBytes`.
 */
export async function loadNpz(path: string, options: LoadNpzOptions = {}): Promise<Map<string, Tensor>> {
  const op = 'loadNpz'
  const { device: where = 'cpu', maxBytes = 4 * 2 ** 30 } = optionsOf(options, op)
  const place = device(where, op)
  const zip = await ZipFile.open(absolute(path, op), op)
  try {
    let bytes = 0
    for (const { size } of zip.entries.values()) bytes += size
    if (bytes > maxBytes) throw zip.failure(`its arrays have ${bytes} bytes; maxBytes allows ${maxBytes}`)
    const tensors = new Map<string, Tensor>()
    for (const entry of zip.entries.values()) {
      const name = entry.name.replace(/\.npy$/, '')
      const content = await zip.read(entry, maxBytes)
      tensors.set(
        name,
        arrayIn(content, place, (why) => zip.failure(`${entry.name}: ${why}`)),
      )
    }
    return tensors
  } finally {
    await zip.close()
  }
}

function arrayIn(content: Buffer, place: ReturnType<typeof device>, fail: (why: string) => QuarterturnError): Tensor {
  if (!content.subarray(0, 6).equals(MAGIC) || content.length < 12) throw fail('it is not an array of NumPy')
  const wide = (content[6] as number) > 1
  const length = wide ? content.readUInt32LE(8) : content.readUInt16LE(8)
  const start = (wide ? 12 : 10) + length
  if (length > LARGEST_HEADER || start > content.length) throw fail('its header is not whole')
  const header = content.toString('latin1', wide ? 12 : 10, start)
  const descr = /'descr':\s*'([^']*)'/.exec(header)?.[1]
  const fortran = /'fortran_order':\s*(True|False)/.exec(header)?.[1]
  const sizes = /'shape':\s*\(([\d\s,]*)\)/.exec(header)?.[1]
  if (fortran === undefined || sizes === undefined) throw fail('its header cannot be understood')
  const name = descr === undefined ? undefined : descriptions[descr]
  if (name === undefined) throw fail(`its dtype ${descr ?? 'of several fields'} is not read`)
  const format = formats[name] as ForeignFormat
  const shape = sizes.split(',').flatMap((size) => (size.trim() === '' ? [] : [Number(size)]))
  const bytes = elements(shape) * format.bytes
  if (!Number.isSafeInteger(bytes) || bytes !== content.length - start)
    throw fail(`[${shape.join(', ')}] of ${name} are ${bytes} bytes, it has ${content.length - start}`)
  const strides = fortran === 'True' ? rowByRow([...shape].reverse()).reverse() : rowByRow(shape)
  const tensor = foreignTensor(content.subarray(start), format, { offset: 0, shape, strides }, place)
  if (tensor === undefined) throw fail('it is of bool and has values other than 0 and 1')
  return tensor
}

/** What NumPy calls the dtypes that it has. */
const written: Partial<Record<DType, string>> = Object.fromEntries(
  Object.entries(descriptions).map(([description, name]) => [name, description]),
)

/**
 * Writes tensors to an `.npz` file that `numpy.load` reads, as they are at this place in the order of operations. bfloat16, which NumPy does not have,
 * is written as float32. The file is written aside and renamed: at `path` there is always the old file or the new one, whole.
 *
 * @throws ArgumentError for names that are empty or hold a slash; FileError (`ERR_IO`) where the file system refuses.
 */
export async function saveNpz(path: string, tensors: NamedTensors): Promise<void> {
  const op = 'saveNpz'
  const file = absolute(path, op)
  const refuse = (why: string): ArgumentError => new ArgumentError(`${op}: ${why}`, { op })
  const entries = [...(tensors instanceof Map ? tensors : Object.entries(optionsOf(tensors, op)))] as [string, Tensor][]
  const arrays = entries.map(([name, tensor]) => {
    if (typeof name !== 'string' || name === '' || /[/\\\0]/.test(name))
      throw refuse(
        `names must be strings without slashes, got ${typeof name === 'string' ? JSON.stringify(name) : typeof name}`,
      )
    if (!(tensor instanceof Tensor))
      throw refuse(`${name} must be a tensor, got ${tensor === null ? 'null' : typeof tensor}`)
    const kept = written[tensor.dtype] === undefined ? tensor.to('float32') : tensor
    return { name: `${name}.npy`, header: headerOf(kept), data: kept.data() }
  })
  const files = await Promise.all(
    arrays.map(async ({ name, header, data }) => {
      const { buffer, byteOffset, byteLength } = await data
      return [name, Buffer.concat([header, new Uint8Array(buffer, byteOffset, byteLength)])] as const
    }),
  )
  const pieces = zipPieces(files, refuse)
  await onDisk(file, op, () => writeWhole(file, pieces))
}

function headerOf({ dtype, shape }: Tensor): Buffer {
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(', ')
  const text = `{'descr': '${written[dtype]}', 'fortran_order': False, 'shape': (${sizes}), }`
  // The data start at a multiple of 64 bytes.
  const header = Buffer.from(`${text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11)}\n`, 'latin1')
  const length = Buffer.alloc(4)
  length.writeUInt16LE(1, 0)
  length.writeUInt16LE(header.length, 2)
  return Buffer.concat([MAGIC, length, header])
}
