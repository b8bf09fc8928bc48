// jax-js, wasm: loss, gradients and Adam as one jitted function. It has no scan, so the steps are unrolled; the input map is one product for all of
// them. Arrays are used up by what they are given to; `.ref` keeps one.
import { load, problem, serve, transposed, weights } from './common.mjs'

globalThis.navigator ??= {} // it asks for one
const jax = await load('@jax-js/jax')
const { numpy: np, nn } = jax
if (!(await jax.init()).includes('wasm')) throw new Error('the backend wasm does not start')
jax.defaultDevice('wasm')

const { B, T, I, H, lr } = problem
const batches = problem.batches.map(({ x, y }) => ({
  x: np.array(x).reshape([B, T, I]),
  y: np.array(y).reshape([B, 1]),
}))

function lossOf(p, x, y) {
  const all = np.matmul(x.reshape([B * T, I]), p.ih).reshape([B, T, 4 * H])
  let h = np.zeros([B, H])
  let c = np.zeros([B, H])
  for (let t = 0; t < T; t++) {
    const [i, f, g, o] = np.split(all.ref.slice([], t, []).add(np.matmul(h, p.hh.ref)), 4, 1)
    c = nn
      .sigmoid(f)
      .mul(c)
      .add(nn.sigmoid(i).mul(np.tanh(g)))
    h = nn.sigmoid(o).mul(np.tanh(c.ref))
  }
  for (const used of [c, all, p.hh]) used.dispose()
  return np.mean(np.square(np.matmul(h, p.head).add(p.bias).sub(y)))
}

const valueAndGrad = jax.valueAndGrad(lossOf)
const update = jax.jit(({ p, m, v }, x, y, unbias1, unbias2) => {
  const refs = Object.fromEntries(Object.entries(p).map(([key, array]) => [key, array.ref]))
  const [loss, g] = valueAndGrad(refs, x, y)
  const next = { p: {}, m: {}, v: {} }
  for (const key of Object.keys(p)) {
    next.m[key] = m[key].mul(0.9).add(g[key].ref.mul(0.1))
    next.v[key] = v[key].mul(0.999).add(np.square(g[key]).mul(0.001))
    const root = np.sqrt(next.v[key].ref.mul(unbias2.ref)).add(1e-8)
    next.p[key] = p[key].sub(next.m[key].ref.mul(unbias1.ref).mul(lr).div(root))
  }
  unbias1.dispose()
  unbias2.dispose()
  return { loss, next }
})

await serve(`jax-js wasm, jit, Node ${process.version}`, () => {
  const { 'lstm.weight_ih_l0': ih, 'lstm.weight_hh_l0': hh, 'head.weight': head, 'head.bias': bias } = weights()
  const tree = (make) =>
    Object.fromEntries(
      Object.entries({ ih: transposed(ih), hh: transposed(hh), head: transposed(head), bias }).map(([key, value]) => [
        key,
        make(value),
      ]),
    )
  let state = {
    p: tree(({ data, shape }) => np.array(data).reshape(shape)),
    m: tree(({ shape }) => np.zeros(shape)),
    v: tree(({ shape }) => np.zeros(shape)),
  }
  let steps = 0
  return async (i) => {
    steps++
    const unbias = [0.9, 0.999].map((beta) => np.array([1 / (1 - beta ** steps)]))
    const { loss, next } = update(state, batches[i].x.ref, batches[i].y.ref, ...unbias)
    state = next
    return (await loss.data())[0]
  }
})
