// imageFolder: the pixels of every file in its place, in every order and after a continuation; bad files by their name.
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { data, nn, optim, train } from 'quarterturn'
import sharp from 'sharp'
import { afterAll, beforeAll, expect, test } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'quarterturn-images-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** A picture of one colour. */
const flat = (r: number, g: number, b: number, width = 12, height = 8) =>
  sharp({ create: { width, height, channels: 3, background: { r, g, b } } })

/** Two classes of six pictures each: red by their number in one, blue in the other. */
const colours = join(folder, 'colours')
beforeAll(async () => {
  for (const name of ['red', 'blue/deep', '.hidden']) mkdirSync(join(colours, name), { recursive: true })
  for (let i = 0; i < 6; i++) {
    await flat(40 * i, 0, 0)
      .png()
      .toFile(join(colours, 'red', `${i}.png`))
    await flat(0, 0, 40 * i)
      .png()
      .toFile(join(colours, i < 3 ? 'blue' : 'blue/deep', `${i}.PNG`))
  }
  writeFileSync(join(colours, 'red', 'notes.txt'), 'not a picture')
  writeFileSync(join(colours, 'red', '.0.png'), 'not a picture')
})

test('classes and files are sorted; each row is its own picture, as float32 planes', async () => {
  const { images, labels, classes, skipped } = await data.imageFolder(colours, { size: [2, 3] })
  expect([classes, Array.from(labels), images.shape, skipped]).toEqual([
    ['blue', 'red'],
    [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1],
    [3, 2, 3],
    [],
  ])
  const seen: number[] = []
  for await (const batch of new data.Loader({ images, labels }, { batch: 5, shuffle: true, seed: 1 })) {
    expect([batch.images.shape.slice(1), batch.images.dtype]).toEqual([[3, 2, 3], 'float32'])
    const means = (await batch.images.mean([2, 3]).toArray()) as number[][]
    for (const [i, label] of Array.from(await batch.labels.data(), Number).entries()) {
      const [red, green, blue] = means[i] as [number, number, number]
      expect(green).toBe(0)
      expect(label === 1 ? blue : red).toBe(0)
      seen.push(100 * label + Math.round(255 * (red + blue)) / 40)
    }
  }
  expect(seen.sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 100, 101, 102, 103, 104, 105])
})

test('a shuffled pass goes on from a saved state with the same pictures', async () => {
  const { images, labels } = await data.imageFolder(colours, { size: 2, dtype: 'uint8' })
  const make = () => new data.Loader({ images, labels }, { batch: 2, shuffle: true, seed: 5, prefetch: 4 })
  const pixels = async (loader: ReturnType<typeof make>, most = Infinity) => {
    const found: number[][] = []
    let batches = 0
    for await (const batch of loader) {
      expect(batch.images.dtype).toBe('uint8')
      found.push(Array.from(await batch.images.data(), Number))
      if (++batches === most) break
    }
    return found
  }
  const whole = await pixels(make())
  const before = make()
  const head = await pixels(before, 2)
  const after = make()
  after.restore(JSON.parse(JSON.stringify(before.state())))
  expect([...head, ...(await pixels(after))]).toEqual(whole)
})

test('channels, ways to fit, EXIF and depths give what sharp gives', async () => {
  const kinds = join(folder, 'kinds', 'all')
  mkdirSync(kinds, { recursive: true })
  const noise = Buffer.from(Uint8Array.from({ length: 20 * 10 * 3 }, (_, i) => (i * 7919) % 256))
  const source = () => sharp(noise, { raw: { width: 20, height: 10, channels: 3 } })
  await source().png().toFile(join(kinds, 'a.png'))
  await source().jpeg().toFile(join(kinds, 'b.jpg'))
  await source().jpeg().withMetadata({ orientation: 6 }).toFile(join(kinds, 'c.jpeg'))
  await source().greyscale().toColourspace('b-w').png().toFile(join(kinds, 'd.png'))
  await source().ensureAlpha(0.5).png().toFile(join(kinds, 'e.png'))
  await source().toColourspace('rgb16').png().toFile(join(kinds, 'f.png'))
  for (const fit of ['cover', 'contain', 'fill'] as const) {
    for (const channels of [1, 3, 4] as const) {
      const { images } = await data.imageFolder(join(folder, 'kinds'), { size: [6, 4], fit, channels, dtype: 'uint8' })
      for await (const batch of new data.Loader({ images }, { batch: 6 })) {
        expect(batch.images.shape).toEqual([6, channels, 6, 4])
        const all = Array.from(await batch.images.data(), Number)
        const picture = (k: number) => all.slice(k * 24 * channels, (k + 1) * 24 * channels)
        const { data: own } = await sharp(join(kinds, 'a.png'))
          .resize(4, 6, { fit, background: '#000' })
          .raw()
          .toBuffer({ resolveWithObject: true })
        const planes = [0, 1, 2].flatMap((c) => Array.from({ length: 24 }, (_, i) => own[3 * i + c]))
        if (channels > 1) expect(picture(0).slice(0, 72)).toEqual(planes)
        // 16 bits are brought to 8, a grey picture has three equal planes, a turned one is another picture.
        if (channels > 1)
          expect(Math.max(...picture(5).map((x, i) => Math.abs(x - (picture(0)[i] as number))))).toBeLessThan(3)
        if (channels === 3) expect(picture(3).slice(0, 24)).toEqual(picture(3).slice(48))
        expect(picture(2)).not.toEqual(picture(1))
        if (channels === 4 && fit === 'fill')
          expect(
            picture(4)
              .slice(72)
              .every((x) => Math.abs(x - 128) < 2),
          ).toBe(true)
      }
    }
  }
})

test('bad files: an error of their batch by name, or left out and counted', async () => {
  const bad = join(folder, 'bad')
  mkdirSync(join(bad, 'x'), { recursive: true })
  const noise = Buffer.from(Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * 7919 + (i >> 3)) % 256))
  const png = await sharp(noise, { raw: { width: 64, height: 64, channels: 3 } })
    .png()
    .toBuffer()
  const jpeg = await sharp(noise, { raw: { width: 64, height: 64, channels: 3 } })
    .jpeg()
    .toBuffer()
  const files = {
    'a-good.png': png,
    'b-cut.png': png.subarray(0, png.length >> 1),
    'c-cut.jpg': jpeg.subarray(0, jpeg.length >> 1),
    'd-mislabelled.png': jpeg,
    'e-svg.png': Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"/>'),
    'f-empty.jpg': Buffer.alloc(0),
    'g-good.jpg': jpeg,
  }
  for (const [name, content] of Object.entries(files)) writeFileSync(join(bad, 'x', name), content)
  const { images } = await data.imageFolder(bad, { size: 8 })
  expect(images.rows).toBe(7)
  for (const [row, file] of images.files.entries()) {
    const run = async () => {
      for await (const batch of new data.Loader({ images }, { rows: [row] })) await batch.images.data()
    }
    if (file.includes('good')) await run()
    else await expect(run()).rejects.toMatchObject({ code: 'ERR_DATA', message: expect.stringContaining(file) })
  }
  const kept = await data.imageFolder(bad, { size: 8, bad: 'skip' })
  expect([kept.images.rows, kept.labels.length, kept.skipped.length]).toEqual([2, 2, 5])
  expect(kept.skipped[2]).toMatchObject({ file: images.files[3], reason: expect.stringContaining('JPEG, not PNG') })
  for await (const batch of new data.Loader({ images: kept.images })) expect(batch.images.shape).toEqual([2, 3, 8, 8])
  // A file that goes away afterwards.
  renameSync(images.files[0] as string, join(bad, 'gone'))
  const run = async () => {
    for await (const _ of new data.Loader({ images }, { rows: [0] })) expect.unreachable()
  }
  await expect(run()).rejects.toMatchObject({ code: 'ERR_IO', got: 'ENOENT' })
})

test('readImage: one picture as planes, as it is or at a size, as the folder gives it', async () => {
  const file = join(folder, 'one.png')
  const noise = Uint8Array.from({ length: 5 * 4 * 3 }, (_, i) => (i * 7919) % 256)
  await sharp(noise, { raw: { width: 5, height: 4, channels: 3 } })
    .png()
    .toFile(file)
  const own = await data.readImage(file)
  const planes = [0, 1, 2].flatMap((c) => Array.from({ length: 20 }, (_, i) => noise[3 * i + c]))
  expect([own.shape, Array.from(own.data)]).toEqual([[3, 4, 5], planes])
  const { images } = await data.imageFolder(colours, { size: [3, 2], channels: 4, fit: 'fill', dtype: 'uint8' })
  const same = await data.readImage(images.files[4] as string, { size: [3, 2], channels: 4, fit: 'fill' })
  for await (const batch of new data.Loader({ images }, { rows: [4] })) {
    expect([same.shape, Array.from(same.data)]).toEqual([[4, 3, 2], Array.from(await batch.images.data(), Number)])
  }
  await expect(data.readImage(join(folder, 'none.png'))).rejects.toMatchObject({ code: 'ERR_IO' })
  await expect(data.readImage(file, { channels: 2 as 3 })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
})

test('folders and options that cannot be used are refused by name', async () => {
  const empty = join(folder, 'empty')
  mkdirSync(join(empty, 'nothing'), { recursive: true })
  await expect(data.imageFolder(empty, { size: 8 })).rejects.toMatchObject({
    code: 'ERR_DATA',
    message: expect.stringContaining(join(empty, 'nothing')),
  })
  await expect(data.imageFolder(join(empty, 'nothing'), { size: 8 })).rejects.toMatchObject({ code: 'ERR_DATA' })
  await expect(data.imageFolder(join(folder, 'none'), { size: 8 })).rejects.toMatchObject({ code: 'ERR_IO' })
  await expect(data.imageFolder(colours, { size: 8, classes: ['red', 'green'] })).rejects.toMatchObject({
    code: 'ERR_IO',
    message: expect.stringContaining('green'),
  })
  const other = await data.imageFolder(colours, { size: 8, classes: ['red', 'blue'] })
  expect([other.classes, other.labels[0]]).toEqual([['red', 'blue'], 0])
  for (const options of [
    {},
    { size: 0 },
    { size: 8, channels: 2 },
    { size: 8, fit: 'x' },
    { size: 8, classes: ['../x'] },
  ]) {
    await expect(data.imageFolder(colours, options as data.ImageFolderOptions)).rejects.toMatchObject({
      code: 'ERR_ARGUMENT',
    })
  }
})

test('fit learns the colours from the files', async () => {
  const { images, labels, classes } = await data.imageFolder(colours, { size: 4 })
  const model = new nn.Linear(3, classes.length)
  const history = await train.fit(model, new data.Loader({ images, labels }, { batch: 4, shuffle: true, seed: 2 }), {
    loss: (it, batch) => nn.functional.crossEntropy(it.forward(batch.images.mean([2, 3])), batch.labels),
    optimizer: optim.adamW({ lr: 0.1 }),
    epochs: 30,
    progress: false,
  })
  expect(history.epochs.at(-1)?.loss).toBeLessThan(0.6 * (history.epochs[0]?.loss as number))
})
