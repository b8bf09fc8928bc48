// Hostile files of torch and NumPy are refused with the reason, in bounded memory, and whatever bytes a file has, nothing crashes.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import { loadNpz, loadSafetensors, loadTorch, QuarterturnError, saveSafetensors, tensor } from 'quarterturn'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { global, pickle, reduce, torchFile, torchTensor, zip } from './files.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quarterturn-hostile-'))
})
afterAll(() => rm(folder, { recursive: true }))

const floats = (...values: number[]): Uint8Array => new Uint8Array(new Float32Array(values).buffer)
const state = (w: Parameters<typeof pickle>[0]): Buffer => pickle({ dict: [['w', w]] })
const raw = (text: string): { raw: Buffer } => ({ raw: Buffer.from(text, 'latin1') })
const whole = torchFile({ dict: [['w', torchTensor('0', 2)]] }, { 0: floats(1, 2) })
const many = (count: number): Buffer =>
  Buffer.concat([Buffer.from([0x80, 2]), Buffer.from('('), Buffer.alloc(count, '}'), Buffer.from('t.')])

const hostile: Record<string, [Buffer, RegExp]> = {
  'a command to run': [
    torchFile({ dict: [['w', reduce(global('os', 'system'), 'touch /tmp/quarterturn-was-here')]] }),
    /os\.system/,
  ],
  'a builtin': [torchFile({ dict: [['w', reduce(global('builtins', 'eval'), '1')]] }), /builtins\.eval/],
  'a class to be made': [torchFile(state(raw('ccollections\nOrderedDict\n)\x81'))), /NEWOBJ/],
  'a number that is called': [torchFile(state(raw('K\x01)R'))), /cannot be called/],
  'a dtype that is called': [torchFile(state(reduce(global('torch', 'float32')))), /cannot be called/],
  'no such storage': [torchFile(state(torchTensor('7', 2)), { 0: floats(1, 2) }), /no a\/data\/7/],
  'a storage outside of the folder': [
    torchFile(state(torchTensor('../../../etc/passwd', 2)), { 0: floats(1, 2) }),
    /no a\/data\/\.\./,
  ],
  'a storage larger than its bytes': [torchFile(state(torchTensor('0', 1000)), { 0: floats(1, 2) }), /has 8 bytes/],
  'a view beyond its storage': [
    torchFile(state(torchTensor('0', 2, { shape: [3] })), { 0: floats(1, 2) }),
    /does not lie within/,
  ],
  'an offset beyond its storage': [
    torchFile(state(torchTensor('0', 2, { offset: 1 })), { 0: floats(1, 2) }),
    /does not lie within/,
  ],
  'negative strides': [torchFile(state(torchTensor('0', 2, { strides: [-1] })), { 0: floats(1, 2) }), /no proper/],
  'a shape that overflows': [
    torchFile(state(torchTensor('0', 2, { shape: [2 ** 40, 2 ** 40], strides: [0, 0] })), { 0: floats(1, 2) }),
    /too large/,
  ],
  'a view that unfolds to a terabyte': [
    torchFile(state(torchTensor('0', 2, { shape: [2 ** 19, 2 ** 19], strides: [0, 0] })), { 0: floats(1, 2) }),
    /share storages/,
  ],
  'bools that are neither': [
    torchFile(state(torchTensor('0', 2, { type: 'BoolStorage' })), { 0: new Uint8Array([0, 2]) }),
    /other than 0 and 1/,
  ],
  'a list that holds itself': [torchFile(pickle(raw(']q\x00h\x00a'))), /holds itself/],
  'a value that was never made': [torchFile(pickle(raw('h\x05'))), /never made/],
  'a pickle that ends early': [torchFile(pickle({ dict: [] }).subarray(0, -1)), /ends in the middle/],
  'a string longer than the file': [torchFile(pickle(raw('X\xff\xff\xff\x7fabc'))), /ends in the middle/],
  'an integer of many bytes': [torchFile(pickle(raw(`\x8b\x00\x00\x00\x40${'1'.repeat(9)}`))), /64 bits/],
  'millions of dictionaries': [torchFile(many(2_000_000)), /more than 1000000 objects/],
  'a pickle of 20 MB': [torchFile(Buffer.alloc(20 << 20, '}')), /at most/],
  'another byte order': [
    zip([
      ['a/data.pkl', pickle({ dict: [] })],
      ['a/byteorder', Buffer.from('big')],
    ]),
    /little-endian/,
  ],
  'two pickles': [
    zip([
      ['a/data.pkl', pickle({ dict: [] })],
      ['b/data.pkl', pickle({ dict: [] })],
    ]),
    /one data\.pkl/,
  ],
  'no pickle': [zip([['a/other', floats(1)]]), /data\.pkl/],
  'two entries of one name': [
    zip([
      ['a/data.pkl', pickle({ dict: [] })],
      ['a/data.pkl', pickle({ dict: [] })],
    ]),
    /two entries/,
  ],
  'entries that overlap': [
    zip([
      ['a/data.pkl', pickle({ dict: [] })],
      ...Array.from(
        { length: 9 },
        (_, i) => [`a/data/${i}`, floats(1), { central: { 20: 300, 24: 300, 42: 0 } }] as const,
      ),
    ]),
    /overlap/,
  ],
  'an entry beyond the end': [
    zip([['a/data.pkl', pickle({ dict: [] }), { central: { 42: 2 ** 31 } }]]),
    /beyond its end/,
  ],
  'an entry of another name inside': [
    zip([['a/data.pkl', pickle({ dict: [] }), { localName: 'a/evil.pkl' }]]),
    /another name/,
  ],
  'a wrong checksum': [zip([['a/data.pkl', pickle({ dict: [] }), { crc: 7 }]]), /checksum/],
  'an encrypted entry': [zip([['a/data.pkl', pickle({ dict: [] }), { flags: 1 }]]), /encrypted/],
  'an unknown packing': [zip([['a/data.pkl', pickle({ dict: [] }), { method: 99 }]]), /method 99/],
  'a bomb': [
    zip([['a/data.pkl', deflateRawSync(Buffer.alloc(100 << 20, '}')), { method: 8, central: { 24: 1000 } }]]),
    /cannot be unpacked/,
  ],
  'an empty file': [Buffer.alloc(0), /zip/],
}

describe('hostile files of torch.save', () => {
  it.each(Object.entries(hostile))('%s', async (_, [content, why]) => {
    const path = join(folder, 'hostile.pt')
    await writeFile(path, content)
    const before = process.memoryUsage().rss
    await expect(loadTorch(path)).rejects.toMatchObject({
      code: 'ERR_CHECKPOINT',
      message: expect.stringMatching(why),
    })
    expect(process.memoryUsage().rss - before).toBeLessThan(600 << 20)
  })

  it('the file from which they were made is whole', async () => {
    await writeFile(join(folder, 'whole.pt'), whole)
    expect(await (await loadTorch(join(folder, 'whole.pt'))).get('w')?.toArray()).toEqual([1, 2])
  })
})

const array = (descr: string, shape: string, data: Uint8Array, fortran = 'False'): Buffer => {
  const header = `{'descr': ${descr}, 'fortran_order': ${fortran}, 'shape': ${shape}, }\n`
  const length = Buffer.alloc(2)
  length.writeUInt16LE(header.length)
  return Buffer.concat([Buffer.from('\x93NUMPY\x01\x00', 'latin1'), length, Buffer.from(header), data])
}

describe('hostile files of NumPy', () => {
  it.each<[string, Buffer, RegExp]>([
    ['Python objects', zip([['x.npy', array("'|O'", '(2,)', floats(1, 2))]]), /\|O is not read/],
    ['a shape larger than the data', zip([['x.npy', array("'<f4'", '(3,)', floats(1, 2))]]), /12 bytes, it has 8/],
    [
      'a shape that overflows',
      zip([['x.npy', array("'<f4'", '(99999999999, 99999999999)', floats(1))]]),
      /bytes, it has 4/,
    ],
    ['big-endian numbers', zip([['x.npy', array("'>f4'", '(1,)', floats(1))]]), />f4 is not read/],
    ['several fields', zip([['x.npy', array("[('a', '<f4')]", '(1,)', floats(1))]]), /several fields/],
    ['no header', zip([['x.npy', Buffer.from('\x93NUMPY\x01\x00\xff\xff', 'latin1')]]), /not an array|not whole/],
    ['something else', zip([['x.npy', floats(1, 2, 3, 4)]]), /not an array/],
    [
      'more than is allowed',
      zip([
        ['x.npy', floats(1), { central: { 24: 0xfffffff0 } }],
        ['y.npy', floats(1), { central: { 24: 0xfffffff0 } }],
      ]),
      /maxBytes/,
    ],
    [
      'a bomb',
      zip([['x.npy', deflateRawSync(Buffer.alloc(100 << 20)), { method: 8, central: { 24: 1000 } }]]),
      /cannot be unpacked/,
    ],
  ])('%s', async (_, content, why) => {
    const path = join(folder, 'hostile.npz')
    await writeFile(path, content)
    await expect(loadNpz(path)).rejects.toMatchObject({ code: 'ERR_CHECKPOINT', message: expect.stringMatching(why) })
  })
})

describe('hostile files of safetensors', () => {
  // More kinds of them are in tests/tensor/file.test.ts.
  it.each([
    [
      'one name twice',
      '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
    ],
    ['nesting without end', '['.repeat(100_000)],
    ['a shape of a million axes', `{"a":{"dtype":"F32","shape":[${'1,'.repeat(1e6)}2],"data_offsets":[0,8]}}`],
  ])('%s', async (_, header) => {
    const size = Buffer.alloc(8)
    size.writeBigUInt64LE(BigInt(header.length))
    const path = join(folder, 'hostile.safetensors')
    await writeFile(path, Buffer.concat([size, Buffer.from(header), floats(1, 2)]))
    await expect(loadSafetensors(path)).rejects.toMatchObject({ code: 'ERR_CHECKPOINT' })
    expect(await tensor([1, 2]).sum().item()).toBe(3)
  })
})

/** Files tried of each kind; `QUARTERTURN_FUZZ=1000000` for a long run. */
const runs = Number(process.env.QUARTERTURN_FUZZ ?? 1000)

describe('any bytes at all', () => {
  const cases = [
    { name: 'torch', load: loadTorch, seed: async () => whole },
    { name: 'npz', load: loadNpz, seed: async () => zip([['x.npy', array("'<f4'", '(2,)', floats(1, 2))]]) },
    {
      name: 'safetensors',
      load: loadSafetensors,
      seed: async () => {
        const path = join(folder, 'seed.safetensors')
        await saveSafetensors(path, { w: tensor([1, 2]), b: tensor([true]) })
        return readFile(path)
      },
    },
  ]
  const edits = fc.array(
    fc.record({ at: fc.nat(), bytes: fc.uint8Array({ minLength: 0, maxLength: 9 }), cut: fc.nat({ max: 4 }) }),
    { minLength: 1, maxLength: 6 },
  )

  it.each(cases)(
    '$name: a result or an error with a code',
    async ({ name, load, seed }) => {
      const original = await seed()
      const path = join(folder, `fuzz.${name}`)
      const before = process.memoryUsage().rss
      const seen = new Set<string>()
      await fc.assert(
        fc.asyncProperty(edits, async (changes) => {
          let content = original
          for (const { at, bytes, cut } of changes) {
            const place = at % (content.length + 1)
            content = Buffer.concat([content.subarray(0, place), bytes, content.subarray(place + cut)])
          }
          await writeFile(path, content)
          await load(path).then(
            () => seen.add('loaded'),
            (error: unknown) => {
              if (!(error instanceof QuarterturnError)) throw error
              seen.add(error.code)
            },
          )
        }),
        { numRuns: runs },
      )
      expect([...seen].filter((code) => code !== 'loaded')).toEqual(['ERR_CHECKPOINT'])
      expect(process.memoryUsage().rss - before).toBeLessThan(400 << 20)
      expect(await tensor([1, 2]).sum().item()).toBe(3)
    },
    60_000 + 60 * runs,
  )
})
