// AugmentedRows: images that are cropped, mirrored, normalised and so on when a batch asks for them, off the JavaScript thread.
import type { AugmentedBatch } from '../../index.js'
import { ArgumentError, DTypeError, OutOfMemoryError, ShapeError } from '../errors.js'
import { native } from '../native.js'
import { checkBuffer } from '../tensor/check-buffer.js'
import { tensor } from '../tensor/create.js'
import { type Device, device } from '../tensor/device.js'
import { oneHot } from '../tensor/functions.js'
import { begin } from '../tensor/queue.js'
import { checkShape, elements, type Shape, show, whole } from '../tensor/shape.js'
import { call, type Tensor } from '../tensor/tensor.js'
import { told } from '../told.js'
import {
  type Augmentation,
  type CheckedAugmentation,
  checkAugmentation,
  checkLayout,
  type ImageShape,
} from './augmentation.js'
import { DistantRows, type FieldData, type Pass, type Selection } from './field.js'
import { ImageRows } from './image-folder.js'

const op = 'Loader'

/** Where bytes come from: all of them, or those of the rows of a batch. */
type Pixels = { all: Uint8Array<ArrayBuffer> } | { read: ImageRows }

/** What becomes of a batch of labels whose images are mixtures. */
export interface Mixing {
  labels: string
  classes: number
  shares: Float64Array
}

/** What makes a batch; with what is to be done to its labels. */
export type MixedMaker = (() => Tensor) & { mixing?: Mixing }

/** Images that are augmented; made by a `Loader` with `augment`. */
export class AugmentedRows extends DistantRows {
  readonly rows: number
  /** The field of labels that are mixed with the images, and how many classes there are. */
  readonly mixup: { labels: string; classes: number } | undefined
  readonly #pixels: Pixels
  readonly #image: ImageShape & { channelsLast: boolean }
  readonly #plan: CheckedAugmentation
  readonly #device: Device

  constructor(name: string, data: FieldData, augmentation: Augmentation, place: Device | undefined) {
    super()
    const layout = checkLayout(augmentation, name)
    if (data instanceof ImageRows) {
      const [channels, height, width] = data.shape as [number, number, number]
      this.rows = data.rows
      this.#pixels = { read: data }
      this.#image = { channels, height, width, channelsLast: true }
      this.#device = place ?? data.device
    } else {
      const { bytes, shape } = ofArray(name, data)
      const [rows, ...sizes] = (shape.length === 3 ? [...shape.slice(0, 1), 1, ...shape.slice(1)] : shape) as [
        number,
        number,
        number,
        number,
      ]
      const channelsLast = layout === 'HWC' && shape.length === 4
      const [channels, height, width] = channelsLast ? [sizes[2], sizes[0], sizes[1]] : sizes
      if (channels * height * width === 0) throw badShape(name, show(shape))
      this.rows = rows
      this.#pixels = { all: new Uint8Array(bytes) } // a copy, which nobody else changes
      this.#image = { channels, height, width, channelsLast }
      this.#device = place ?? device('cpu')
    }
    this.#plan = checkAugmentation(augmentation, this.#image, name)
    const { mixup } = augmentation
    this.mixup = mixup && {
      labels: mixup.labels,
      classes: whole(mixup.classes, `augment.${name}.mixup.classes`, op, 1),
    }
    begin()
  }

  override async read({ rows }: Selection, { epoch, seed }: Pass): Promise<MixedMaker> {
    const ids = Uint32Array.from(rows)
    const gathered = 'read' in this.#pixels
    const pixels = 'read' in this.#pixels ? await this.#pixels.read.pixels(rows) : this.#pixels.all
    const key = BigInt(seed)
    const drawing = { keyLow: Number(key & 0xffff_ffffn), keyHigh: Number(key >> 32n), epoch }
    let batch: AugmentedBatch
    try {
      batch = await native().stageAugmented(pixels, ids, { ...this.#image, ...this.#plan, gathered }, drawing)
    } catch (cause) {
      throw new OutOfMemoryError(`Loader: no memory holds the images of a batch: ${(cause as Error).message}`, {
        op,
        cause,
      })
    }
    const { cropHeight, cropWidth } = this.#plan
    const shape = [rows.length, this.#image.channels, cropHeight, cropWidth]
    const make: MixedMaker = () =>
      call('fromBytes', [], { staging: batch.staging, shape, dtype: 'float32', device: this.#device })
    if (this.mixup !== undefined) make.mixing = { ...this.mixup, shares: batch.shares }
    return make
  }
}

/** λ·e(y) + (1 − λ)·e(y′) for numbers of classes y [B], y′ being the row before: [B, classes]. */
export function mixLabels(labels: Tensor, { classes, shares, labels: name }: Mixing): Tensor {
  if (labels.rank !== 1 || labels.dtype !== 'int64') {
    const got = `${labels.dtype} ${show(labels.shape)}`
    throw new ShapeError(`Loader: mixup: ${name} must be numbers of classes, int64 [B], got ${got}`, {
      op,
      expected: 'int64 [B]',
      got,
    })
  }
  const of = (values: Float64Array) =>
    tensor(values, { dtype: 'float32', shape: [values.length, 1], device: labels.device })
  const own = oneHot(labels, classes).to('float32')
  return own.mul(of(shares)).add(own.roll(1, 0).mul(of(shares.map((share) => 1 - share))))
}

function ofArray(name: string, data: FieldData): { bytes: Uint8Array; shape: Shape } {
  const given = data as { data?: unknown; shape?: unknown } | null
  const isArray = typeof given === 'object' && given !== null && given.data instanceof Uint8Array && 'shape' in given
  if (!isArray) {
    const expected = 'bytes with their shape, { data: Uint8Array, shape }, or what imageFolder gives'
    const inner = typeof given === 'object' && given !== null && ArrayBuffer.isView(given.data) ? given.data : data
    const got = told(inner)
    const Wrong = ArrayBuffer.isView(inner) ? DTypeError : ArgumentError
    throw new Wrong(`Loader: augment takes of ${name} ${expected}, got ${got}`, { op, expected, got })
  }
  const bytes = given.data as Uint8Array
  checkBuffer(bytes, op)
  const shape = checkShape(given.shape as Shape, op)
  if ((shape.length !== 3 && shape.length !== 4) || elements(shape) !== bytes.length)
    throw badShape(name, `${show(shape)} with ${bytes.length} bytes`)
  return { bytes, shape }
}

function badShape(name: string, got: string): ShapeError {
  const expected = '[N, H, W], [N, C, H, W] or [N, H, W, C], as many bytes as that takes'
  return new ShapeError(`Loader: the images of ${name} must be ${expected}, got ${got}`, { op, expected, got })
}
