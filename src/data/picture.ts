// One picture: a PNG or JPEG file decoded by the optional package sharp, on its threads.
import { readFile } from 'node:fs/promises'
import { ArgumentError, DataError } from '../errors.js'
import { whole } from '../tensor/shape.js'
import { told } from '../told.js'
import { optional } from './optional.js'
import { fileError } from './source.js'

export type Sharp = typeof import('sharp')['default']

/** How a picture comes out of its file. */
export interface PictureLayout {
  /** Undefined, both: as the picture is. */
  height: number | undefined
  width: number | undefined
  channels: 1 | 3 | 4
  fit: 'cover' | 'contain' | 'fill'
}

const fits: readonly string[] = ['cover', 'contain', 'fill']

export async function loadSharp(op: string): Promise<Sharp> {
  return (await optional('sharp', op, () => import('sharp'))).default as unknown as Sharp
}

export function checkPicture(
  { size, fit = 'cover', channels = 3 }: { size?: unknown; fit?: PictureLayout['fit']; channels?: 1 | 3 | 4 },
  op: string,
): PictureLayout {
  const wrong = (name: string, expected: string, got: unknown) =>
    new ArgumentError(`${op}: ${name} must be ${expected}, got ${told(got)}`, { op, expected, got: told(got) })
  if (!fits.includes(fit)) throw wrong('fit', fits.join(', '), fit)
  if (![1, 3, 4].includes(channels)) throw wrong('channels', '1, 3 or 4', channels)
  const [height, width] = Array.isArray(size) ? size : [size, size]
  return {
    height: whole(height, 'size', op, 1, 2 ** 14),
    width: whole(width, 'size', op, 1, 2 ** 14),
    channels,
    fit,
  }
}

/** The bytes of a picture, [H, W, C]; turned as its EXIF data say. */
export async function decode(
  sharp: Sharp,
  file: string,
  { height, width, channels, fit }: PictureLayout,
  op: string,
): Promise<{ data: Uint8Array; height: number; width: number }> {
  const content = await readFile(file).catch((cause) => {
    throw fileError(file, cause, op)
  })
  const bad = (what: string, cause?: unknown) =>
    new DataError(`${op}: ${file}: ${what}`, { op, expected: 'a PNG or JPEG file', cause })
  // sharp goes by the content and knows many formats more, some of which refer to other files.
  const kind = kindOf(content)
  const named = /\.png$/i.test(file) ? 'PNG' : 'JPEG'
  if (kind !== named) throw bad(content.length === 0 ? 'it is empty' : `it is ${kind ?? 'no picture'}, not ${named}`)
  try {
    const turned = sharp(content, { failOn: 'error', autoOrient: true })
    const background = { r: 0, g: 0, b: 0, alpha: 1 }
    const sized =
      height === undefined || width === undefined ? turned : turned.resize(width, height, { fit, background })
    const picture = sized.toColourspace(channels === 1 ? 'b-w' : 'srgb')
    const { data, info } = await (channels === 4 ? picture.ensureAlpha() : picture.removeAlpha())
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true })
    if (data.length !== info.height * info.width * channels) throw new Error(`it has ${info.channels} channels`)
    return { data, height: info.height, width: info.width }
  } catch (cause) {
    throw bad((cause as Error).message.split('\n', 1)[0] as string, cause)
  }
}

function kindOf(content: Uint8Array): 'PNG' | 'JPEG' | undefined {
  const starts = (...bytes: number[]) => bytes.every((byte, i) => content[i] === byte)
  if (starts(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)) return 'PNG'
  return starts(0xff, 0xd8, 0xff) ? 'JPEG' : undefined
}
