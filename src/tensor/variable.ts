// Variable: a tensor that is updated in place, and that gradients are taken for.
import { DTypeError, ShapeError } from '../errors.js'
import type { Device } from './device.js'
import { type DType, isFloat } from './dtype.js'
import { unscope } from './lifetime.js'
import { needOptions } from './options.js'
import { nameSlot, write } from './queue.js'
import { inputId, needTensor, type Result, record, withGrad } from './record.js'
import { sameShape, show } from './shape.js'
import { Tensor } from './tensor.js'

export interface VariableOptions {
  /** Whether gradients are taken for it (default: true for float dtypes). */
  requiresGrad?: boolean
  /** Used in error messages. */
  name?: string
}

/**
 * A leaf of the gradient graph with storage of its own: parameters, running statistics, optimizer state.
 * It belongs to no scope. Reading it sees the value at that place in the order of operations, also after later updates.
 */
export class Variable<D extends DType = DType> extends Tensor<D> {
  /** Its name in error messages; a Module gives its parameters their paths. */
  name: string

  constructor(value: Tensor<D>, options: VariableOptions = {}) {
    needTensor(value, 'Variable', 'value')
    const { requiresGrad = isFloat(value.dtype), name = '' } = needOptions(options, 'Variable')
    if (requiresGrad) needFloat(value.dtype, 'Variable')
    super(record('variable', [value], { requiresGrad })[0] as Result)
    this.setRequiresGrad(requiresGrad)
    this.name = name
    this.#settle()
  }

  #settle(): void {
    unscope(this)
    const self = new WeakRef(this)
    nameSlot(this.id, () => self.deref()?.name || 'an unnamed variable')
  }

  /** @internal Changes dtype or device and stays the same Variable: optimizers and gradients still know it. */
  convert(dtype: DType, device: Device): void {
    if (dtype === this.dtype && device === this.device) return
    const moved = withGrad(false, () => this.to(dtype, device))
    this.replace(record('variable', [moved], { requiresGrad: this.requiresGrad })[0] as Result)
    moved.dispose()
    this.#settle()
  }

  /** Whether gradients are taken for it. Setting it to false freezes it. */
  override get requiresGrad(): boolean {
    return super.requiresGrad
  }

  override set requiresGrad(value: boolean) {
    if (value) needFloat(this.dtype, 'requiresGrad')
    if (value === super.requiresGrad) return
    write('requireGrad', 0, [inputId(this, 'requireGrad')], [], [value ? 1 : 0])
    this.setRequiresGrad(value)
  }

  /**
   * Overwrites the value in place, converting dtype and device.
   *
   * @throws ShapeError (`ERR_SHAPE`) unless the shapes are equal.
   */
  assign(source: Tensor): this {
    if (!sameShape(this.shape, source.shape)) {
      throw new ShapeError(`assign: ${this.name || 'the variable'} is ${show(this.shape)}, got ${show(source.shape)}`, {
        op: 'assign',
        expected: show(this.shape),
        got: show(source.shape),
      })
    }
    record('assign', [this, source], {})
    hasAssigned = true
    return this
  }
}

let hasAssigned = false

/** Whether anything was assigned since the last call. */
export function takeAssigned(): boolean {
  const had = hasAssigned
  hasAssigned = false
  return had
}

function needFloat(dtype: DType, op: string): void {
  if (!isFloat(dtype))
    throw new DTypeError(`${op}: only float variables have gradients, got ${dtype}`, {
      op,
      expected: 'a float dtype',
      got: dtype,
    })
}
