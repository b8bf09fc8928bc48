// PyTorch's .pt and .pth files, read as data: the zip that torch.save writes since 1.6. Nothing in it is run.
import { ArgumentError, CheckpointError } from '../../errors.js'
import { type DeviceLike, device } from '../device.js'
import { absolute, optionsOf } from '../file.js'
import { elements, type Shape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { type ForeignFormat, foreignTensor, formats } from './foreign.js'
import { type PickleDict, unpickle } from './pickle.js'
import { type ZipEntry, ZipFile } from './zip.js'

export interface LoadTorchOptions {
  /** Where the tensors are put (default: `'cpu'`). */
  device?: DeviceLike
  /**
   * Only what lies under this path, which is taken off the names: `'model_state_dict'` for a checkpoint that holds more than the model, `'module'` for
   * a model that was wrapped.
   */
  prefix?: string
}

const op = 'loadTorch'
const LARGEST_PICKLE = 16 << 20
/** What views of shared storages may take together, in file sizes, and beyond that in bytes. */
const VIEWS = 16
const FREE_BYTES = 64 << 20
const DEEPEST = 64

/** torch's storage classes and what their elements are; `UntypedStorage` counts bytes. */
const storages: Readonly<Record<string, string>> = {
  DoubleStorage: 'float64',
  FloatStorage: 'float32',
  HalfStorage: 'float16',
  BFloat16Storage: 'bfloat16',
  LongStorage: 'int64',
  IntStorage: 'int32',
  ShortStorage: 'int16',
  CharStorage: 'int8',
  ByteStorage: 'uint8',
  BoolStorage: 'bool',
}

const calls = new Set([
  'collections.OrderedDict',
  'builtins.set',
  '__builtin__.set',
  'torch.Size',
  'torch._utils._rebuild_tensor_v2',
  'torch._utils._rebuild_tensor_v3',
  'torch._utils._rebuild_parameter',
])

class StorageType {
  constructor(readonly format: ForeignFormat | undefined) {}
}

interface Storage {
  readonly key: string
  readonly entry: ZipEntry
  /** Undefined for bytes that a tensor gives a meaning. */
  readonly format: ForeignFormat | undefined
}

/** A tensor as the pickle describes it, checked against its storage. */
class View {
  constructor(
    readonly storage: Storage,
    readonly format: ForeignFormat,
    readonly offset: number,
    readonly shape: Shape,
    readonly strides: Shape,
  ) {}

  get bytes(): number {
    return elements(this.shape) * this.format.bytes
  }
}

/**
 * The tensors of a file that `torch.save` wrote (PyTorch 1.6 or later): a state dict, or dictionaries and lists in which tensors stand. Names are the
 * keys, joined by dots where they are nested: `model_state_dict.rnn.weight_ih_l0`. What is not a tensor is passed over.
 *
 * The pickle in it is read by a machine that knows tensors, storages, OrderedDict and plain containers, and refuses every other global by its name;
 * nothing is ever called. Views are laid out row by row, and checked to lie within their storages. float16 becomes float32; integers of a dtype that
 * the library does not have become int64.
 *
 * ```ts
 * await model.loadStateDict(await loadTorch('resnet.pth'))
 * ```
 *
 * @throws FileError (`ERR_IO`) where the file cannot be read; CheckpointError (`ERR_CHECKPOINT`), saying what and where, for anything that is not such a
 * file: an older format, a whole pickled model, a damaged or hostile file. ArgumentError for a prefix that nothing lies under.
 */
export async function loadTorch(path: string, options: LoadTorchOptions = {}): Promise<Map<string, Tensor>> {
  const { device: where = 'cpu', prefix } = optionsOf(options, op)
  const place = device(where, op)
  const file = absolute(path, op)
  if (prefix !== undefined && (typeof prefix !== 'string' || prefix === ''))
    throw new ArgumentError(`${op}: prefix must be a path of keys, got ${String(prefix)}`, { op, got: String(prefix) })
  const zip = await openArchive(file)
  try {
    const views = under(await readViews(zip), prefix)
    limit(views, zip)
    const contents = new Map<string, Buffer>()
    const uses = new Map<string, number>()
    for (const { storage } of views.values()) uses.set(storage.key, (uses.get(storage.key) ?? 0) + 1)
    const made = new Map<string, Tensor>()
    const tensors = new Map<string, Tensor>()
    for (const [name, view] of views) {
      const { storage, format, offset, shape, strides } = view
      const bytes = contents.get(storage.key) ?? (await zip.read(storage.entry, storage.entry.size))
      const left = (uses.get(storage.key) as number) - 1
      uses.set(storage.key, left)
      if (left > 0) contents.set(storage.key, bytes)
      else contents.delete(storage.key)
      // A weight that is tied to another is one tensor, under two handles.
      const same = JSON.stringify([storage.key, format.name, offset, shape, strides])
      const tensor = made.get(same)?.detach() ?? foreignTensor(bytes, format, { offset, shape, strides }, place)
      if (tensor === undefined) throw zip.failure(`${name} is of bool and has values other than 0 and 1`)
      made.set(same, tensor)
      tensors.set(name, tensor)
    }
    return tensors
  } finally {
    await zip.close()
  }
}

async function openArchive(path: string): Promise<ZipFile> {
  try {
    return await ZipFile.open(path, op)
  } catch (error) {
    // What torch wrote before 1.6 is a row of pickles, and what it wrote before that a tar file.
    if (!(error instanceof CheckpointError)) throw error
    const advice =
      'files of PyTorch before 1.6 are not read; load one there and save it again: torch.save(state_dict, path)'
    throw new CheckpointError(`${error.message}; ${advice}`, { op, cause: error })
  }
}

async function readViews(zip: ZipFile): Promise<Map<string, View>> {
  const pickles = [...zip.entries.values()].filter(({ name }) => /^([^/]+\/)?data\.pkl$/.test(name))
  const [pickle] = pickles
  if (pickle === undefined || pickles.length > 1)
    throw zip.failure('it is not a file of torch.save: it needs one data.pkl')
  const root = pickle.name.slice(0, -'data.pkl'.length)
  if (zip.entries.has(`${root}constants.pkl`))
    throw zip.failure('it holds a TorchScript program; save its state_dict() with torch.save instead')
  const order = zip.entries.get(`${root}byteorder`)
  if (order !== undefined && (await zip.read(order, 16)).toString().trim() !== 'little')
    throw zip.failure('it is not in little-endian order')
  const value = unpickle(await zip.read(pickle, LARGEST_PICKLE), {
    knows: (name) => calls.has(name) || typeOf(name) !== undefined,
    type: (name) => typeOf(name),
    call: (name, args) => call(name, args, zip),
    persistent: (id) => storageOf(id, root, zip),
    fail: (why) => zip.failure(why),
  })
  const views = new Map<string, View>()
  collect(value, [], views, { zip, open: new Set(), visited: 0 })
  return views
}

function typeOf(name: string): StorageType | undefined {
  const [, storage, dtype] = /^torch\.(?:(?:storage\.)?(\w+Storage)|(\w+))$/.exec(name) ?? []
  if (storage === 'UntypedStorage') return new StorageType(undefined)
  const format = storage === undefined ? dtype : storages[storage]
  return format !== undefined && Object.hasOwn(formats, format) ? new StorageType(formats[format]) : undefined
}

function call(name: string, args: readonly unknown[], zip: ZipFile): unknown {
  switch (name) {
    case 'collections.OrderedDict':
      return dictOf(args[0] ?? [], zip)
    case 'torch.Size':
    case 'builtins.set':
    case '__builtin__.set':
      return args[0]
    case 'torch._utils._rebuild_parameter':
      if (!(args[0] instanceof View)) throw zip.failure('a parameter holds no tensor')
      return args[0]
    case 'torch._utils._rebuild_tensor_v2':
      return viewOf(args, undefined, zip)
    case 'torch._utils._rebuild_tensor_v3':
      return viewOf(args, args[6], zip)
    default:
      throw zip.failure(`${name} is called, which is not a function`)
  }
}

function dictOf(items: unknown, zip: ZipFile): PickleDict {
  if (!Array.isArray(items) || items.some((item) => !Array.isArray(item) || item.length !== 2))
    throw zip.failure('an OrderedDict is made of something other than pairs')
  return new Map(items as [unknown, unknown][])
}

/** `('storage', type, key, location, number of elements)` */
function storageOf(id: unknown, root: string, zip: ZipFile): Storage {
  const [kind, type, key, , count] = Array.isArray(id) ? id : []
  if (kind !== 'storage' || !(type instanceof StorageType) || typeof key !== 'string' || !isSize(count))
    throw zip.failure('a storage is described in a way that is not known')
  const entry = zip.entries.get(`${root}data/${key}`)
  if (entry === undefined) throw zip.failure(`there is no ${root}data/${key}, the storage of a tensor`)
  if (entry.method !== 0) throw zip.failure(`${entry.name} is packed; torch.save packs nothing`)
  const bytes = count * (type.format?.bytes ?? 1)
  if (entry.size !== bytes || entry.packed !== bytes)
    throw zip.failure(`${entry.name} has ${entry.size} bytes, the storage that it holds ${bytes}`)
  return { key, entry, format: type.format }
}

function viewOf([storage, offset, size, stride]: readonly unknown[], type: unknown, zip: ZipFile): View {
  if (typeof storage !== 'object' || storage === null || !('entry' in storage))
    throw zip.failure('a tensor has no storage')
  const held = storage as Storage
  const format = type instanceof StorageType ? type.format : held.format
  if (format === undefined) throw zip.failure('a tensor has no dtype')
  if (!isSize(offset) || !isShape(size) || !isShape(stride) || size.length !== stride.length || size.length > DEEPEST)
    throw zip.failure('a tensor has no proper offset, size and strides')
  const where = `[${size.join(', ')}] with strides [${stride.join(', ')}] from ${offset}`
  if (!Number.isSafeInteger(elements(size) * format.bytes)) throw zip.failure(`a tensor ${where} is too large`)
  const last = elements(size) === 0 ? -1 : size.reduce((at, n, i) => at + (n - 1) * (stride[i] as number), offset)
  const count = Math.floor(held.entry.size / format.bytes)
  if (!(last < count))
    throw zip.failure(`a tensor ${where} does not lie within its storage ${held.key} of ${count} elements`)
  return new View(held, format, offset, size, stride)
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isShape(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isSize)
}

interface Walk {
  zip: ZipFile
  /** Containers that are being gone through, so that one within itself is noticed. */
  open: Set<unknown>
  visited: number
}

function collect(value: unknown, path: readonly string[], views: Map<string, View>, walk: Walk): void {
  const { zip, open } = walk
  if (value instanceof View) {
    const name = path.length === 0 ? 'tensor' : path.join('.')
    if (views.has(name)) throw zip.failure(`two tensors have the name ${name}`)
    views.set(name, value)
    return
  }
  if (!Array.isArray(value) && !(value instanceof Map)) return
  if (open.has(value) || path.length > DEEPEST) throw zip.failure(`${path.join('.')}: it holds itself, or is too deep`)
  open.add(value)
  for (const [key, item] of value.entries()) {
    if (++walk.visited > 1_000_000) throw zip.failure('it holds more than a million values')
    if (typeof item !== 'object' || item === null) continue
    if (typeof key !== 'string' && typeof key !== 'number') throw zip.failure('a key is neither a string nor a number')
    collect(item, [...path, String(key)], views, walk)
  }
  open.delete(value)
}

function under(views: Map<string, View>, prefix: string | undefined): Map<string, View> {
  if (prefix === undefined) return views
  const found = [...views].filter(([name]) => name.startsWith(`${prefix}.`))
  if (found.length > 0) return new Map(found.map(([name, view]) => [name.slice(prefix.length + 1), view]))
  const some = [...views.keys()].slice(0, 3).join(', ')
  throw new ArgumentError(`${op}: nothing lies under ${JSON.stringify(prefix)}; names begin with ${some}`, {
    op,
    expected: some,
    got: prefix,
  })
}

/** Views of one storage may be many and wide: a small file must not become a large memory. */
function limit(views: ReadonlyMap<string, View>, zip: ZipFile): void {
  const most = VIEWS * zip.size + FREE_BYTES
  let bytes = 0
  for (const view of views.values()) {
    bytes += view.bytes
    if (bytes > most) throw zip.failure(`its tensors share storages and would take more than ${most} bytes`)
  }
}
