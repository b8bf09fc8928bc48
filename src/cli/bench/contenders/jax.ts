// jax-js: the model, its gradient and Adam as one jitted function. There is no `lax.scan` in it, so the steps are unrolled.
import type { Contender, Model } from '../contender.js'
import { type Spec, shapeOf, transposed, weightsOf } from '../spec.js'
import type { Project } from './load.js'

/** Every function takes possession of its arguments; `.ref` is one more claim. */
interface Arr {
  readonly ref: Arr
  add(other: Arr | number): Arr
  sub(other: Arr | number): Arr
  mul(other: Arr | number): Arr
  div(other: Arr | number): Arr
  reshape(shape: number[]): Arr
  slice(...index: unknown[]): Arr
  data(): Promise<Float32Array>
  dispose(): void
}
type Tree = Record<string, Arr>
/** What goes in and out of a step. */
interface Training extends Record<string, unknown> {
  p: Tree
  m: Tree
  v: Tree
}
interface Jax {
  init(): Promise<string[]>
  defaultDevice(name: string): void
  jit<F>(f: F): F
  valueAndGrad(f: (p: Tree, x: Arr, y: Arr) => Arr): (p: Tree, x: Arr, y: Arr) => [Arr, Tree]
  nn: { sigmoid(x: Arr): Arr; logSoftmax(x: Arr, axis?: number): Arr; gelu(x: Arr, options?: object): Arr }
  numpy: {
    array(data: ArrayLike<number>, options?: object): Arr
    matmul(x: Arr, y: Arr): Arr
    tanh(x: Arr): Arr
    sqrt(x: Arr): Arr
    square(x: Arr): Arr
    mean(x: Arr, axis?: number, options?: object): Arr
    sum(x: Arr, axis?: number): Arr
    zeros(shape: number[]): Arr
    split(x: Arr, sections: number, axis: number): Arr[]
  }
}

export async function load(project: Project): Promise<Contender> {
  // It asks for `navigator`, which Node 20 does not have.
  if (!('navigator' in globalThis)) Object.assign(globalThis, { navigator: {} })
  const jax = (await project.load('@jax-js/jax')) as Jax
  const found = await jax.init()
  if (!found.includes('wasm')) throw new Error('its wasm backend does not start')
  jax.defaultDevice('wasm')
  return { about: `jax-js ${project.version('@jax-js/jax')}, wasm, jit`, open: async (spec) => open(jax, spec) }
}

function open(jax: Jax, spec: Spec): Model<{ x: Arr; y: Arr }> {
  const np = jax.numpy
  const initial = () =>
    tree(weightsOf(spec), (weight) => {
      const { data, shape } = weight.shape.length === 2 ? transposed(weight) : weight
      return np.array(data).reshape(shape)
    })
  const zeros = () => tree(weightsOf(spec), ({ shape }) => np.zeros([...shape].reverse()))
  const forward = spec.kind === 'residual' ? residual(jax) : recurrent(jax, spec)
  const lossOf = jax.valueAndGrad((p, x, y) => {
    const out = forward(p, x)
    if (spec.loss === 'mse') return np.mean(np.square(out.sub(y)))
    return np.mean(np.sum(jax.nn.logSoftmax(out, -1).mul(y), -1)).mul(-1)
  })
  const step = jax.jit(({ p, m, v }: Training, x: Arr, y: Arr, correct1: Arr, correct2: Arr) => {
    const [loss, g] = lossOf(refs(p), x, y)
    const next: Training = { p: {}, m: {}, v: {} }
    for (const name of Object.keys(p)) {
      const [weight, slope] = [p[name] as Arr, g[name] as Arr]
      const first = (m[name] as Arr).mul(0.9).add(slope.ref.mul(0.1))
      const second = (v[name] as Arr).mul(0.999).add(np.square(slope).mul(0.001))
      const root = np.sqrt(second.ref.mul(correct2.ref)).add(1e-8)
      next.p[name] = weight.sub(first.ref.mul(correct1.ref).mul(spec.lr).div(root))
      next.m[name] = first
      next.v[name] = second
    }
    correct1.dispose()
    correct2.dispose()
    return { loss, next }
  })
  const predict = jax.jit(forward)
  let state: Training = { p: initial(), m: zeros(), v: zeros() }
  let steps = 0
  const scalar = (value: number) => np.array([value])
  return {
    batch: (x, y) => ({
      x: np.array(x).reshape(shapeOf(spec)),
      y: np.array(spec.loss === 'mse' ? y : oneHot(y, spec.outputSize)).reshape([spec.batch, spec.outputSize]),
    }),
    step: async ({ x, y }) => {
      steps++
      const [one, two] = [scalar(1 / (1 - 0.9 ** steps)), scalar(1 / (1 - 0.999 ** steps))]
      const { loss, next } = step(state, x.ref, y.ref, one, two)
      state = next
      return (await loss.data())[0] as number
    },
    predict: ({ x }) => predict(refs(state.p), x.ref).data(),
  }
}

function recurrent(jax: Jax, spec: Spec): (p: Tree, x: Arr) => Arr {
  const { numpy: np, nn } = jax
  const { kind, batch, steps, hiddenSize } = spec
  return (p, x) => {
    // A product for each step: slices of one product of all steps would each have a gradient as large as the whole, 15 times as slow.
    const weight = p.weight_ih_l0 as Arr
    const at = (t: number) => np.matmul(x.ref.slice([], t, []), weight.ref)
    const recur = p.weight_hh_l0
    let h = np.zeros([batch, hiddenSize])
    let c = np.zeros([batch, hiddenSize])
    for (let t = 0; t < steps; t++) {
      if (kind === 'lstm') {
        const z = np.split(at(t).add(np.matmul(h, (recur as Arr).ref)), 4, 1) as [Arr, Arr, Arr, Arr]
        c = nn
          .sigmoid(z[1])
          .mul(c)
          .add(nn.sigmoid(z[0]).mul(np.tanh(z[2])))
        h = nn.sigmoid(z[3]).mul(np.tanh(c.ref))
      } else if (kind === 'gru') {
        const a = np.split(at(t), 3, 1) as [Arr, Arr, Arr]
        const b = np.split(np.matmul(h.ref, (recur as Arr).ref), 3, 1) as [Arr, Arr, Arr]
        const n = np.tanh(a[2].add(nn.sigmoid(a[0].add(b[0])).mul(b[2])))
        h = n.ref.add(nn.sigmoid(a[1].add(b[1])).mul(h.sub(n)))
      } else {
        const z = np.split(at(t), 3, 1) as [Arr, Arr, Arr]
        const [f, i] = [nn.sigmoid(z[0]), nn.sigmoid(z[1])]
        h = f.ref.mul(h).add(i.ref.mul(z[2])).div(f.add(i))
      }
    }
    c.dispose()
    x.dispose()
    weight.dispose()
    recur?.dispose()
    return np.matmul(h, p['head.weight'] as Arr).add(p['head.bias'] as Arr)
  }
}

function residual({ numpy: np, nn }: Jax): (p: Tree, x: Arr) => Arr {
  return (p, x) => {
    const get = (name: string) => p[name] as Arr
    const centred = x.ref.sub(np.mean(x.ref, -1, { keepdims: true }))
    const deviation = np.sqrt(np.mean(np.square(centred.ref), -1, { keepdims: true }).add(1e-5))
    const norm = centred.div(deviation).mul(get('norm.weight')).add(get('norm.bias'))
    const inner = nn.gelu(np.matmul(norm, get('linear1.weight')).add(get('linear1.bias')), { approximate: true })
    return x.add(np.matmul(inner, get('linear2.weight')).add(get('linear2.bias')))
  }
}

function tree<T>(from: ReadonlyMap<string, T>, make: (value: T) => Arr): Tree {
  return Object.fromEntries([...from].map(([name, value]) => [name, make(value)]))
}

function refs(of: Tree): Tree {
  return Object.fromEntries(Object.entries(of).map(([name, array]) => [name, array.ref]))
}

function oneHot(labels: ArrayLike<number>, classes: number): Float32Array {
  const out = new Float32Array(labels.length * classes)
  for (let i = 0; i < labels.length; i++) out[i * classes + (labels[i] as number)] = 1
  return out
}
