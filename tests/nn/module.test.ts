// Module: members, modes, state dicts, moves, freezing, sharing, the summary.
import {
  CheckpointError,
  grad,
  manualSeed,
  nn,
  normal,
  optim,
  type Tensor,
  tensor,
  UnusedVariableError,
  Variable,
  zeros,
} from 'quarterturn'
import { beforeEach, describe, expect, test } from 'vitest'

beforeEach(() => void manualSeed(1))

class Tower extends nn.Module {
  layers = [new nn.Linear(3, 4), new nn.Linear(4, 4)]
  named = new Map<string, nn.Module>([['norm', new nn.LayerNorm(4)]])
  heads = { left: new nn.Linear(4, 2), right: new nn.Linear(4, 2, { bias: false }) }
  scale = new Variable(tensor([2]))
  seen = new nn.Buffer(zeros([]))
  width = 4
  note = 'not a member'
  plain = zeros([3])

  forward(x: Tensor): Tensor {
    const hidden = this.layers.reduce((h, layer) => layer.forward(h).tanh(), x)
    const normed = (this.named.get('norm') as nn.LayerNorm).forward(hidden)
    return this.heads.left.forward(normed).add(this.heads.right.forward(normed)).mul(this.scale)
  }
}

const keys = [
  'layers.0.weight',
  'layers.0.bias',
  'layers.1.weight',
  'layers.1.bias',
  'named.norm.weight',
  'named.norm.bias',
  'heads.left.weight',
  'heads.left.bias',
  'heads.right.weight',
  'scale',
  'seen',
]

async function values(dict: ReadonlyMap<string, Tensor>): Promise<Record<string, unknown>> {
  return Object.fromEntries(
    await Promise.all([...dict].map(async ([key, value]) => [key, await value.toArray()] as const)),
  )
}

describe('members', () => {
  test('are found in fields, arrays, Maps and plain objects, in the order of the fields', () => {
    const tower = new Tower()
    expect([...tower.stateDict().keys()]).toEqual(keys)
    expect([...tower.namedParameters().keys()]).toEqual(keys.slice(0, -1))
    expect([...tower.namedBuffers().keys()]).toEqual(['seen'])
    expect([...tower.namedModules().keys()]).toEqual([
      '',
      'layers.0',
      'layers.1',
      'named.norm',
      'heads.left',
      'heads.right',
    ])
  })

  test('parameters get their paths as names, the longest one seen; a name given by the user stays', () => {
    const tower = new Tower()
    const own = new Variable(zeros([1]), { name: 'mine' })
    Object.assign(tower, { own })
    tower.layers[0]?.parameters()
    expect(tower.layers[0]?.weight.name).toBe('weight')
    tower.parameters()
    expect(tower.layers[0]?.weight.name).toBe('layers.0.weight')
    tower.layers[0]?.parameters()
    expect(tower.layers[0]?.weight.name).toBe('layers.0.weight')
    expect(own.name).toBe('mine')
  })

  test('a Variable or module used at two places counts once', () => {
    const embed = new nn.Embedding(5, 3)
    const out = new nn.Linear(3, 5, { bias: false })
    const tied = Object.assign(new nn.Sequential(), { embed, out, again: embed })
    Object.assign(out, { weight: embed.weight })
    expect([...tied.namedParameters().keys()]).toEqual(['embed.weight'])
    expect(tied.modules()).toEqual([tied, embed, out])
  })

  test('cycles do not hang', () => {
    const a = Object.assign(new nn.Linear(2, 2), { peers: [] as nn.Module[] })
    const b = Object.assign(new nn.Linear(2, 2), { peers: [a] })
    a.peers.push(b, a)
    expect([...a.namedParameters().keys()]).toEqual(['weight', 'bias', 'peers.0.weight', 'peers.0.bias'])
    expect(a.loadStateDict(a.stateDict())).toBe(a)
  })

  test('a key with a dot that makes two paths the same is refused', () => {
    const module = Object.assign(new nn.Identity(), { 'a.weight': new Variable(zeros([1])), a: new nn.Linear(1, 1) })
    expect(() => module.parameters()).toThrow(/a\.weight/)
  })

  test('an error that depends on data names the parameter by its path', async () => {
    const tower = new Tower()
    const unused = tower.heads.right.weight
    const loss = tower.heads.left.forward(zeros([1, 4])).sum()
    tower.parameters()
    const failed = grad(loss, [unused]).get(unused).data()
    await expect(failed).rejects.toThrow(UnusedVariableError)
    await expect(failed).rejects.toThrow(/heads\.right\.weight/)
  })
})

describe('modes and freezing', () => {
  test('train and eval reach every module', () => {
    const tower = new Tower()
    tower.eval()
    expect(tower.modules().map(({ training }) => training)).toEqual(Array(6).fill(false))
    tower.train()
    expect(tower.modules().every(({ training }) => training)).toBe(true)
  })

  test('a frozen parameter takes no gradient and no step, and thaws', async () => {
    const layer = new nn.Linear(2, 1)
    layer.weight.requiresGrad = false
    const before = await layer.weight.toArray()
    const free = layer.parameters().filter(({ requiresGrad }) => requiresGrad)
    expect(free).toEqual([layer.bias])
    const sgd = new optim.SGD(layer.parameters(), { lr: 1 })
    const x = tensor([[1, 2]])
    sgd.step(grad(layer.forward(x).sum(), free))
    expect(await layer.weight.toArray()).toEqual(before)
    layer.weight.requiresGrad = true
    sgd.step(grad(layer.forward(x).sum(), layer.parameters()))
    const [[a, b]] = before as [[number, number]]
    expect(await layer.weight.toArray()).toEqual([[Math.fround(a - 1), Math.fround(b - 2)]])
  })

  test('a Buffer cannot be made trainable', () => {
    const buffer = new nn.Buffer(zeros([2]))
    expect(() => {
      buffer.requiresGrad = true
    }).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
    expect(buffer.requiresGrad).toBe(false)
  })
})

describe('state dicts', () => {
  test('go round: another model computes the same', async () => {
    const [one, two] = [new Tower(), new Tower()]
    const x = normal([5, 3])
    two.loadStateDict(one.stateDict())
    expect(await two.forward(x).toArray()).toEqual(await one.forward(x).toArray())
    two.loadStateDict(Object.fromEntries(new Tower().stateDict()))
    expect(await two.forward(x).toArray()).not.toEqual(await one.forward(x).toArray())
  })

  test('are snapshots: later updates do not change them', async () => {
    const layer = new nn.Linear(2, 2)
    const saved = layer.stateDict()
    const before = await values(saved)
    layer.weight.assign(layer.weight.add(1))
    expect(await values(saved)).toEqual(before)
    expect((await values(layer.stateDict())).weight).not.toEqual(before.weight)
  })

  test('all problems are listed in one error, and nothing has changed', async () => {
    const tower = new Tower()
    const before = await values(tower.stateDict())
    const dict = new Map<string, Tensor>(new Tower().stateDict())
    dict.delete('scale')
    dict.set('layers.9.weight', zeros([1]))
    dict.set('layers.0.weight', zeros([3, 4]))
    dict.set('layers.0.bias', zeros([4], { dtype: 'float64' }))
    const gone = zeros([4])
    gone.dispose()
    dict.set('layers.1.bias', gone)
    dict.set('seen', 3 as unknown as Tensor)
    expect(() => tower.loadStateDict(dict)).toThrow(CheckpointError)
    expect(() => tower.loadStateDict(dict)).toThrow(
      [
        'loadStateDict: 6 problems, so nothing was loaded:',
        '  scale [1] is missing',
        '  layers.9.weight is unexpected',
        '  layers.0.weight must be [4, 3], got [3, 4]',
        "  layers.0.bias must be float32, got float64; convert it with .to('float32')",
        '  layers.1.bias was disposed',
        '  seen must be a tensor, got number',
      ].join('\n'),
    )
    expect(await values(tower.stateDict())).toEqual(before)
  })

  test('strict: false passes over missing and unexpected keys, not over shapes', async () => {
    const layer = new nn.Linear(2, 2)
    const bias = await layer.bias?.toArray()
    layer.loadStateDict({ weight: zeros([2, 2]), other: zeros([1]) }, { strict: false })
    expect(await layer.weight.toArray()).toEqual([
      [0, 0],
      [0, 0],
    ])
    expect(await layer.bias?.toArray()).toEqual(bias)
    expect(() => layer.loadStateDict({ weight: zeros([2, 3]) }, { strict: false })).toThrow(
      /weight must be \[2, 2\], got \[2, 3\]/,
    )
  })

  test('a promise that was not awaited is refused by name', () => {
    const layer = new nn.Linear(2, 2)
    expect(() => layer.loadStateDict(Promise.resolve({}) as never)).toThrow(/await it/)
  })

  test('a shared parameter is loaded from either of its paths', async () => {
    const embed = new nn.Embedding(2, 2)
    const tied = Object.assign(new nn.Sequential(), { embed, decoder: { embed, weight: embed.weight } })
    for (const key of ['embed.weight', 'decoder.embed.weight', 'decoder.weight']) {
      embed.weight.assign(zeros([2, 2]))
      tied.loadStateDict({
        [key]: tensor([
          [1, 2],
          [3, 4],
        ]),
      })
      expect(await embed.weight.toArray()).toEqual([
        [1, 2],
        [3, 4],
      ])
    }
    // A file of torch has both; the first path wins.
    tied.loadStateDict({
      'decoder.weight': zeros([2, 2]),
      'embed.weight': tensor([
        [5, 6],
        [7, 8],
      ]),
    })
    expect(await embed.weight.toArray()).toEqual([
      [5, 6],
      [7, 8],
    ])
  })
})

describe('to', () => {
  test('converts float parameters and buffers in place: they stay the same Variables', async () => {
    const net = new nn.Sequential(new nn.Linear(2, 3), new nn.BatchNorm1d(3))
    const [weight, ...rest] = net.parameters()
    const optimizer = new optim.AdamW(net.parameters())
    const train = (dtype: 'float32' | 'float64'): void => {
      const loss = net
        .forward(
          tensor(
            [
              [1, 2],
              [3, 5],
            ],
            { dtype },
          ),
        )
        .square()
        .mul(tensor([1, 2, 3], { dtype }))
        .sum()
      optimizer.step(grad(loss, net.parameters()))
    }
    train('float32')
    const before = (await weight?.toArray()) as number[][]
    expect(net.to('float64')).toBe(net)
    expect(net.parameters()).toEqual([weight, ...rest])
    expect(await weight?.toArray()).toEqual(before)
    const dtypes = [...net.stateDict()].map(([key, { dtype }]) => [key, dtype])
    expect(new Set(dtypes.map(([, dtype]) => dtype))).toEqual(new Set(['float64', 'int64']))
    train('float64')
    expect(await weight?.toArray()).not.toEqual(before)
    expect((await optimizer.stateDict().get('steps')?.toArray()) as number[]).toEqual([2, 2, 2, 2])
  })

  test('refuses dtypes without gradients, and devices that are not there, before it changes anything', () => {
    const layer = new nn.Linear(2, 2)
    expect(() => layer.to('int64' as never)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
    expect(() => layer.to('float16' as never)).toThrow(expect.objectContaining({ code: 'ERR_DTYPE' }))
    expect(() => layer.to('cuda:99')).toThrow(expect.objectContaining({ code: 'ERR_DEVICE' }))
    expect(layer.weight.dtype).toBe('float32')
    expect(layer.device).toBe('cpu')
  })
})

describe('summary', () => {
  class Tagger extends nn.Module {
    embed = new nn.Embedding(50, 8)
    rnn = new nn.LSTM(8, 16, { bidirectional: true })
    drop = new nn.Dropout(0.5)
    head = new nn.Linear(32, 3)
    spare = new nn.Linear(1, 1)
    forward(words: Tensor): Tensor {
      return this.head.forward(this.drop.forward(this.rnn.forward(this.embed.forward(words)).output))
    }
  }

  test('says layer, output shape, parameters and bytes', () => {
    const tagger = new Tagger()
    tagger.embed.weight.requiresGrad = false
    expect(tagger.summary([2, 5])).toBe(
      [
        'layer                output       parameters      bytes',
        '───────────────────────────────────────────────────────',
        'Tagger               [2, 5, 3]             0        0 B',
        '  embed Embedding    [2, 5, 8]           400    1.6 KiB',
        '  rnn LSTM           [2, 5, 32]        3,328   13.0 KiB',
        '  drop Dropout       [2, 5, 32]            0        0 B',
        '  head Linear        [2, 5, 3]            99      396 B',
        '  spare Linear       —                     2        8 B',
        '───────────────────────────────────────────────────────',
        'total (400 frozen)                     3,829   15.0 KiB',
      ].join('\n'),
    )
  })

  test('leaves the mode, the running statistics, the generator and forward as they were', async () => {
    const net = new nn.Sequential(new nn.BatchNorm1d(2), new nn.Dropout(0.5))
    const generator = manualSeed(3)
    net[0]?.eval()
    net.summary({ shape: [4, 2], dtype: 'float32' })
    expect(net.modules().map(({ training }) => training)).toEqual([true, false, true])
    expect(generator.state().offset).toBe(0)
    expect((await values(net.stateDict()))['0.num_batches_tracked']).toBe(0)
    expect(Object.hasOwn(net[0] as object, 'forward')).toBe(false)
  })

  test('a wrong input throws the error of the layer', () => {
    expect(() => new nn.Linear(3, 3).summary([2, 5])).toThrow(/linear: input must be \[…, I=3\], got \[2, 5\]/)
  })
})
