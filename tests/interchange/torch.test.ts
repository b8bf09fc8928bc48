// Files of torch.save are read as what they hold; whatever is not plain data is refused by name and never run.
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type DType, loadTorch, nn, type Tensor, tensor } from 'quarterturn'
import { describe, expect, it } from 'vitest'

const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url))

interface Described {
  dtype: string
  shape: number[]
  values: (number | string)[]
}
const expected = JSON.parse(readFileSync(fixture('expected.json'), 'utf8')) as Record<string, Record<string, Described>>

async function described(x: Tensor): Promise<Omit<Described, 'dtype'>> {
  const values = Array.from(await x.to('float64').data(), (value) => (Number.isFinite(value) ? value : String(value)))
  return {
    shape: [...x.shape],
    values: values.map((value) => String(value).replace('Infinity', 'inf').replace('NaN', 'nan')),
  }
}

describe('files of torch.save', () => {
  it.each(Object.keys(expected))('%s holds what PyTorch saved', async (name) => {
    const loaded = await loadTorch(fixture(name))
    const wanted = expected[name] as Record<string, Described>
    expect([...loaded.keys()].sort()).toEqual(Object.keys(wanted).sort())
    for (const [key, { shape, values }] of Object.entries(wanted)) {
      expect({ key, ...(await described(loaded.get(key) as Tensor)) }).toEqual({
        key,
        shape,
        values: values.map(plain),
      })
    }
  })

  it('keeps the dtypes that the library has', async () => {
    const loaded = await loadTorch(fixture('dtypes.pt'))
    const kept: DType[] = ['float32', 'float64', 'bfloat16', 'int64', 'bool']
    for (const dtype of kept) expect([dtype, loaded.get(dtype)?.dtype]).toEqual([dtype, dtype])
    expect(loaded.get('float16')?.dtype).toBe('float32')
  })

  it('a model takes the weights under the keys that PyTorch gave them', async () => {
    class Model extends nn.Module {
      0 = new nn.LSTM(3, 4)
      1 = new nn.BatchNorm1d(4)
      forward(x: Tensor): Tensor {
        return this[0].forward(x).output
      }
    }
    const weights = await loadTorch(fixture('model.pt'))
    const state = new Model().loadStateDict(weights).stateDict()
    for (const [key, value] of weights)
      expect([key, await state.get(key)?.toArray()]).toEqual([key, await value.toArray()])
  })

  it('a part of a checkpoint is taken by its prefix', async () => {
    const part = await loadTorch(fixture('checkpoint.pt'), { prefix: 'model_state_dict' })
    expect(part.has('0.weight_ih_l0')).toBe(true)
    expect([...part.keys()].some((name) => name.startsWith('optimizer'))).toBe(false)
    await expect(loadTorch(fixture('checkpoint.pt'), { prefix: 'model' })).rejects.toMatchObject({
      code: 'ERR_ARGUMENT',
      message: expect.stringContaining('model_state_dict.'),
    })
  })

  it('tied weights may be disposed of one by one', async () => {
    const views = await loadTorch(fixture('views.pt'))
    views.get('base')?.dispose()
    expect(await views.get('again')?.select(0, 3).toArray()).toEqual([18, 19, 20, 21, 22, 23])
  })
})

describe('what is not plain data is refused', () => {
  it.each([
    ['whole-model.pt', /torch\.nn\.modules\.linear\.Linear/],
    ['command.pt', /posix\.system/],
    ['command.pkl', /zip.*before 1\.6/],
    ['before-1.6.pt', /before 1\.6/],
    ['program.pt', /TorchScript/],
    ['sparse.pt', /torch\._utils\._rebuild_sparse_tensor|torch\.sparse/],
    ['complex.pt', /torch\.ComplexFloatStorage|complex64/],
    ['expected.json', /zip/],
  ])('%s', async (name, why) => {
    await expect(loadTorch(fixture(name))).rejects.toMatchObject({
      code: 'ERR_CHECKPOINT',
      op: 'loadTorch',
      message: expect.stringMatching(why),
    })
    expect(existsSync('/tmp/quarterturn-was-here')).toBe(false)
    expect(await tensor([1, 2]).sum().item()).toBe(3)
  })

  it('a file that is not there, and arguments that are none', async () => {
    await expect(loadTorch(fixture('none.pt'))).rejects.toMatchObject({
      code: 'ERR_IO',
      message: expect.stringMatching(/none\.pt.*ENOENT/),
    })
    await expect(loadTorch(fixture(''))).rejects.toMatchObject({ code: 'ERR_IO' })
    await expect(loadTorch('a\0b')).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
    await expect(loadTorch(fixture('model.pt'), { prefix: '' })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  })
})

function plain(value: number | string): string {
  return String(value)
}
