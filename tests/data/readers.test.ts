// Lines, JSON lines and IDX: what is in the file, where it is wrong, and a pass continued from its place.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { data } from 'quarterturn'
import { afterAll, expect, test } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'quarterturn-readers-'))
afterAll(() => rmSync(folder, { recursive: true }))
function file(name: string, content: string | Uint8Array): string {
  writeFileSync(join(folder, name), content)
  return join(folder, name)
}
async function all<T>(source: AsyncIterable<T>, most = Infinity): Promise<T[]> {
  const found: T[] = []
  for await (const value of source) if (found.push(value) === most) break
  return found
}

test('lines come without their ends, however the bytes are cut', async () => {
  const text = '\ufeffone\r\n\nzwölf\nlast'
  const bytes = new TextEncoder().encode(text)
  const lines = ['one', '', 'zwölf', 'last']
  const path = file('lines.txt', text)
  const single = Array.from(bytes, (byte) => Uint8Array.of(byte))
  for (const source of [path, bytes, single, [text]]) expect(await all(data.readLines(source))).toEqual(lines)
  const twice = data.readLines(path)
  expect([await all(twice, 2), await all(twice)]).toEqual([lines.slice(0, 2), lines])
  expect(await all(data.readLines(new Uint8Array(0)))).toEqual([])
})

test('a pass goes on from the place that was saved, also over many pieces of a file', async () => {
  const lines = Array.from({ length: 100_000 }, (_, i) => `line ${i} ${'ü'.repeat(i % 7)}`)
  const path = file('many.txt', `${lines.join('\n')}\n`)
  expect(await all(data.readLines(path))).toEqual(lines)
  const before = data.readLines(path)
  await all(before, 70_001)
  const after = data.readLines(path)
  after.restore(JSON.parse(JSON.stringify(before.state())))
  expect(await all(after)).toEqual(lines.slice(70_001))
  expect(await all(after, 1)).toEqual(lines.slice(0, 1))
  expect(() => after.restore({ bytes: -1 })).toThrowError(expect.objectContaining({ code: 'ERR_CHECKPOINT' }))
})

test('JSON lines feed a stream, which continues without reading from the start', async () => {
  const path = file(
    'samples.jsonl',
    Array.from({ length: 40 }, (_, id) => `{"id":${id}}\n${id % 5 ? '' : ' \n'}`).join(''),
  )
  const warned: unknown[] = []
  const heard = (warning: unknown) => warned.push(warning)
  process.on('warning', heard)
  const make = () =>
    data.stream(() => data.readJsonLines<{ id: number }>(path), { batch: 4, shuffleBuffer: 8, seed: 2 })
  const ids = async (loader: ReturnType<typeof make>, most = Infinity) => {
    const found: number[] = []
    for await (const { id, step } of loader) {
      found.push(...Array.from(await id.data(), Number))
      if (step === most) break
    }
    return found
  }
  const whole = await ids(make())
  expect([...whole].sort((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => i))
  const before = make()
  const head = await ids(before, 4)
  const after = make()
  after.restore(before.state())
  expect([...head, ...(await ids(after))]).toEqual(whole)
  await new Promise((resolve) => setImmediate(resolve))
  process.off('warning', heard)
  expect(warned).toEqual([])
})

test('a line that is not JSON is told by its number', async () => {
  const path = file('wrong.jsonl', '{"a":1}\n\n{"a":\n')
  const run = all(data.readJsonLines(path))
  await expect(run).rejects.toMatchObject({
    code: 'ERR_DATA',
    line: 3,
    message: expect.stringContaining('wrong.jsonl'),
  })
  await expect(all(data.readLines(join(folder, 'none')))).rejects.toMatchObject({ code: 'ERR_IO', got: 'ENOENT' })
  expect(() => data.readLines(7 as unknown as string)).toThrowError(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
})

test('IDX files of every type, packed or not, are read with their shape', async () => {
  const head = (type: number, ...shape: number[]) => {
    const bytes = Buffer.alloc(4 + 4 * shape.length)
    bytes[2] = type
    bytes[3] = shape.length
    for (const [i, size] of shape.entries()) bytes.writeUInt32BE(size, 4 + 4 * i)
    return bytes
  }
  const images = Buffer.concat([head(8, 2, 2, 2), Buffer.from([1, 2, 3, 4, 250, 251, 252, 253])])
  const expected = { data: Uint8Array.of(1, 2, 3, 4, 250, 251, 252, 253), shape: [2, 2, 2] }
  for (const source of [images, file('images', images), file('images.gz', gzipSync(images))]) {
    expect(await data.readIdx(source)).toEqual(expected)
  }
  const cases = [
    [9, [255], Int8Array.of(-1)],
    [11, [1, 2], Int16Array.of(258)],
    [12, [0, 0, 1, 2], Int32Array.of(258)],
    [13, [0x3f, 0xc0, 0, 0], Float32Array.of(1.5)],
    [14, [0x3f, 0xf8, 0, 0, 0, 0, 0, 0], Float64Array.of(1.5)],
  ] as const
  for (const [type, bytes, array] of cases) {
    expect((await data.readIdx(Buffer.concat([head(type, 1), Buffer.from(bytes)]))).data).toEqual(array)
  }
  const loader = new data.Loader({ images: await data.readIdx(images), labels: [3, 7] }, { batch: 2 })
  for await (const batch of loader) expect(batch.images.shape).toEqual([2, 2, 2])
})

test('what is no IDX file is refused', async () => {
  const wrong = [
    Buffer.alloc(0),
    Buffer.from([0, 0, 8]),
    Buffer.from([0, 0, 7, 0]),
    Buffer.from([0, 1, 8, 0, 1]),
    Buffer.from([0, 0, 8, 200, 0, 0]),
    Buffer.from([0, 0, 8, 1, 0, 0, 0, 3, 1, 2]),
    Buffer.from([0, 0, 8, 1, 255, 255, 255, 255, 1]),
    Buffer.from([0x1f, 0x8b, 0, 0]),
  ]
  for (const bytes of wrong) await expect(data.readIdx(bytes)).rejects.toMatchObject({ code: 'ERR_DATA' })
})
