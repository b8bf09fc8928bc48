// Reversible: residual blocks whose inputs follow from their outputs, so that none has to be kept for the backward pass.
import { ArgumentError, ShapeError } from '../errors.js'
import { zeros } from '../tensor/create.js'
import { cat, stack } from '../tensor/functions.js'
import { grad } from '../tensor/grad.js'
import { needOptions } from '../tensor/options.js'
import { define, forget, type Recorded } from '../tensor/program.js'
import { Generator, type GeneratorState, generator, withGenerator } from '../tensor/random.js'
import { inputId, isGradEnabled, type Meta, needTensor, record } from '../tensor/record.js'
import { noGrad, scope } from '../tensor/scope.js'
import { list, axis as placeOf, sameShape, show } from '../tensor/shape.js'
import { Tensor } from '../tensor/tensor.js'
import { Variable } from '../tensor/variable.js'
import { told } from '../told.js'
import { BatchNorm } from './batch-norm.js'
import { Module } from './module.js'
import type { Layer } from './sequential.js'

/** The two branches of a block, each from half of the channels to as many. */
export interface ReversiblePair {
  f: Layer
  g: Layer
}

const OP = 'Reversible'

/**
 * A stack of reversible blocks: half of the channels reads the other half and is added to it, in turn (Gomez et al. 2017, equations 6 to 9):
 * ```
 * y₁ = x₁ + F(x₂)      y₂ = x₂ + G(y₁)          x₂ = y₂ − G(y₁)      x₁ = y₁ − F(x₂)
 * ```
 * For the backward pass the outputs of the last block alone are kept; from them each block's inputs are computed again, from the last block to the first, with one more
 * forward pass. What training keeps does not grow with the number of blocks; the inputs come back up to rounding, and so do gradients.
 *
 * Shapes: x […, 2·C, …] → the same; `dim` is the axis of the halves. Branches keep shapes. Dropout repeats its masks, and running statistics of batch norms
 * move once. Errors: `ERR_ARGUMENT` for a branch that is no module, `ERR_SHAPE` for an odd axis or a branch that changes the shape. Gradients of gradients are
 * not supported. Not in torch.
 *
 * @example
 * const blocks = Array.from({ length: 3 }, () => ({ f: new nn.Linear(4, 4), g: new nn.Linear(4, 4) }))
 * new nn.Reversible(blocks).forward(zeros([2, 8])).shape   // [2, 8]
 */
export class Reversible extends Module {
  readonly blocks: readonly ReversiblePair[]
  readonly dim: number

  constructor(blocks: readonly ReversiblePair[], options: { dim?: number } = {}) {
    super()
    const { dim = 1 } = needOptions(options, OP)
    for (const pair of list(blocks as never, 'blocks', OP) as unknown as ReversiblePair[])
      for (const branch of [pair?.f, pair?.g])
        if (!((branch as unknown) instanceof Module)) {
          const got = told(branch)
          throw new ArgumentError(`${OP}: each block must be { f, g } of Modules, got ${got}`, { op: OP, got })
        }
    if (!Number.isInteger(dim))
      throw new ArgumentError(`${OP}: dim must be a whole number, got ${told(dim)}`, { op: OP })
    this.blocks = blocks.map(({ f, g }) => ({ f, g }))
    this.dim = dim
  }

  forward(x: Tensor): Tensor {
    return scope(() => {
      const [x1, x2] = this.#halves(x)
      const differentiable = isGradEnabled() && [x, ...this.parameters()].some(({ requiresGrad }) => requiresGrad)
      return cat(
        differentiable && this.blocks.length > 0 ? reversibly(this, x1, x2) : walk(this.blocks, x1, x2),
        this.dim,
      )
    })
  }

  /** The input that gives an output, without gradients: with batch norms or dropout in eval mode only. */
  inverse(y: Tensor): Tensor {
    return noGrad(() =>
      scope(() => {
        let [a, b] = this.#halves(y)
        for (const { f, g } of [...this.blocks].reverse()) {
          b = b.sub(g.forward(a))
          a = a.sub(f.forward(b))
        }
        return cat([a, b], this.dim)
      }),
    )
  }

  #halves(x: Tensor): [Tensor, Tensor] {
    needTensor(x, OP, 'the input')
    const size = x.shape[placeOf(this.dim, x.rank, OP)] as number
    if (size % 2 !== 0)
      throw new ShapeError(`${OP}: axis ${this.dim} must have two halves, got ${show(x.shape)}`, {
        op: OP,
        expected: 'an even size',
        got: show(x.shape),
      })
    return [x.slice(this.dim, 0, size / 2), x.slice(this.dim, size / 2)]
  }
}

/** The plain forward pass; `before` is called before each branch. */
function walk(blocks: readonly ReversiblePair[], x1: Tensor, x2: Tensor, before?: () => void): Tensor[] {
  let [a, b] = [x1, x2]
  const branch = (layer: Layer, x: Tensor): Tensor => {
    before?.()
    const y = layer.forward(x)
    if (sameShape(y.shape, x.shape)) return y
    throw new ShapeError(`${OP}: a branch must keep the shape ${show(x.shape)}, got ${show(y.shape)}`, {
      op: OP,
      expected: show(x.shape),
      got: show(y.shape),
    })
  }
  for (const { f, g } of blocks) {
    a = a.add(branch(f, b))
    b = b.add(branch(g, a))
  }
  return [a, b]
}

type Input = Meta & { requiresGrad: boolean }
const input = ({ shape, dtype, device, requiresGrad }: Input): Input => ({ shape, dtype, device, requiresGrad })
const given = (like: Input): Input => ({ ...input(like), requiresGrad: true })
/** A gradient of zeros that takes no memory. */
const nothing = ({ shape, dtype, device }: Meta): Tensor => zeros([], { dtype, device }).expand(shape)

/**
 * The forward pass as one operation with a backward pass of its own, which has to record gradients itself, block by block. A backward program does so only
 * where its own gradient is wanted; so there are two nodes: `whole`, from x to y, whose backward pass differentiates `opener`, asking for a graph,
 * and so runs the backward pass of that with gradients. y and the gradients of y come to it as the gradient of `opener`'s output, whose value is of no
 * account and takes no memory. Copies of the parameters keep `opener` off the way from the loss to the parameters themselves.
 */
function reversibly(module: Reversible, x1: Tensor, x2: Tensor): Tensor[] {
  const { blocks } = module
  const buffers = [...module.namedBuffers().values()]
  const variables = [...module.namedParameters().values(), ...buffers]
  const trained = variables.filter(({ requiresGrad }) => requiresGrad)
  const place = { dtype: x1.dtype, device: x1.device }
  const key = new Variable(zeros([], place as never))
  const seed = key.expand([4, ...x1.shape])
  const copies = trained.map((variable) => noGrad(() => new Variable(variable)))
  const copyOf = new Map<Variable, Tensor>(trained.map((variable, i) => [variable, copies[i] as Variable]))
  // Statistics move in the forward pass, and a node keeps what it is given: each has copies, and the module takes over those that moved.
  const cloned = (): [Variable, Tensor][] => noGrad(() => buffers.map((buffer) => [buffer, buffer.clone()]))
  for (const [buffer, copy] of cloned()) copyOf.set(buffer, copy)
  const moving = new Map(cloned())
  const states: GeneratorState[] = []
  const programs: Recorded[] = []
  const made = (inputs: readonly Input[], fn: (all: Tensor[]) => unknown, lift?: number): Recorded => {
    const program = define(OP, inputs, fn, lift ?? inputs.length, lift !== undefined)
    programs.push(program)
    return program
  }
  // Variables that a program takes in become inputs in the order in which they are met first.
  const lifted = (): void => variables.forEach((variable) => void inputId(variable, OP))

  try {
    const beside = [seed, seed, ...copies]
    const forward = made(
      [x1, x2, ...beside].map(input),
      ([a, b]) => {
        lifted()
        return walk(blocks, a as Tensor, b as Tensor, () => states.push(generator().state()))
      },
      2 + beside.length,
    )
    const backOpener = made(
      [seed, seed, seed].map(given),
      ([t, , packed]) => {
        lifted()
        return backward(module, states, t as Tensor, packed as Tensor, variables)
      },
      1,
    )
    const opener = made([seed, ...variables].map(input), ([t]) => t)
    const [opened] = record('customGrad', [seed, ...variables.map((variable) => copyOf.get(variable) ?? variable)], {
      metas: [input(seed)],
      forward: opener.id,
      backward: backOpener.id,
    })
    const open = new Tensor(opened as never)
    const all = [x1, x2, open, seed, ...copies, ...variables.map((variable) => moving.get(variable) ?? variable)]
    const back = made([...all, x1, x2, x1, x2].map(given), (inputs) => {
      const [, , u, t] = inputs as [Tensor, Tensor, Tensor, Tensor]
      const own = inputs.slice(4, 4 + copies.length)
      const packed = stack(inputs.slice(all.length).map((value) => value.detach()))
      const gradients = grad(u, [t, ...own], { gradient: packed, createGraph: true })
      const of = new Map(trained.map((variable, i) => [variable, gradients.get(own[i] as Tensor)]))
      const x = gradients.get(t)
      return [
        x.select(0, 0),
        x.select(0, 1),
        ...[u, t, ...own].map(nothing),
        ...variables.map((variable) => of.get(variable) ?? nothing(variable)),
      ]
    })
    const results = record('customGrad', all, { metas: forward.outputs, forward: forward.id, backward: back.id })
    if (module.modules().some(({ training }) => training))
      noGrad(() => moving.forEach((value, buffer) => void buffer.assign(value)))
    return results.map((result) => new Tensor(result))
  } finally {
    for (const program of programs) forget(program)
    for (const variable of [key, ...copies]) variable.dispose()
  }
}

/** From the last block to the first: the inputs of each, and what the gradients of its outputs make of them and of its parameters. */
function backward(
  { blocks }: Reversible,
  states: readonly GeneratorState[],
  key: Tensor,
  packed: Tensor,
  variables: readonly Variable[],
): Tensor[] {
  let [y1, y2, g1, g2] = [0, 1, 2, 3].map((i) => packed.select(0, i).detach()) as [Tensor, Tensor, Tensor, Tensor]
  const sums = new Map<Variable, Tensor>()
  // Zeros that take gradients make a value take them.
  const zero = key.select(0, 0)
  const through = (layer: Layer, value: Tensor, gradient: Tensor, state: GeneratorState): [Tensor, Tensor] => {
    const x = value.detach().add(zero)
    const y = again(layer, state, x)
    const own = layer.parameters().filter(({ requiresGrad }) => requiresGrad)
    const gradients = grad(y, [x, ...own], { gradient, unused: 'zeros' })
    for (const variable of own) {
      const before = sums.get(variable)
      sums.set(variable, before === undefined ? gradients.get(variable) : before.add(gradients.get(variable)))
    }
    return [y.detach(), gradients.get(x)]
  }
  for (const [k, { f, g }] of [...blocks.entries()].reverse()) {
    const [gy, d1] = through(g, y1, g2, states[2 * k + 1] as GeneratorState)
    y2 = y2.sub(gy)
    g1 = g1.add(d1)
    const [fx, d2] = through(f, y2, g1, states[2 * k] as GeneratorState)
    y1 = y1.sub(fx)
    g2 = g2.add(d2)
  }
  const x = cat(
    [stack([g1, g2]), nothing({ ...packed, shape: [2, ...y1.shape], dtype: y1.dtype, device: y1.device })],
    0,
  )
  return [x.detach(), ...variables.map((variable) => sums.get(variable)?.detach() ?? nothing(variable))]
}

/** A branch once more, with the random numbers of its first run and running statistics left as they are. */
function again(layer: Layer, state: GeneratorState, x: Tensor): Tensor {
  const norms = layer.modules().filter((module): module is BatchNorm => module instanceof BatchNorm)
  const kept = norms.map(({ momentum, numBatchesTracked }) => ({ momentum, numBatchesTracked }))
  for (const norm of norms) Object.assign(norm, { momentum: 0, numBatchesTracked: undefined })
  const numbers = new Generator(0)
  numbers.restore(state)
  try {
    return withGenerator(numbers, () => layer.forward(x))
  } finally {
    for (const [i, norm] of norms.entries()) Object.assign(norm, kept[i])
  }
}
