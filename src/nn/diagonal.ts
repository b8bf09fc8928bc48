// What ParaGRU and ParaLSTM share: a map of the input and a diagonal of the state by layer and direction, and the choice of the solver.
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import type { Variable } from '../tensor/variable.js'
import { uniform } from './init.js'
import { isNewton, type Solver } from './para.js'
import { Stacked, type StackedOptions } from './stacked.js'

export interface DiagonalLayerOptions extends StackedOptions {
  /** As of `nn.functional.paraGRU`. @default 'sequential' */
  solver?: Solver
}

/** One layer in one direction. */
export interface DiagonalWeights {
  /** [3·H, I], for later layers [3·H, D·H]; rows gate by gate. */
  readonly weightIh: Variable
  /** [3, H]; of the ParaLSTM [5, H], the last two its peepholes. */
  readonly weightHh: Variable
  /** [3·H] */
  readonly biasIh: Variable | undefined
}

/** Layers and directions of one kind of recurrence whose state-to-state weights are diagonal. */
export abstract class Diagonal extends Stacked<DiagonalWeights> {
  readonly solver: Solver

  protected constructor(rows: number, inputSize: number, hiddenSize: number, options: DiagonalLayerOptions) {
    const name = new.target.name
    const { bias = true, solver = 'sequential', dtype, device } = needOptions(options, name)
    isNewton(solver, name)
    const bound = 1 / Math.sqrt(whole(hiddenSize, 'hiddenSize', name, 1))
    super(inputSize, hiddenSize, options, hiddenSize, (input) => {
      const make = (...shape: number[]): Variable => uniform(shape, -bound, bound, { dtype, device })
      return {
        weightIh: make(3 * hiddenSize, input),
        weightHh: make(rows, hiddenSize),
        biasIh: bias ? make(3 * hiddenSize) : undefined,
      }
    })
    this.solver = solver
  }
}
