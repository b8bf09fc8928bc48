// Augmentation by the Loader: equal to a plain reference with the same draws, the same for a row in every batch, order and continuation; labels mixed with images.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { data, nn } from 'quarterturn'
import sharp from 'sharp'
import { afterAll, expect, test, vi } from 'vitest'
import { philox } from '../../src/data/order.js'
import { native } from '../../src/native.js'

const [N, C, H, W] = [24, 3, 6, 5]
const pixels = Uint8Array.from({ length: N * C * H * W }, (_, i) => (i * 7919 + (i >> 4)) % 256)
const images = { data: pixels, shape: [N, C, H, W] }
const normalize = { mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.4] }
const SEED = 2n ** 40n + 5n

/** Batches of one epoch, and the rows that they hold by the field `row`. */
async function epoch(
  loader: AsyncIterable<{
    images: { data(): Promise<unknown>; shape: readonly number[] }
    row: { data(): Promise<unknown> }
  }>,
) {
  const found = new Map<number, number[]>()
  for await (const batch of loader) {
    const values = Array.from((await batch.images.data()) as Float32Array)
    const size = batch.images.shape.slice(1).reduce((a, b) => a * b, 1)
    const rows = Array.from((await batch.row.data()) as BigInt64Array, Number)
    rows.forEach((row, i) => void found.set(row, values.slice(i * size, (i + 1) * size)))
  }
  return [...found].sort(([a], [b]) => a - b).map(([, values]) => values)
}
const row = Int32Array.from({ length: N }, (_, i) => i)

/** Pad, crop, mirror, normalise, cut in plain loops, with the words of Philox at [step, epoch, row, mark]. */
function reference(of: number, at: number, options: { padding: number; flip: number; cut: number }): number[] {
  const words = (step: number): Uint32Array => block([step, at, of, 0x4175676d])
  const below = (word: number, count: number) => Number((BigInt(word) * BigInt(count)) >> 32n)
  const [y, x, side] = words(0) as unknown as [number, number, number]
  const top = below(y, 2 * options.padding + 1) - options.padding
  const left = below(x, 2 * options.padding + 1) - options.padding
  const mirrored = side / 2 ** 32 < options.flip
  const [cy, cx] = words(2) as unknown as [number, number]
  const [holeY, holeX] = [below(cy, H) - (options.cut >> 1), below(cx, W) - (options.cut >> 1)]
  const out: number[] = []
  for (let c = 0; c < C; c++)
    for (let i = 0; i < H; i++)
      for (let j = 0; j < W; j++) {
        const [r, k] = [i + top, (mirrored ? W - 1 - j : j) + left]
        const byte = r >= 0 && r < H && k >= 0 && k < W ? (pixels[((of * C + c) * H + r) * W + k] as number) : 0
        const hole = i >= holeY && i < holeY + options.cut && j >= holeX && j < holeX + options.cut
        out.push(hole ? 0 : Math.fround((byte / 255 - (normalize.mean[c] as number)) / (normalize.std[c] as number)))
      }
  return out
}

/** Philox 4×32-10 at a counter of four words, written once more: ten rounds on bigints. */
function block(counter: number[]): Uint32Array {
  const mask = 0xffffffffn
  let [c0, c1, c2, c3] = counter.map(BigInt) as [bigint, bigint, bigint, bigint]
  let [k0, k1] = [SEED & mask, SEED >> 32n]
  for (let round = 0; round < 10; round++) {
    const [a, b] = [0xd2511f53n * c0, 0xcd9e8d57n * c2]
    ;[c0, c1, c2, c3] = [(b >> 32n) ^ c1 ^ k0, b & mask, (a >> 32n) ^ c3 ^ k1, a & mask]
    ;[k0, k1] = [(k0 + 0x9e3779b9n) & mask, (k1 + 0xbb67ae85n) & mask]
  }
  return Uint32Array.from([c0, c1, c2, c3], Number)
}

test('the generator of this test is that of the library', () => {
  const out = new Uint32Array(4)
  philox(out, Number(SEED & 0xffffffffn), Number(SEED >> 32n), 3)
  expect(block([3, 0, 0, 0])).toEqual(out)
})

test('crop, mirror image, normalisation and hole equal the reference exactly, in each epoch', async () => {
  const augment = { images: { padCrop: 2, flip: 0.5, normalize, cutOut: 3 } }
  const loader = new data.Loader({ images, row }, { batch: 7, shuffle: true, seed: SEED, augment })
  for (const at of [0, 1]) {
    const expected = Array.from(row, (of) => reference(of, at, { padding: 2, flip: 0.5, cut: 3 }))
    expect(await epoch(loader)).toEqual(expected)
  }
})

test('channels last, grey rows and other batches make the same images', async () => {
  const last = new Uint8Array(pixels.length)
  for (let n = 0; n < N; n++)
    for (let c = 0; c < C; c++)
      for (let k = 0; k < H * W; k++) last[(n * H * W + k) * C + c] = pixels[(n * C + c) * H * W + k] as number
  const how = {
    padCrop: 1,
    flip: true,
    normalize,
    jitter: { brightness: 0.3, contrast: 0.3, saturation: 0.3 },
  } as const
  const first = await epoch(new data.Loader({ images, row }, { batch: 24, seed: 3, augment: { images: how } }))
  const hwc = new data.Loader(
    { images: { data: last, shape: [N, H, W, C] }, row },
    { batch: 5, shuffle: true, seed: 3, augment: { images: { ...how, layout: 'HWC' } } },
  )
  expect(await epoch(hwc)).toEqual(first)
  const grey = { data: pixels.slice(0, N * H * W), shape: [N, H, W] }
  const plain = new data.Loader({ images: grey, row }, { augment: { images: {} } })
  for await (const batch of plain) {
    expect([batch.images.shape, batch.images.dtype]).toEqual([[N, 1, H, W], 'float32'])
    expect(await batch.images.data()).toEqual(Float32Array.from(grey.data, (v) => v / 255))
  }
})

test('a pass goes on from a saved state with the same images', async () => {
  const make = () =>
    new data.Loader(
      { images, row },
      { batch: 4, shuffle: true, seed: 8, augment: { images: { padCrop: 3, flip: true } } },
    )
  const loader = make()
  await epoch(loader)
  const whole: Float32Array[] = []
  let state: data.LoaderState | undefined
  for await (const batch of loader) {
    whole.push((await batch.images.data()) as Float32Array)
    if (whole.length === 2) state = JSON.parse(JSON.stringify(loader.state()))
  }
  const after = make()
  after.restore(state as data.LoaderState)
  const rest: Float32Array[] = []
  for await (const batch of after) rest.push((await batch.images.data()) as Float32Array)
  expect(rest).toEqual(whole.slice(2))
})

test('labels are mixed as their images are, and a loss takes them', async () => {
  const labels = Int32Array.from({ length: N }, (_, i) => i % 4)
  // The class of an image can be read off its pixels, so that shares show in both.
  const flat = {
    data: Uint8Array.from({ length: N * H * W }, (_, i) => 60 * (labels[Math.floor(i / (H * W))] as number)),
    shape: [N, H, W],
  }
  const options = { batch: 7, shuffle: true, seed: 5 }
  const mixup = { alpha: 0.8, labels: 'labels', classes: 4 }
  let mixed = 0
  for await (const batch of new data.Loader({ images: flat, labels }, { ...options, augment: { images: { mixup } } })) {
    const [rows] = batch.labels.shape as [number]
    expect([batch.labels.shape, batch.labels.dtype]).toEqual([[rows, 4], 'float32'])
    const targets = (await batch.labels.toArray()) as number[][]
    const means = (await batch.images.mean([1, 2, 3]).toArray()) as number[]
    targets.forEach((target, i) => {
      expect(target.reduce((a, b) => a + b)).toBeCloseTo(1, 6)
      expect((60 / 255) * target.reduce((sum, share, k) => sum + share * k, 0)).toBeCloseTo(means[i] as number, 5)
      if (target.every((share) => share < 0.999)) mixed++
    })
    expect(Number.isFinite(await nn.functional.crossEntropy(batch.labels.mul(3), batch.labels).item())).toBe(true)
  }
  expect(mixed).toBeGreaterThan(N / 3)
})

const folder = mkdtempSync(join(tmpdir(), 'quarterturn-augment-'))
afterAll(() => rmSync(folder, { recursive: true }))

test('pictures of a folder are decoded and augmented; a bad one is an error of its batch, by name', async () => {
  mkdirSync(join(folder, 'class'))
  const raw = (n: number) => Buffer.from(pixels.subarray(n * C * H * W, (n + 1) * C * H * W))
  for (let n = 0; n < 6; n++)
    await sharp(raw(n), { raw: { width: W, height: H, channels: 3 } })
      .png()
      .toFile(join(folder, 'class', `${n}.png`))
  const { images: pictures } = await data.imageFolder(folder, { size: [H, W] })
  const augment = { images: { padCrop: 2, flip: true, normalize } }
  const ids = row.subarray(0, 6)
  const read = await epoch(
    new data.Loader({ images: pictures, row: ids }, { batch: 4, shuffle: true, seed: 2, augment }),
  )
  const hwc = { data: pixels.slice(0, 6 * C * H * W), shape: [6, H, W, C] }
  const held = new data.Loader(
    { images: hwc, row: ids },
    { seed: 2, augment: { images: { ...augment.images, layout: 'HWC' } } },
  )
  expect(read).toEqual(await epoch(held))
  writeFileSync(join(folder, 'class', '3.png'), 'no picture')
  await expect(epoch(new data.Loader({ images: pictures, row: ids }, { augment }))).rejects.toMatchObject({
    code: 'ERR_DATA',
    message: expect.stringContaining('3.png'),
  })
})

test('the images of an IDX file, and what is made ahead of a loop: `prefetch` batches, freed where nobody wants them', async () => {
  const idx = Uint8Array.from([0, 0, 8, 3, 0, 0, 0, 12, 0, 0, 0, 3, 0, 0, 0, 2, ...pixels.subarray(0, 72)])
  const made = vi.spyOn(native(), 'stageAugmented')
  const before = native().statistics().staged
  try {
    const given = { images: await data.readIdx(idx) }
    const loader = new data.Loader(given, { batch: 2, prefetch: 3, augment: { images: { flip: 1 } } })
    for await (const batch of loader) {
      expect(batch.images.shape).toEqual([2, 1, 3, 2])
      const mirrored = [1, 0, 3, 2, 5, 4].map((k) => Math.fround((pixels[k] as number) / 255))
      expect(Array.from(((await batch.images.data()) as Float32Array).subarray(0, 6))).toEqual(mirrored)
      expect(made).toHaveBeenCalledTimes(1 + 3)
      break
    }
    await expect.poll(() => native().statistics().staged).toBe(before)
  } finally {
    made.mockRestore()
  }
})

test('what cannot be used is refused where the loader is made', () => {
  const make =
    (augment: unknown, field: unknown = images) =>
    () =>
      new data.Loader({ images: field, row } as never, { augment: { images: augment } } as never)
  for (const [augment, what] of [
    [3, 'an object'],
    [{ crop: 4 }, 'augment.images.crop must be one of'],
    [{ padCrop: -1 }, 'padCrop'],
    [{ flip: 2 }, 'from 0 to 1'],
    [{ flip: '1' }, 'flip'],
    [{ jitter: { contrast: Number.NaN } }, 'jitter.contrast'],
    [{ normalize: { mean: 0 } }, 'normalize.std'],
    [{ normalize: { mean: 0, std: 0 } }, 'normalize.std'],
    [{ erase: { area: [0.5, 0.2] } }, 'erase.area'],
    [{ mixup: { alpha: 0, labels: 'row', classes: 3 } }, 'mixup.alpha'],
    [{ layout: 'NHWC' }, "'CHW' or 'HWC'"],
  ] as const)
    expect(make(augment)).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT', message: expect.stringContaining(what) }),
    )
  expect(make({ normalize, layout: 'HWC' })).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
  expect(make({ padCrop: { size: 9, padding: 1 } })).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
  expect(make({ mixup: { alpha: 1, labels: 'y', classes: 3 } })).toThrow(/there is no field y/)
  expect(make({}, { data: new Float32Array(4), shape: [1, 2, 2] })).toThrow(
    expect.objectContaining({ code: 'ERR_DTYPE' }),
  )
  expect(make({}, { data: pixels, shape: [N, C, H] })).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
  expect(make({}, [[1, 2]])).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  expect(() => new data.Loader({ row }, { augment: { other: {} } } as never)).toThrow(/there is no field other/)
})
