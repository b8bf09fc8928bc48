// NumPy's files hold what NumPy wrote, and NumPy reads what is written here.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadNpz, normal, saveNpz, type Tensor, tensor, zeros } from 'quarterturn'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
const python = join(
  process.env.QUARTERTURN_CACHE ?? join(homedir(), '.cache/quarterturn'),
  'python-torch-2.11.0/bin/python',
)

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quarterturn-npz-'))
})
afterAll(() => rm(folder, { recursive: true }))

const values = async (x: Tensor | undefined): Promise<string[]> =>
  Array.from((await x?.to('float64').data()) ?? [], (value) =>
    String(value).replace('Infinity', 'inf').replace('NaN', 'nan'),
  )

describe('.npz', () => {
  it.each(['stored.npz', 'packed.npz'])('%s holds what NumPy wrote', async (name) => {
    const expected = JSON.parse(readFileSync(here('fixtures/expected-npz.json'), 'utf8')) as Record<
      string,
      { shape: number[]; values: (number | string)[] }
    >
    const loaded = await loadNpz(here(`fixtures/${name}`))
    expect([...loaded.keys()]).toEqual(Object.keys(expected))
    for (const [key, wanted] of Object.entries(expected)) {
      const found = loaded.get(key)
      expect([key, found?.shape, await values(found)]).toEqual([key, wanted.shape, wanted.values.map(String)])
    }
    expect(['float32', 'float64', 'int64', 'bool'].map((key) => loaded.get(key)?.dtype)).toEqual([
      'float32',
      'float64',
      'int64',
      'bool',
    ])
    expect(loaded.get('float16')?.dtype).toBe('float32')
  })

  const saved = (): Record<string, Tensor> => ({
    float32: normal([3, 5]),
    float64: tensor([0.1], { dtype: 'float64' }),
    bfloat16: tensor([1.5, -2]).to('bfloat16'),
    int64: tensor([-1, 2 ** 52], { dtype: 'int64' }),
    bool: tensor([[true], [false]]),
    scalar: tensor(3.25),
    empty: zeros([0, 3]),
    transposed: normal([2, 3]).transpose(),
  })

  it('what is written is read again, and equal contents make equal files', async () => {
    const tensors = saved()
    const [a, b] = [join(folder, 'a.npz'), join(folder, 'b.npz')]
    for (const path of [a, b]) await saveNpz(path, tensors)
    expect(await readFile(a)).toEqual(await readFile(b))
    const loaded = await loadNpz(a)
    for (const [key, value] of Object.entries(tensors)) {
      const found = loaded.get(key)
      expect([key, found?.shape, await values(found)]).toEqual([key, value.shape, await values(value)])
      if (key !== 'bfloat16') expect(found?.dtype).toBe(value.dtype)
    }
    expect(await readdir(folder)).toEqual(['a.npz', 'b.npz'])
  })

  it.skipIf(!existsSync(python))('NumPy reads what is written', async () => {
    const tensors = saved()
    await saveNpz(join(folder, 'numpy.npz'), tensors)
    const text = execFileSync(python, [here('numpy_files.py'), join(folder, 'numpy.npz')], { encoding: 'utf8' })
    const read = JSON.parse(text) as Record<string, { dtype: string; shape: number[]; values: number[] }>
    for (const [key, value] of Object.entries(tensors)) {
      const dtype = value.dtype === 'bfloat16' ? 'float32' : value.dtype
      expect([key, read[key]?.dtype, read[key]?.shape]).toEqual([key, dtype, value.shape])
      expect(read[key]?.values.map(String)).toEqual(await values(value))
    }
  })

  it('limits and wrong arguments are errors', async () => {
    await expect(loadNpz(here('fixtures/stored.npz'), { maxBytes: 100 })).rejects.toMatchObject({
      code: 'ERR_CHECKPOINT',
    })
    await expect(loadNpz(join(folder, 'none.npz'))).rejects.toMatchObject({ code: 'ERR_IO' })
    await expect(saveNpz(join(folder, 'x.npz'), { 'a/b': zeros([1]) })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
    await expect(saveNpz(join(folder, 'x.npz'), { a: 3 as unknown as Tensor })).rejects.toMatchObject({
      code: 'ERR_ARGUMENT',
    })
    await expect(saveNpz(join(folder, 'no', 'x.npz'), { a: zeros([1]) })).rejects.toMatchObject({ code: 'ERR_IO' })
  })
})
