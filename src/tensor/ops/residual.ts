// The fused blocks along depth: the highway stack, residual addition with norm, the residual MLP.
import { sameShape } from '../shape.js'
import { type Nonlinearity, nonlinearities } from './recurrent.js'
import { at, badShape, flag, type Input, like, needKernelsHere, needRank, needSameDType, op } from './spec.js'

export const residual = {
  highway: op<{ nonlinearity: Nonlinearity }>({
    outputs: (inputs) => {
      const [x, weight] = [at(inputs, 0), at(inputs, 1)]
      needBlock(inputs, 'highway')
      needRank(weight, 3, 'highway', 'weight', '[K, 2D, D]')
      const [layers, , width] = weight.shape as [number, number, number]
      needShape(weight, [layers, 2 * width, width], 'highway', 'weight', '[K, 2D, D]')
      needShape(inputs[2], [layers, 2 * width], 'highway', 'bias', `[K=${layers}, 2D=${2 * width}]`)
      if (x.shape.at(-1) !== width) throw badShape('highway', 'input', `[…, D=${width}]`, x.shape)
      return [like(x)]
    },
    attributes: ({ nonlinearity }) => [nonlinearities[nonlinearity]],
  }),
  residualNorm: op<{ rms: boolean; eps: number }>({
    outputs: (inputs) => {
      const x = at(inputs, 0)
      needBlock(inputs, 'residualNorm')
      const width = x.shape.at(-1)
      if (width === undefined) throw badShape('residualNorm', 'input', '[…, D]', x.shape)
      needShape(inputs[1], x.shape, 'residualNorm', 'residual', `[${x.shape.join(', ')}], the shape of the input`)
      needVector(inputs[2], width, 'residualNorm', 'weight', 'D')
      needVector(inputs[3], width, 'residualNorm', 'bias', 'D')
      return [like(x), like(x)]
    },
    attributes: ({ rms, eps }) => [flag(rms), eps],
  }),
  residualMLP: op<{ eps: number }>({
    outputs: (inputs) => {
      const [x, weight1, weight2] = [at(inputs, 0), at(inputs, 3), at(inputs, 5)]
      needBlock(inputs, 'residualMLP')
      needRank(weight1, 2, 'residualMLP', 'weight1', '[F, D]')
      const [hidden, width] = weight1.shape as [number, number]
      needShape(weight2, [width, hidden], 'residualMLP', 'weight2', `[D=${width}, F=${hidden}]`)
      needVector(inputs[1], width, 'residualMLP', 'normWeight', 'D')
      needVector(inputs[2], width, 'residualMLP', 'normBias', 'D')
      needVector(inputs[4], hidden, 'residualMLP', 'bias1', 'F')
      needVector(inputs[6], width, 'residualMLP', 'bias2', 'D')
      if (x.shape.at(-1) !== width) throw badShape('residualMLP', 'input', `[…, D=${width}]`, x.shape)
      return [like(x)]
    },
    attributes: ({ eps }) => [eps],
  }),
}

function needBlock(inputs: readonly Input[], name: string): void {
  needKernelsHere(at(inputs, 0), name)
  needSameDType(inputs, name)
}

function needShape(x: Input, shape: readonly number[], name: string, what: string, form: string): void {
  if (x !== undefined && !sameShape(x.shape, shape)) throw badShape(name, what, form, x.shape)
}

function needVector(x: Input, size: number, name: string, what: string, letter: string): void {
  needShape(x, [size], name, what, `[${letter}=${size}]`)
}
