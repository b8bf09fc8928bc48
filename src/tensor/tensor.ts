// Tensor: a handle to a value that the engine computes, with the operations as methods.
import { inspect } from 'node:util'
import { ArgumentError, OutOfRangeError, ShapeError } from '../errors.js'
import { told } from '../told.js'
import { type Device, type DeviceLike, device } from './device.js'
import {
  type ArrayOf,
  checkDType,
  type DType,
  dtypes,
  type ElementOf,
  type FloatDType,
  fromBfloat16,
  fromFloat16,
} from './dtype.js'
import { abandon, adopt, type Held } from './lifetime.js'
import type { Attributes, OpName } from './ops/index.js'
import { needOptions } from './options.js'
import { request } from './queue.js'
import { type Handle, inputId, type Program, type Result, record } from './record.js'
import { axes, axis, checkShape, elements, list, type Shape, show, whole } from './shape.js'

/** The dtype of an arithmetic result (PyTorch's promotion). */
export type Promote<A extends DType, B extends DType> = A extends 'float64'
  ? 'float64'
  : B extends 'float64'
    ? 'float64'
    : A extends 'float32'
      ? 'float32'
      : B extends 'float32'
        ? 'float32'
        : A extends 'bfloat16' | 'float16'
          ? B extends 'bfloat16' | 'float16'
            ? A extends B
              ? A
              : 'float32'
            : A
          : B extends 'bfloat16' | 'float16'
            ? B
            : A extends 'int64'
              ? 'int64'
              : B extends 'int64'
                ? 'int64'
                : A extends 'int32'
                  ? 'int32'
                  : B extends 'int32'
                    ? 'int32'
                    : A extends 'uint8'
                      ? 'uint8'
                      : B
/** The dtype after combining with a JavaScript number. */
export type WithNumber<D extends DType> = D extends FloatDType ? D : (D extends 'bool' ? 'int64' : D) | 'float32'
export type Floating<D extends DType> = D extends FloatDType ? D : 'float32'
/** The dtype of sums and products: whole numbers give int64. */
export type Summed<D extends DType> = D extends FloatDType ? D : 'int64'

export type Nested<T> = T | Nested<T>[]
/** Axes to reduce over (default: all), and whether they stay with size 1. */
export interface ReduceOptions {
  keepDim?: boolean
}

/** Records an operation with one result. */
export function call<D extends DType = DType, N extends OpName = OpName>(
  name: N,
  inputs: readonly (Handle | undefined)[],
  attributes: Attributes<N>,
): Tensor<D> {
  return new Tensor<D>(record(name, inputs, attributes)[0] as Result)
}

const none = {}

/** Structured cloning fails on functions: a handle belongs to the thread that made it. */
function uncloneable(): void {}

/**
 * A multi-dimensional array on a device. Operations return at once; the engine computes them in the order in which they were called.
 * `await tensor.data()` waits for the value at this place of the order.
 *
 * A tensor is freed by `dispose()` or `using`, at the end of the `scope` that made it, or when it is collected; none of it has to be written.
 */
export class Tensor<D extends DType = DType> implements Handle {
  readonly shape: Shape
  readonly dtype: D
  readonly device: Device
  /** @internal */
  readonly program: Program | undefined
  /** @internal Makes postMessage and structuredClone refuse the handle. */
  readonly uncloneable = uncloneable
  #id: number
  /** @internal What is released with it. */
  held: Held
  #lane: 0 | 1
  #requiresGrad: boolean

  /** @internal */
  constructor(result: Result) {
    if (!(result?.id > 0)) {
      throw new ArgumentError('Tensor: tensors are made by functions: tensor(), zeros(), …', { op: 'Tensor' })
    }
    this.shape = result.shape
    this.dtype = result.dtype as D
    this.device = result.device
    this.program = result.program
    this.#id = result.id
    this.held = { id: result.id, bytes: result.bytes, watched: false }
    this.#lane = result.lane
    this.#requiresGrad = result.requiresGrad
    // What a program computes lives only while the program runs.
    if (result.program === undefined) adopt(this)
  }

  /** @internal The engine's name of the value; 0 after disposal. */
  get id(): number {
    return this.#id
  }

  /** Whether gradients flow through this value. */
  get requiresGrad(): boolean {
    return this.#requiresGrad
  }

  /** @internal */
  protected setRequiresGrad(value: boolean): void {
    this.#requiresGrad = value
  }

  /** @internal Another value under the same handle, for a Variable that changes its dtype or device. */
  protected replace(result: Result): void {
    if (this.#id !== 0) abandon(this)
    Object.assign(this as { dtype: DType; device: Device }, { dtype: result.dtype, device: result.device })
    this.#id = result.id
    this.held = { id: result.id, bytes: result.bytes, watched: false }
    adopt(this)
  }

  get isDisposed(): boolean {
    return this.#id === 0
  }

  /** Number of axes. */
  get rank(): number {
    return this.shape.length
  }

  /** Number of elements. */
  get size(): number {
    return elements(this.shape)
  }

  /** Frees the value now. Using the tensor afterwards throws `ERR_DISPOSED`; a second call does nothing. */
  dispose(): void {
    if (this.#id === 0 || this.program !== undefined) return
    this.#id = 0
    abandon(this)
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  // ---- Reading -----------------------------------------------------------------------------------------------------

  /**
   * The elements in row-major order, in the array type of the dtype (bfloat16: its bits as a `Uint16Array`).
   *
   * @throws the first error of this value or of what it was computed from.
   */
  async data(): Promise<ArrayOf[D]> {
    const buffer = (await request('read', [inputId(this, 'data')], [], this.#lane)) as ArrayBuffer
    return new dtypes[this.dtype].array(buffer) as ArrayOf[D]
  }

  /**
   * The only element as a number; a bool gives 0 or 1.
   *
   * @throws ShapeError unless there is exactly one element; OutOfRangeError (`ERR_RANGE`) for an int64 beyond ±2⁵³.
   */
  async item(): Promise<number> {
    if (this.size !== 1) {
      throw new ShapeError(`item: the tensor must have exactly one element, got ${show(this.shape)}`, {
        op: 'item',
        expected: 'one element',
        got: show(this.shape),
      })
    }
    return toNumber((await this.numbers())[0] as number | bigint)
  }

  /** The elements as nested arrays of numbers (booleans for bool); a scalar gives the bare element. */
  async toArray(): Promise<Nested<ElementOf[D]>> {
    const flat = await this.numbers()
    const convert = (this.dtype === 'bool' ? (x: number) => x !== 0 : toNumber) as (x: number | bigint) => ElementOf[D]
    let next = 0
    const build = (depth: number): Nested<ElementOf[D]> =>
      depth === this.shape.length
        ? convert(flat[next++] as number | bigint)
        : Array.from({ length: this.shape[depth] as number }, () => build(depth + 1))
    return build(0)
  }

  private async numbers(): Promise<Exclude<ArrayOf[DType], Uint16Array>> {
    const data: ArrayOf[DType] = await this.data()
    if (!(data instanceof Uint16Array)) return data
    return this.dtype === 'float16' ? fromFloat16(data) : fromBfloat16(data)
  }

  // ---- Where and what ----------------------------------------------------------------------------------------------

  /** The same values in another dtype or on another device, named in either order; the tensor itself if nothing changes. */
  to<E extends DType>(dtype: E, device?: DeviceLike): Tensor<E>
  to(device: DeviceLike): Tensor<D>
  to(target: DType | DeviceLike, where?: DeviceLike): Tensor {
    const isDevice = target === 'cpu' || told(target).startsWith('cuda')
    const named = isDevice ? target : where
    const place = named === undefined ? this.device : device(named as DeviceLike, 'to')
    const dtype = checkDType(isDevice ? this.dtype : target, 'to', place)
    if (dtype === this.dtype && place === this.device) return this
    return call('to', [this], { dtype, device: place })
  }

  /** The value without its history: gradients stop here. Shares the elements. */
  detach(): Tensor<D> {
    return call<D>('detach', [this], none)
  }

  /** A copy with elements of its own. */
  clone(): Tensor<D> {
    return call<D>('clone', [this], none)
  }

  // ---- Arithmetic and comparison, broadcasting ---------------------------------------------------------------------

  /** this + other */
  add<E extends DType>(other: Tensor<E>): Tensor<Promote<D, E>>
  add(other: number): Tensor<WithNumber<D>>
  add(other: Tensor | number): Tensor
  add(other: Tensor | number): Tensor {
    return binary('add', this, other)
  }
  /** this − other */
  sub<E extends DType>(other: Tensor<E>): Tensor<Promote<D, E>>
  sub(other: number): Tensor<WithNumber<D>>
  sub(other: Tensor | number): Tensor
  sub(other: Tensor | number): Tensor {
    return binary('sub', this, other)
  }
  /** this · other, elementwise */
  mul<E extends DType>(other: Tensor<E>): Tensor<Promote<D, E>>
  mul(other: number): Tensor<WithNumber<D>>
  mul(other: Tensor | number): Tensor
  mul(other: Tensor | number): Tensor {
    return binary('mul', this, other)
  }
  /** this / other; of integers a float */
  div<E extends DType>(other: Tensor<E>): Tensor<Floating<Promote<D, E>>>
  div(other: number): Tensor<Floating<D>>
  div(other: Tensor | number): Tensor
  div(other: Tensor | number): Tensor {
    return binary('div', this, other)
  }
  /** thisᵒᵗʰᵉʳ */
  pow(other: Tensor | number): Tensor<D> {
    return binary('pow', this, other)
  }
  /** The larger of the two, elementwise. */
  maximum(other: Tensor | number): Tensor<D> {
    return binary('maximum', this, other)
  }
  /** The smaller of the two, elementwise. */
  minimum(other: Tensor | number): Tensor<D> {
    return binary('minimum', this, other)
  }
  eq(other: Tensor | number): Tensor<'bool'> {
    return binary('eq', this, other)
  }
  ne(other: Tensor | number): Tensor<'bool'> {
    return binary('ne', this, other)
  }
  lt(other: Tensor | number): Tensor<'bool'> {
    return binary('lt', this, other)
  }
  le(other: Tensor | number): Tensor<'bool'> {
    return binary('le', this, other)
  }
  gt(other: Tensor | number): Tensor<'bool'> {
    return binary('gt', this, other)
  }
  ge(other: Tensor | number): Tensor<'bool'> {
    return binary('ge', this, other)
  }
  logicalAnd(other: Tensor): Tensor<'bool'> {
    return binary('logicalAnd', this, other)
  }
  logicalOr(other: Tensor): Tensor<'bool'> {
    return binary('logicalOr', this, other)
  }
  logicalNot(): Tensor<'bool'> {
    return call('logicalNot', [this], none)
  }
  /** Values held within `low` … `high`. */
  clamp(bounds: { low?: number; high?: number }): Tensor<D> {
    const { low = -Infinity, high = Infinity } = needOptions(bounds, 'clamp', 'bounds')
    return call<D>('clamp', [this], { low, high })
  }

  // ---- Functions of one value --------------------------------------------------------------------------------------

  neg(): Tensor<D> {
    return call<D>('neg', [this], none)
  }
  abs(): Tensor<D> {
    return call<D>('abs', [this], none)
  }
  square(): Tensor<D> {
    return call<D>('square', [this], none)
  }
  sign(): Tensor<D> {
    return call<D>('sign', [this], none)
  }
  floor(): Tensor<D> {
    return call<D>('floor', [this], none)
  }
  ceil(): Tensor<D> {
    return call<D>('ceil', [this], none)
  }
  /** To the nearest whole number, halves to even. */
  round(): Tensor<D> {
    return call<D>('round', [this], none)
  }
  exp(): Tensor<Floating<D>> {
    return call('exp', [this], none)
  }
  log(): Tensor<Floating<D>> {
    return call('log', [this], none)
  }
  /** log(1 + x), exact near 0 */
  log1p(): Tensor<Floating<D>> {
    return call('log1p', [this], none)
  }
  /** eˣ − 1, exact near 0 */
  expm1(): Tensor<Floating<D>> {
    return call('expm1', [this], none)
  }
  sqrt(): Tensor<Floating<D>> {
    return call('sqrt', [this], none)
  }
  /** 1 / √x */
  rsqrt(): Tensor<Floating<D>> {
    return call('rsqrt', [this], none)
  }
  /** 1 / x */
  reciprocal(): Tensor<Floating<D>> {
    return call('reciprocal', [this], none)
  }
  sin(): Tensor<Floating<D>> {
    return call('sin', [this], none)
  }
  cos(): Tensor<Floating<D>> {
    return call('cos', [this], none)
  }
  erf(): Tensor<Floating<D>> {
    return call('erf', [this], none)
  }
  tanh(): Tensor<Floating<D>> {
    return call('tanh', [this], none)
  }
  /** 1 / (1 + e⁻ˣ) */
  sigmoid(): Tensor<Floating<D>> {
    return call('sigmoid', [this], none)
  }
  /** max(x, 0) */
  relu(): Tensor<D> {
    return call<D>('relu', [this], none)
  }
  isNaN(): Tensor<'bool'> {
    return call('isNaN', [this], none)
  }
  isFinite(): Tensor<'bool'> {
    return call('isFinite', [this], none)
  }

  // ---- Reductions --------------------------------------------------------------------------------------------------

  sum(dims?: number | readonly number[], options?: ReduceOptions): Tensor<Summed<D>> {
    return call('sum', [this], over(this, 'sum', dims, options))
  }
  mean(dims?: number | readonly number[], options?: ReduceOptions): Tensor<D> {
    return call<D>('mean', [this], over(this, 'mean', dims, options))
  }
  /** Σ(x − mean)² / (N − correction); PyTorch's default correction 1. */
  variance(dims?: number | readonly number[], given: ReduceOptions & { correction?: number } = {}): Tensor<D> {
    const { correction = 1, ...options } = needOptions(given, 'variance')
    return call<D>('variance', [this], { ...over(this, 'variance', dims, options), correction })
  }
  /** The largest values. */
  amax(dims?: number | readonly number[], options?: ReduceOptions): Tensor<D> {
    return call<D>('amax', [this], over(this, 'amax', dims, options))
  }
  /** The smallest values. */
  amin(dims?: number | readonly number[], options?: ReduceOptions): Tensor<D> {
    return call<D>('amin', [this], over(this, 'amin', dims, options))
  }
  any(dims?: number | readonly number[], options?: ReduceOptions): Tensor<'bool'> {
    return call('any', [this], over(this, 'any', dims, options))
  }
  all(dims?: number | readonly number[], options?: ReduceOptions): Tensor<'bool'> {
    return call('all', [this], over(this, 'all', dims, options))
  }
  prod(dim?: number, options: ReduceOptions = {}): Tensor<Summed<D>> {
    const { keepDim = false } = needOptions(options, 'prod')
    return call('prod', [this], { dim: dim === undefined ? -1 : axis(dim, this.rank, 'prod'), keepDim })
  }
  /** log Σ eˣ, without overflow */
  logSumExp(dims: number | readonly number[], options?: ReduceOptions): Tensor<Floating<D>> {
    return call('logSumExp', [this], over(this, 'logSumExp', dims, options))
  }
  argmax(dim: number, options: ReduceOptions = {}): Tensor<'int64'> {
    const { keepDim = false } = needOptions(options, 'argmax')
    return call('argmax', [this], { dim: axis(dim, this.rank, 'argmax'), keepDim })
  }
  argmin(dim: number, options: ReduceOptions = {}): Tensor<'int64'> {
    const { keepDim = false } = needOptions(options, 'argmin')
    return call('argmin', [this], { dim: axis(dim, this.rank, 'argmin'), keepDim })
  }
  cumsum(dim: number): Tensor<Summed<D>> {
    return call('cumsum', [this], { dim: axis(dim, this.rank, 'cumsum') })
  }
  cumprod(dim: number): Tensor<Summed<D>> {
    return call('cumprod', [this], { dim: axis(dim, this.rank, 'cumprod') })
  }
  /** (Σ |x|ᵖ)^(1/p) of vectors; p may be ±Infinity (largest, smallest) and 0 (how many are not 0). Of matrices: `matrixNorm`. */
  norm(dims?: number | readonly number[], given: ReduceOptions & { p?: number } = {}): Tensor<D> {
    const { p = 2, ...options } = needOptions(given, 'norm')
    if (typeof p !== 'number' || Number.isNaN(p))
      throw new ArgumentError(`norm: p must be a number, got ${told(p)}`, { op: 'norm', got: told(p) })
    return call<D>('norm', [this], { ...over(this, 'norm', dims, options), p })
  }
  softmax(dim: number): Tensor<D> {
    return call<D>('softmax', [this], { dim: axis(dim, this.rank, 'softmax') })
  }
  logSoftmax(dim: number): Tensor<D> {
    return call<D>('logSoftmax', [this], { dim: axis(dim, this.rank, 'logSoftmax') })
  }
  /** The `k` largest (or smallest) along an axis, in order. */
  topk(k: number, options: { dim?: number; largest?: boolean } = {}): { values: Tensor<D>; indices: Tensor<'int64'> } {
    const { dim = -1, largest = true } = needOptions(options, 'topk')
    return valuesAndIndices(record('topk', [this], { k, dim: axis(dim, this.rank, 'topk'), largest }))
  }
  /** Sorted along an axis, stable. */
  sort(options: { dim?: number; descending?: boolean } = {}): {
    values: Tensor<D>
    indices: Tensor<'int64'>
  } {
    const { dim = -1, descending = false } = needOptions(options, 'sort')
    return valuesAndIndices(record('sort', [this], { dim: axis(dim, this.rank, 'sort'), descending }))
  }

  // ---- Matrix product ----------------------------------------------------------------------------------------------

  /** Matrix product of the last two axes; the leading ones broadcast. */
  matmul(other: Tensor): Tensor<D> {
    return call<D>('matmul', [this, other], none)
  }

  // ---- Shape -------------------------------------------------------------------------------------------------------

  /** The same elements in another shape; one size may be −1. */
  reshape(shape: Shape): Tensor<D> {
    return call<D>('reshape', [this], { shape: inferred(shape, this.size) })
  }
  /** Axes `from` … `to` merged into one. */
  flatten(from = 0, to = -1): Tensor<D> {
    const first = axis(from, this.rank, 'flatten')
    const last = axis(to, this.rank, 'flatten')
    return this.reshape([
      ...this.shape.slice(0, first),
      elements(this.shape.slice(first, last + 1)),
      ...this.shape.slice(last + 1),
    ])
  }
  /** A new axis of size 1 at `dim`. */
  unsqueeze(dim: number): Tensor<D> {
    const at = axis(dim, this.rank + 1, 'unsqueeze')
    return this.reshape([...this.shape.slice(0, at), 1, ...this.shape.slice(at)])
  }
  /** Without the axis `dim` of size 1 (default: without all such). */
  squeeze(dim?: number): Tensor<D> {
    if (dim === undefined) return this.reshape(this.shape.filter((size) => size !== 1))
    const at = axis(dim, this.rank, 'squeeze')
    return this.shape[at] === 1 ? this.reshape(this.shape.filter((_, i) => i !== at)) : this
  }
  /** Stretched to `shape` without copying; −1 keeps a size. */
  expand(shape: Shape): Tensor<D> {
    const offset = list(shape, 'shape', 'expand').length - this.rank
    return call<D>('expand', [this], {
      shape: checkShape(
        shape.map((size, i) => (size === -1 ? (this.shape[i - offset] ?? -1) : size)),
        'expand',
      ),
    })
  }
  /** The axes in another order. */
  permute(dims: readonly number[]): Tensor<D> {
    return call<D>('permute', [this], { dims: axes(dims, this.rank, 'permute') })
  }
  /** Two axes exchanged. */
  transpose(a = -2, b = -1): Tensor<D> {
    const dims = this.shape.map((_, i) => i)
    const [x, y] = [axis(a, this.rank, 'transpose'), axis(b, this.rank, 'transpose')]
    dims[x] = y
    dims[y] = x
    return this.permute(dims)
  }
  /** The order along these axes reversed. */
  flip(dims: number | readonly number[]): Tensor<D> {
    return call<D>('flip', [this], { dims: axes(dims, this.rank, 'flip') })
  }
  /** The axes turned by so many positions: what leaves at one end comes in at the other. */
  roll(shifts: number | readonly number[], dims: number | readonly number[]): Tensor<D> {
    const turned = axes(dims, this.rank, 'roll')
    const by = typeof shifts === 'number' ? [shifts] : list(shifts, 'shifts', 'roll')
    if (by.length !== turned.length || !by.every(Number.isSafeInteger)) {
      throw new ArgumentError(`roll: one whole shift for each of ${show(turned)} is needed, got ${show(by)}`, {
        op: 'roll',
        got: show(by),
      })
    }
    return turned.length === 0 ? this : call<D>('roll', [this], { shifts: by, dims: turned })
  }
  /** The matrices of the last two axes without what lies above a diagonal (0 the main one, 1 the one above). */
  tril(diagonal = 0): Tensor<D> {
    return call<D>('tril', [this], { diagonal: whole(diagonal, 'diagonal', 'tril', -Number.MAX_SAFE_INTEGER) })
  }
  /** The matrices of the last two axes without what lies below a diagonal. */
  triu(diagonal = 0): Tensor<D> {
    return call<D>('triu', [this], { diagonal: whole(diagonal, 'diagonal', 'triu', -Number.MAX_SAFE_INTEGER) })
  }
  /** Elements `start` … `end` (excluded) along an axis; negative positions count from the end. */
  slice(dim: number, start = 0, end = Infinity, step = 1): Tensor<D> {
    const at = axis(dim, this.rank, 'slice')
    const size = this.shape[at] as number
    const clip = (position: number): number => Math.min(size, Math.max(0, position < 0 ? position + size : position))
    for (const position of [start, end]) {
      if (!Number.isInteger(position) && position !== Infinity) {
        throw new ArgumentError(`slice: positions must be whole numbers, got ${told(position)}`, {
          op: 'slice',
          got: told(position),
        })
      }
    }
    const first = clip(start)
    return call<D>('slice', [this], {
      dim: at,
      start: first,
      end: Math.max(first, clip(end)),
      step: whole(step, 'step', 'slice', 1),
    })
  }
  /** One position of an axis, which disappears. */
  select(dim: number, index: number): Tensor<D> {
    const at = axis(dim, this.rank, 'select')
    const size = this.shape[at] as number
    if (!Number.isInteger(index) || index < -size || index >= size) {
      throw new OutOfRangeError(`select: index must be within ${-size} … ${size - 1}, got ${told(index)}`, {
        op: 'select',
        got: told(index),
      })
    }
    const first = index < 0 ? index + size : index
    return call<D>('slice', [this], { dim: at, start: first, end: first + 1, step: 1 }).squeeze(at)
  }
  /** Cut along an axis into pieces of these sizes. */
  split(sizes: readonly number[], dim = 0): Tensor<D>[] {
    const at = axis(dim, this.rank, 'split')
    const total = list(sizes, 'sizes', 'split').reduce((sum, size) => sum + size, 0)
    if (total !== this.shape[at]) {
      throw new ShapeError(`split: the sizes must sum to ${this.shape[at]}, got ${show(sizes)}`, {
        op: 'split',
        expected: String(this.shape[at]),
        got: show(sizes),
      })
    }
    let end = 0
    return sizes.map((size) => {
      end += size
      return this.slice(at, end - size, end)
    })
  }
  /** Cut along an axis into single positions without it. */
  unbind(dim = 0): Tensor<D>[] {
    const at = axis(dim, this.rank, 'unbind')
    return Array.from({ length: this.shape[at] as number }, (_, i) => this.select(at, i))
  }
  /** out[…, i, …] = this[…, index[…, i, …], …] */
  gather(dim: number, index: Tensor): Tensor<D> {
    return call<D>('gather', [this, index], { dim: axis(dim, this.rank, 'gather') })
  }
  /** The positions `index` [N] of an axis. */
  indexSelect(dim: number, index: Tensor): Tensor<D> {
    return call<D>('indexSelect', [this, index], { dim: axis(dim, this.rank, 'indexSelect') })
  }
  /**
   * A copy with out[…, index[…, i, …], …] = source[…, i, …]; index and source of one shape. Where an index stands twice, any of its sources wins.
   * An index out of range is found while running: `ERR_RANGE`.
   */
  scatter(dim: number, index: Tensor, source: Tensor): Tensor<D> {
    return call<D>('scatter', [this, index, source], { dim: axis(dim, this.rank, 'scatter') })
  }
  /** A copy with source[…, i, …] added to out[…, index[…, i, …], …]; index and source of one shape. */
  scatterAdd(dim: number, index: Tensor, source: Tensor): Tensor<D> {
    return call<D>('scatterAdd', [this, index, source], { dim: axis(dim, this.rank, 'scatterAdd') })
  }

  /** What a console shows: never the elements, which may not be computed yet. */
  toString(): string {
    const state = this.isDisposed ? ', disposed' : this.requiresGrad ? ', requiresGrad' : ''
    return `Tensor(${this.dtype} ${show(this.shape)} on ${this.device}${state})`
  }

  [inspect.custom](): string {
    return this.toString()
  }
}

type Binary =
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'pow'
  | 'maximum'
  | 'minimum'
  | 'eq'
  | 'ne'
  | 'lt'
  | 'le'
  | 'gt'
  | 'ge'
  | 'logicalAnd'
  | 'logicalOr'

function binary<D extends DType>(name: Binary, a: Tensor, b: Tensor | number): Tensor<D> {
  if (b instanceof Tensor) return call<D>(name, [a, b], none)
  return call<D>(name, [a, undefined], { scalar: operand(name, b) })
}

/** A number given where a tensor may stand. */
export function operand(op: string, value: unknown): number {
  if (typeof value === 'number') return value
  throw new ArgumentError(
    `${op}: operand must be a tensor or a number, got ${value === null ? 'null' : typeof value}`,
    {
      op,
      expected: 'a tensor or a number',
      got: told(value),
    },
  )
}

function over(x: Tensor, op: string, dims: number | readonly number[] | undefined, options: ReduceOptions = {}) {
  const { keepDim = false } = needOptions(options, op)
  return { dims: axes(dims, x.rank, op), keepDim }
}

function valuesAndIndices<D extends DType>([values, indices]: Result[]): {
  values: Tensor<D>
  indices: Tensor<'int64'>
} {
  return { values: new Tensor<D>(values as Result), indices: new Tensor<'int64'>(indices as Result) }
}

/** A shape with at most one −1, filled in. */
function inferred(shape: Shape, size: number): Shape {
  const unknown = list(shape, 'shape', 'reshape').filter((s) => s === -1).length
  if (unknown === 0) return checkShape(shape, 'reshape')
  const known = elements(shape.filter((s) => s !== -1))
  if (unknown > 1 || known === 0 || size % known !== 0) {
    throw new ShapeError(`reshape: ${size} elements do not fit ${show(shape)}`, {
      op: 'reshape',
      expected: `${size} elements`,
      got: show(shape),
    })
  }
  return checkShape(
    shape.map((s) => (s === -1 ? size / known : s)),
    'reshape',
  )
}

function toNumber(value: number | bigint): number {
  if (typeof value === 'number') return value
  if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER)) {
    throw new OutOfRangeError(`item: ${value} is beyond ±2⁵³ and not exact as a number; read it with data()`, {
      op: 'item',
      got: told(value),
    })
  }
  return Number(value)
}
