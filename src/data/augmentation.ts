// Augmentation: what may be done to images, said in one object, and how it is checked. The computing is done in crates/data/src/augment.
import { ArgumentError, ShapeError } from '../errors.js'
import { whole } from '../tensor/shape.js'
import { told } from '../told.js'

/**
 * What is done to each image of a field of bytes 0 … 255, in the order of this list; what is not named is not done. Batches are float32 [B, C, H, W], v/255 where
 * nothing else is said. Random numbers follow from the loader's seed, the epoch and the number of the row (Philox): not from threads, batches or the order of rows.
 *
 * ```ts
 * const images = { data: Uint8Array.from({ length: 4 * 3 * 32 * 32 }, (_, i) => i % 256), shape: [4, 3, 32, 32] }
 * const normalize = { mean: [0.49, 0.48, 0.45], std: [0.25, 0.24, 0.26] }
 * const augment = { images: { padCrop: 4, flip: true, normalize } }
 * const loader = new data.Loader({ images, labels: [0, 1, 1, 0] }, { batch: 4, shuffle: true, augment })
 * for await (const batch of loader) console.log(batch.images.shape, batch.images.dtype)   // [ 4, 3, 32, 32 ] float32
 * ```
 *
 * Images are bytes with their shape, `{ data: Uint8Array, shape }` (copied once), as `readIdx` gives them, or what `imageFolder` gives (decoded for each batch). A few
 * images at a time are made in Rust, on rayon's threads, while the `prefetch` batches before are being computed.
 */
export interface Augmentation {
  /** How the bytes of a row lie: rows [C, H, W] or [H, W, C]. @default 'CHW' */
  layout?: 'CHW' | 'HWC'
  /**
   * A crop at a random place of the image with `padding` black pixels on each side: y[c, i, j] = x̂[c, i + t, j + l], t and l uniform over all places.
   * A number is the padding. `size` is the size of the crop, that of the image unless it is given. torchvision: `RandomCrop(size, padding)`.
   */
  padCrop?: number | { padding?: number; size?: number | readonly [height: number, width: number] }
  /** The mirror image y[c, i, j] = x[c, i, W − 1 − j] with this probability; `true`: 1/2. torchvision: `RandomHorizontalFlip`. */
  flip?: boolean | number
  /**
   * Factors b, k, s, each uniform in [max(0, 1 − it), 1 + it]: brightness b·x, then contrast k·x + (1 − k)·mean(grey(x)), then saturation s·x + (1 − s)·grey(x), with
   * grey = 0.2989 R + 0.587 G + 0.114 B, each clamped to 0 … 1. Differs from torchvision's `ColorJitter`: this order always, no hue, no rounding to bytes on the way.
   */
  jitter?: { brightness?: number; contrast?: number; saturation?: number }
  /** (v/255 − mean)/std, computed in float64; numbers for all channels or one for each. torchvision: `ToDtype(float32, scale=True)` and `Normalize`. */
  normalize?: { mean: number | readonly number[]; std: number | readonly number[] }
  /** A square of this side about a pixel that is drawn uniformly, set to 0 as far as it lies in the image (DeVries and Taylor 2017). */
  cutOut?: number
  /**
   * With `probability` a rectangle set to 0, its share of the image uniform in `area`, its height over its width log-uniform in `ratio` (Zhong et al. 2017); one that is
   * as high or wide as the image is drawn again, ten times at most. `true`: 1/2, [0.02, 0.33], [0.3, 3.3]. torchvision: `RandomErasing`.
   */
  erase?: boolean | { probability?: number; area?: readonly [number, number]; ratio?: readonly [number, number] }
  /**
   * λ·x + (1 − λ)·x′ with the row before in the batch (the last one for the first), λ ~ Beta(α, α) for each row (Zhang et al. 2018); the field `labels` of class numbers
   * becomes probabilities [B, classes], mixed likewise, for `crossEntropy`. Rows should be shuffled. Differs from torchvision's `MixUp`: a λ for each row, not for each batch.
   */
  mixup?: { alpha: number; labels: string; classes: number }
}

/** The images of a field: [C, H, W]. */
export interface ImageShape {
  channels: number
  height: number
  width: number
}

/** An augmentation that has been checked, for images of one shape. */
export interface CheckedAugmentation {
  padding: number
  cropHeight: number
  cropWidth: number
  flip: number
  brightness: number
  contrast: number
  saturation: number
  mean: number[]
  std: number[]
  cut: number
  erase: number[]
  mixup: number
}

const op = 'Loader'
const KEYS = ['layout', 'padCrop', 'flip', 'jitter', 'normalize', 'cutOut', 'erase', 'mixup']
const LARGEST = 2 ** 14

/** The layout of the rows, which decides what their shape means. */
export function checkLayout(given: Augmentation, name: string): 'CHW' | 'HWC' {
  if (typeof given !== 'object' || given === null) throw wrong(name, 'an object', given)
  const unknown = Object.keys(given).find((key) => !KEYS.includes(key))
  if (unknown !== undefined) throw wrong(`${name}.${unknown}`, `one of ${KEYS.join(', ')}`, unknown)
  const { layout = 'CHW' } = given
  if (layout !== 'CHW' && layout !== 'HWC') throw wrong(`${name}.layout`, "'CHW' or 'HWC'", layout)
  return layout
}

/** @throws ArgumentError for values that cannot be used; ShapeError where they do not fit the images. */
export function checkAugmentation(given: Augmentation, image: ImageShape, name: string): CheckedAugmentation {
  const { padCrop = 0, flip = false, jitter = {}, normalize = { mean: 0, std: 1 }, erase = false, mixup } = given
  const crop = typeof padCrop === 'number' ? { padding: padCrop } : part(padCrop, `${name}.padCrop`)
  const { size = [image.height, image.width] } = crop
  const [high, wide] = Array.isArray(size) ? size : [size, size]
  const padding = whole(crop.padding ?? 0, `augment.${name}.padCrop`, op, 0, LARGEST)
  const cropHeight = whole(high as number, `augment.${name}.padCrop.size`, op, 1)
  const cropWidth = whole(wide as number, `augment.${name}.padCrop.size`, op, 1)
  if (cropHeight > image.height + 2 * padding || cropWidth > image.width + 2 * padding) {
    const [expected, got] = [
      `at most ${image.height + 2 * padding} × ${image.width + 2 * padding}`,
      `${high} × ${wide}`,
    ]
    throw new ShapeError(`Loader: augment.${name}.padCrop: the crop must be ${expected}, got ${got}`, {
      op,
      expected,
      got,
    })
  }
  const { brightness = 0, contrast = 0, saturation = 0 } = part(jitter, `${name}.jitter`)
  for (const [key, value] of Object.entries({ brightness, contrast, saturation }))
    within(value, `${name}.jitter.${key}`, 0, 1000)
  if (brightness + contrast + saturation > 0 && image.channels !== 1 && image.channels !== 3) {
    throw new ShapeError(`Loader: augment.${name}.jitter: images must have 1 or 3 channels, got ${image.channels}`, {
      op,
      expected: '1 or 3 channels',
      got: String(image.channels),
    })
  }
  const { mean, std } = part(normalize, `${name}.normalize`)
  return {
    padding,
    cropHeight,
    cropWidth,
    flip: typeof flip === 'boolean' ? Number(flip) / 2 : within(flip, `${name}.flip`, 0, 1),
    brightness,
    contrast,
    saturation,
    mean: byChannel(mean, image.channels, `${name}.normalize.mean`, -1e6),
    std: byChannel(std, image.channels, `${name}.normalize.std`, 1e-12),
    cut: whole(given.cutOut ?? 0, `augment.${name}.cutOut`, op, 0, LARGEST),
    erase: checkErase(erase, `${name}.erase`),
    mixup: mixup === undefined ? 0 : within(part(mixup, `${name}.mixup`).alpha, `${name}.mixup.alpha`, 1e-3, 1e6),
  }
}

function checkErase(given: Exclude<Augmentation['erase'], undefined>, name: string): number[] {
  if (given === false) return []
  const { probability = 0.5, area = [0.02, 0.33], ratio = [0.3, 3.3] } = given === true ? {} : part(given, name)
  within(probability, `${name}.probability`, 0, 1)
  for (const [key, range, most] of [['area', area, 1] as const, ['ratio', ratio, 1e3] as const]) {
    if (!Array.isArray(range) || range.length !== 2) throw wrong(`${name}.${key}`, 'two numbers', range)
    const low = within(range[0] as number, `${name}.${key}`, 1e-6, most)
    within(range[1] as number, `${name}.${key}`, low, most)
  }
  return [probability, ...area, ...ratio]
}

function byChannel(given: number | readonly number[], channels: number, name: string, least: number): number[] {
  const values = typeof given === 'number' ? new Array<number>(channels).fill(given) : given
  if (!Array.isArray(values)) throw wrong(name, 'numbers', given)
  if (values.length !== channels) {
    throw new ShapeError(
      `Loader: augment.${name} must have one number for each of ${channels} channels, got ${values.length} (layout: 'HWC' where channels are the last axis)`,
      { op, expected: `[${channels}]`, got: `[${values.length}]` },
    )
  }
  return Array.from(values, (value) => within(value, name, least, 1e6))
}

function part<T extends object>(given: T, name: string): T {
  if (typeof given === 'object' && given !== null) return given
  throw wrong(name, 'an object', given)
}

function within(value: number, name: string, low: number, high: number): number {
  if (typeof value === 'number' && value >= low && value <= high) return value
  throw wrong(name, `a number from ${low} to ${high}`, value)
}

function wrong(name: string, expected: string, value: unknown): ArgumentError {
  const got = told(value)
  return new ArgumentError(`${op}: augment.${name} must be ${expected}, got ${got}`, { op, expected, got })
}
