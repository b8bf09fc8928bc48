// readImage: one picture as bytes, for a model that has been trained.
import { object } from './check.js'
import { checkPicture, decode, loadSharp } from './picture.js'
import { filePath } from './source.js'

export interface ReadImageOptions {
  /** Height and width, or one number for both (default: as the picture is). */
  size?: number | readonly [height: number, width: number]
  /** How it comes to that size: cut at its longer side, with black beside its shorter side, or stretched. @default 'cover' */
  fit?: 'cover' | 'contain' | 'fill'
  /** 1: grey, 3: red, green and blue, 4: and alpha. @default 3 */
  channels?: 1 | 3 | 4
}

/**
 * The planes of a PNG or JPEG file, [C, H, W], by the optional package `sharp`; as `imageFolder` reads them.
 *
 * ```ts
 * const { data: pixels, shape } = await data.readImage('flowers/rose/1.png', { size: 32 })
 * console.log(pixels.length, shape)   // 3072 [ 3, 32, 32 ]
 * ```
 *
 * @throws PackageError (`ERR_PACKAGE`) without the package; FileError (`ERR_IO`) where the file cannot be read; DataError (`ERR_DATA`) where it is cut, damaged or not
 * what its name says.
 */
export async function readImage(
  path: string | URL,
  options: ReadImageOptions = {},
): Promise<{ data: Uint8Array; shape: [channels: number, height: number, width: number] }> {
  const op = 'readImage'
  const { size, ...rest } = object(options, 'options', op)
  const { channels, fit, ...sizes } = checkPicture({ size: size ?? 1, ...rest }, op)
  const file = await filePath(path, op)
  const own = { height: undefined, width: undefined }
  const picture = await decode(await loadSharp(op), file, { channels, fit, ...(size === undefined ? own : sizes) }, op)
  const { data, height, width } = picture
  const planes = new Uint8Array(data.length)
  const area = height * width
  for (let c = 0, at = 0; c < channels; c++)
    for (let k = 0; k < area; k++) planes[at++] = data[k * channels + c] as number
  return { data: planes, shape: [channels, height, width] }
}
