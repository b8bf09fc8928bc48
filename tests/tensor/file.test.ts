// Tensor files: what is saved is what is loaded, in the order of operations; damage of any kind is noticed; a failed save harms nothing.
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  arange,
  loadCheckpointFile,
  loadSafetensors,
  normal,
  saveSafetensors,
  type Tensor,
  tensor,
  Variable,
  zeros,
} from 'quarterturn'
import { afterAll, beforeAll, expect, test } from 'vitest'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quarterturn-'))
})
afterAll(() => rm(folder, { recursive: true }))

const bytes = async (x: Tensor): Promise<number[]> => {
  const { buffer } = await x.data()
  return [...new Uint8Array(buffer as ArrayBuffer)]
}

test('every dtype, scalars, empty tensors and views come back bit for bit, with the metadata', async () => {
  const wide = normal([4, 6])
  const saved = new Map<string, Tensor>([
    ['float32', normal([3, 5])],
    ['float64', normal([2, 2], 0, 1, { dtype: 'float64' })],
    ['bfloat16', normal([7]).to('bfloat16')],
    ['int64', tensor([-1, 2 ** 52, 0], { dtype: 'int64' })],
    ['int32', tensor([-1, 2 ** 31 - 1], { dtype: 'int32' })],
    ['uint8', tensor([0, 255, 7], { dtype: 'uint8' })],
    ['bool', tensor([true, false, true])],
    ['scalar', tensor(3.25)],
    ['empty', zeros([0, 3])],
    ['transposed', wide.transpose()],
    ['strided', wide.slice(1, 1, 6, 2)],
    ['nan', tensor([Number.NaN, Infinity, -0])],
    ['näme with spaces.weight', tensor([1])],
  ])
  const path = join(folder, 'all kinds ü.safetensors')
  await saveSafetensors(path, saved, { note: 'line\n"quoted" ü' })
  const { tensors, metadata } = await loadCheckpointFile(path)
  expect(metadata.note).toBe('line\n"quoted" ü')
  expect([...tensors.keys()].sort()).toEqual([...saved.keys()].sort())
  for (const [name, original] of saved) {
    const loaded = tensors.get(name) as Tensor
    expect([name, loaded.dtype, loaded.shape]).toEqual([name, original.dtype, original.shape])
    expect(await bytes(loaded)).toEqual(await bytes(original.clone()))
  }
})

test('a save takes the values at its place in the order', async () => {
  const v = new Variable(tensor([1, 2]))
  const path = join(folder, 'order.safetensors')
  const saving = saveSafetensors(path, { v })
  v.assign(zeros([2]))
  await saving
  expect(await (await loadSafetensors(path)).get('v')?.toArray()).toEqual([1, 2])
})

test('the same content makes the same file', async () => {
  const [a, b] = [join(folder, 'a.safetensors'), join(folder, 'b.safetensors')]
  for (const path of [a, b]) await saveSafetensors(path, { x: arange(5), y: tensor([0.5]) }, { k: 'v' })
  expect(await readFile(a)).toEqual(await readFile(b))
})

test('saving over a file that was loaded from it keeps its content', async () => {
  const path = join(folder, 'again.safetensors')
  await saveSafetensors(path, { x: normal([50]) })
  const before = await readFile(path)
  for (let i = 0; i < 20; i++) await saveSafetensors(path, await loadSafetensors(path))
  expect(await readFile(path)).toEqual(before)
})

test('a file of another program, without a checksum, is read', async () => {
  const header = JSON.stringify({ w: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } })
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  const path = join(folder, 'foreign.safetensors')
  await writeFile(path, Buffer.concat([length, Buffer.from(header), Buffer.from(new Float32Array([1.5, -2]).buffer)]))
  expect(await (await loadSafetensors(path)).get('w')?.toArray()).toEqual([1.5, -2])
})

test('any truncation, any changed byte and any appended byte is noticed', async () => {
  const path = join(folder, 'whole.safetensors')
  await saveSafetensors(path, { x: normal([40]), y: arange(3) }, { run: 'state' })
  const whole = await readFile(path)
  const damaged = join(folder, 'damaged.safetensors')
  const refused = async (content: Buffer, what: string): Promise<void> => {
    await writeFile(damaged, content)
    const outcome = await loadSafetensors(damaged).then(
      () => 'loaded',
      (error) => error.code,
    )
    expect([what, outcome]).toEqual([what, 'ERR_CHECKPOINT'])
  }
  for (let length = 0; length < whole.length; length += 13)
    await refused(whole.subarray(0, length), `first ${length} bytes`)
  for (let at = 0; at < whole.length; at++) {
    const changed = Buffer.from(whole)
    changed[at]! ^= 1 << (at % 8)
    await refused(changed, `byte ${at}`)
  }
  await refused(Buffer.concat([whole, Buffer.alloc(1)]), 'one more byte')
  expect((await loadSafetensors(path)).size).toBe(2)
})

test('hostile headers are refused without harm', async () => {
  const path = join(folder, 'hostile.safetensors')
  const file = (header: string, length = BigInt(Buffer.byteLength(header)), data = Buffer.alloc(8)): Buffer => {
    const size = Buffer.alloc(8)
    size.writeBigUInt64LE(length)
    return Buffer.concat([size, Buffer.from(header), data])
  }
  const entry = (shape: string, from: number, to: number, dtype = 'F32'): string =>
    `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${from},${to}]}`
  const cases: Record<string, Buffer> = {
    'length beyond the limit': file('{}', 200_000_000n),
    'largest length': file('{}', 2n ** 64n - 1n),
    overlap: file(`{"a":${entry('[2]', 0, 8)},"b":${entry('[1]', 4, 8)}}`),
    hole: file(`{"a":${entry('[1]', 4, 8)}}`),
    tail: file(`{"a":${entry('[1]', 0, 4)}}`),
    'shape overflow': file(`{"a":${entry('[4294967296,4294967296,4]', 0, 8)}}`),
    'dtype does not fit': file(`{"a":${entry('[2]', 0, 8, 'F64')}}`),
    'unknown dtype': file(`{"a":${entry('[2]', 0, 8, 'F99')}}`),
    'negative offset': file(`{"a":${entry('[2]', -8, 8)}}`),
    'bad UTF-8': Buffer.concat([file('{"a', 4n, Buffer.alloc(0)), Buffer.from([0xff, 0xfe])]),
    'no brace': file('[1,2]'),
    'metadata not strings': file(`{"__metadata__":{"a":1},"a":${entry('[2]', 0, 8)}}`),
    'bool that is 2': file(`{"a":${entry('[8]', 0, 8, 'BOOL')}}`, undefined, Buffer.alloc(8, 2)),
    empty: Buffer.alloc(0),
  }
  for (const [what, content] of Object.entries(cases)) {
    await writeFile(path, content)
    await expect(loadSafetensors(path), what).rejects.toMatchObject({
      code: 'ERR_CHECKPOINT',
      message: expect.stringContaining('hostile.safetensors'),
    })
  }
  expect(await tensor([1, 2]).sum().item()).toBe(3)
})

test('a file or folder that is not there is ERR_IO with path and code, and nothing is left behind', async () => {
  await expect(loadSafetensors(join(folder, 'none.safetensors'))).rejects.toMatchObject({
    code: 'ERR_IO',
    message: expect.stringMatching(/none\.safetensors.*ENOENT/),
  })
  await expect(loadSafetensors(folder)).rejects.toMatchObject({
    code: 'ERR_IO',
    message: expect.stringContaining('EISDIR'),
  })
  await expect(saveSafetensors(join(folder, 'no', 'such', 'x.safetensors'), { x: zeros([1]) })).rejects.toMatchObject({
    code: 'ERR_IO',
    message: expect.stringMatching(/x\.safetensors.*ENOENT/),
  })
  await expect(saveSafetensors(folder, { x: zeros([1]) })).rejects.toMatchObject({ code: 'ERR_IO' })
  expect(
    (await readdir(join(folder, '..'))).filter((name) => name.endsWith('.tmp') && name.includes('quarterturn-')),
  ).toEqual([])
})

test('what cannot be saved is refused at the call', async () => {
  const path = join(folder, 'never.safetensors')
  const gone = zeros([1])
  gone.dispose()
  await expect(saveSafetensors(path, { gone })).rejects.toMatchObject({ code: 'ERR_DISPOSED' })
  await expect(saveSafetensors(path, { x: 3 as unknown as Tensor })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  await expect(saveSafetensors(path, { __metadata__: zeros([1]) })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  await expect(saveSafetensors(path, {}, { n: 1 as unknown as string })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  await expect(saveSafetensors('', {})).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  await expect(loadSafetensors('a\0b')).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  const bad = tensor([1]).indexSelect(0, tensor([5], { dtype: 'int64' }))
  await expect(saveSafetensors(path, { bad })).rejects.toMatchObject({ code: 'ERR_RANGE' })
  expect(await readdir(folder)).not.toContain('never.safetensors')
})
