// imageFolder: pictures in one folder for each class, decoded when a batch asks for them.
import { readdir, stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ArgumentError, DataError } from '../errors.js'
import { tensor } from '../tensor/create.js'
import { type Device, type DeviceLike, device } from '../tensor/device.js'
import type { Shape } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { list, object } from './check.js'
import { DistantRows, type Selection } from './field.js'
import { checkPicture, decode, loadSharp, type PictureLayout, type Sharp } from './picture.js'
import { fileError } from './source.js'

export interface ImageFolderOptions {
  /** Height and width of the pictures of a batch, or one number for both. */
  size: number | readonly [height: number, width: number]
  /** How a picture comes to that size: cut at its longer side, with black beside its shorter side, or stretched. @default 'cover' */
  fit?: 'cover' | 'contain' | 'fill'
  /** 1: grey, 3: red, green and blue, 4: and alpha. @default 3 */
  channels?: 1 | 3 | 4
  /** float32 from 0 to 1, or the bytes 0 … 255. @default 'float32' */
  dtype?: 'float32' | 'uint8'
  /** The classes, in the order of their numbers (default: all sub-folders, sorted by code units). */
  classes?: readonly string[]
  /** What becomes of files that cannot be decoded: an error of the batch that needs them, or all files are decoded once now and such ones left out. @default 'error' */
  bad?: 'error' | 'skip'
  /** Where batches are put. @default 'cpu' */
  device?: DeviceLike
}

/** Pictures, the numbers of their classes, and what these are called. */
export interface ImageFolder {
  /** A field of a `Loader`: batches [B, C, H, W]. */
  readonly images: ImageRows
  /** A field of a `Loader`: the place of each picture's class among `classes`. */
  readonly labels: Int32Array
  readonly classes: readonly string[]
  /** Files that `bad: 'skip'` left out, and why. */
  readonly skipped: readonly { readonly file: string; readonly reason: string }[]
}

const op = 'imageFolder'

/**
 * The PNG and JPEG files in the sub-folders of a folder (and in theirs), each sub-folder being a class, by the optional package `sharp`. Files are sorted by their
 * paths, other files and hidden ones are passed over.
 *
 * ```ts
 * const { images, labels, classes } = await data.imageFolder('flowers', { size: 64 })
 * const loader = new data.Loader({ images, labels }, { batch: 32, shuffle: true })
 * console.log(classes, images.rows)   // [ 'daisy', 'rose' ] 2
 * ```
 *
 * Nothing is decoded before a batch asks for it; then it is done on the threads of `sharp`, several files at a time, while the `prefetch` batches before are being
 * computed. Pictures are turned as their EXIF data say; alpha is dropped unless `channels` is 4. Differs from torchvision's `ImageFolder`: batches, not single
 * pictures, are decoded, and come in one size.
 *
 * @throws PackageError (`ERR_PACKAGE`) without the package; FileError (`ERR_IO`) where the folder cannot be read; DataError (`ERR_DATA`) where it has no
 * sub-folder, or one without pictures. A batch rejects with DataError for a file that is cut, damaged or not what its name says, FileError for one that is gone.
 */
export async function imageFolder(folder: string | URL, options: ImageFolderOptions): Promise<ImageFolder> {
  const layout = checked(options)
  const root = checkFolder(folder)
  const sharp = await loadSharp(op)
  const classes = options.classes === undefined ? await subFolders(root) : [...options.classes]
  const found = await Promise.all(classes.map((name) => pictures(join(root, name))))
  let files = found.flat()
  let labels = Int32Array.from(found.flatMap((own, label) => own.map(() => label)))
  const skipped: { file: string; reason: string }[] = []
  if (options.bad === 'skip') {
    const reasons = await all(files, (file) =>
      decode(sharp, file, layout, op).then(
        () => undefined,
        (error: Error) => error.message,
      ),
    )
    const good = (_: unknown, i: number) => reasons[i] === undefined
    for (const [i, file] of files.entries()) if (!good(file, i)) skipped.push({ file, reason: reasons[i] as string })
    files = files.filter(good)
    labels = labels.filter(good)
    const empty = classes.find((_, label) => !labels.includes(label))
    if (empty !== undefined) throw new DataError(`${op}: ${join(root, empty)}: no picture can be decoded`, { op })
  }
  return { images: new ImageRows(files, sharp, layout), labels, classes, skipped }
}

interface Layout extends PictureLayout {
  height: number
  width: number
  dtype: 'float32' | 'uint8'
  device: Device
}

/** Pictures in files; made by `imageFolder`. */
export class ImageRows extends DistantRows {
  /** The file of each row. */
  readonly files: readonly string[]
  readonly #sharp: Sharp
  readonly #layout: Layout

  /** @internal */
  constructor(files: readonly string[], sharp: Sharp, layout: Layout) {
    super()
    this.files = files
    this.#sharp = sharp
    this.#layout = layout
  }

  override get rows(): number {
    return this.files.length
  }

  /** The shape of one row. */
  get shape(): Shape {
    const { channels, height, width } = this.#layout
    return [channels, height, width]
  }

  /** @internal Where batches are put. */
  get device(): Device {
    return this.#layout.device
  }

  /** @internal The bytes of some pictures, [B, H, W, C]. */
  async pixels(rows: Int32Array): Promise<Uint8Array<ArrayBuffer>> {
    const { height, width, channels } = this.#layout
    const size = height * width * channels
    const pixels = new Uint8Array(rows.length * size)
    await all(Array.from(rows), async (row, i) => {
      const { data } = await decode(this.#sharp, this.files[row] as string, this.#layout, op)
      pixels.set(data, i * size)
    })
    return pixels
  }

  override async read({ rows }: Selection): Promise<() => Tensor> {
    const { height, width, channels, dtype, device: place } = this.#layout
    const pixels = await this.pixels(rows)
    return () => {
      const shape = [rows.length, height, width, channels]
      const planes = tensor(pixels, { dtype: 'uint8', shape, device: place }).permute([0, 3, 1, 2])
      return (dtype === 'uint8' ? planes : planes.to('float32').div(255)) as Tensor
    }
  }
}

/** What `each` gives for all items, a few at a time: enough for all threads, not so many that files or memory run out. */
async function all<T, R>(items: readonly T[], each: (item: T, i: number) => Promise<R>): Promise<R[]> {
  const done = new Array<R>(items.length)
  let next = 0
  const work = async () => {
    while (next < items.length) {
      const i = next++
      done[i] = await each(items[i] as T, i)
    }
  }
  await Promise.all(Array.from({ length: 2 * availableParallelism() }, work))
  return done
}

async function subFolders(root: string): Promise<string[]> {
  const names = await readdir(root).catch((cause) => {
    throw fileError(root, cause, op)
  })
  const folders = await Promise.all(
    names.map(async (name) => !name.startsWith('.') && (await stat(join(root, name))).isDirectory()),
  )
  const found = names.filter((_, i) => folders[i]).sort()
  if (found.length > 0) return found
  throw new DataError(`${op}: ${root} has no sub-folders, one for each class`, { op, expected: 'sub-folders' })
}

/** The pictures of a class, sorted by their paths. */
async function pictures(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true, withFileTypes: true }).catch((cause) => {
    throw fileError(folder, cause, op)
  })
  const files = names
    .filter((entry) => !entry.isDirectory() && /^[^.].*\.(png|jpe?g)$/i.test(entry.name))
    .map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name)).replaceAll('\\', '/'))
    .sort()
    .map((name) => join(folder, name))
  if (files.length > 0) return files
  throw new DataError(`${op}: ${folder} holds no PNG or JPEG files`, { op, expected: 'PNG or JPEG files', got: 'none' })
}

function checkFolder(folder: string | URL): string {
  if (folder instanceof URL && folder.protocol === 'file:') return fileURLToPath(folder)
  if (typeof folder === 'string' && folder !== '' && !folder.includes('\0')) return resolve(folder)
  throw new ArgumentError(`${op}: folder must be a path or a file: URL`, { op, expected: 'a path', got: typeof folder })
}

function checked(options: ImageFolderOptions): Layout {
  const {
    size,
    fit = 'cover',
    channels = 3,
    dtype = 'float32',
    classes,
    bad = 'error',
  } = object(options, 'options', op)
  const wrong = (name: string, expected: string, got: unknown) =>
    new ArgumentError(`${op}: ${name} must be ${expected}, got ${String(got)}`, { op, expected, got: String(got) })
  if (dtype !== 'float32' && dtype !== 'uint8') throw wrong('dtype', "'float32' or 'uint8'", dtype)
  if (bad !== 'error' && bad !== 'skip') throw wrong('bad', "'error' or 'skip'", bad)
  if (classes !== undefined) {
    const names = Array.from(list(classes, 'classes', op))
    const odd = names.find(
      (name, i) => typeof name !== 'string' || !/^[^/\\\0]+$/.test(name) || names.indexOf(name) !== i,
    )
    if (odd !== undefined || names.length === 0) throw wrong('classes', 'names of sub-folders, each once', odd)
  }
  const { height, width, ...rest } = checkPicture({ size, fit, channels }, op)
  return {
    ...rest,
    height: height as number,
    width: width as number,
    dtype,
    device: device(options.device ?? 'cpu', op),
  }
}
