// Operations on slots rather than numbers: releases, requests, variables, devices, gradients, optimizers, programs.

import { type Device, deviceCode } from '../device.js'
import { type DType, dtypes } from '../dtype.js'
import type { Meta } from '../record.js'
import { at, flag, like, type None, nothing, type OpSpec, op } from './spec.js'

/** Results that the caller has worked out: programs and gradients take the shapes of other tensors. */
export interface Given {
  metas: readonly Meta[]
}

/** An entry that only has an effect. */
function effect<A>(attributes: (a: A) => readonly number[]): OpSpec<A> {
  return { outputs: () => [], attributes, differentiable: false, anyDevice: true }
}

function given<A>(attributes: (a: A) => readonly number[]): OpSpec<A & Given> {
  return { outputs: (_, { metas }) => [...metas], attributes }
}

/** The rates of a step for each number of steps that may have been done when it runs. */
export interface Rates {
  /** 0 no check, 1 a gradient that is not finite is an error, 2 skips the step. */
  policy: number
  base: number
  rates: readonly number[]
}

const rateWords = (n: number, { policy, base, rates }: Rates): number[] => [n, policy, base, rates.length, ...rates]

export const control = {
  free: effect<None>(nothing),
  read: effect<{ request: number }>(({ request }) => [request]),
  mark: effect<{ request: number }>(({ request }) => [request]),
  save: effect<{ request: number; staging: number }>(({ request, staging }) => [request, staging]),
  threads: effect<{ count: number }>(({ count }) => [count]),
  assign: effect<None>(nothing),
  requireGrad: effect<{ requiresGrad: boolean }>(({ requiresGrad }) => [flag(requiresGrad)]),
  define: effect<{ words: readonly number[] }>(({ words }) => words),
  undefine: effect<{ program: number }>(({ program }) => [program]),

  variable: op<{ requiresGrad: boolean }>({
    outputs: (inputs) => [like(at(inputs, 0))],
    attributes: ({ requiresGrad }) => [flag(requiresGrad)],
    differentiable: false,
  }),
  detach: op<None>({
    outputs: (inputs) => [like(at(inputs, 0))],
    attributes: nothing,
    view: true,
    differentiable: false,
  }),
  clone: op<None>({ outputs: (inputs) => [like(at(inputs, 0))], attributes: nothing }),
  to: op<{ dtype: DType; device: Device }>({
    outputs: (inputs, { dtype, device }) => [{ shape: at(inputs, 0).shape, dtype, device }],
    attributes: ({ dtype, device }) => [dtypes[dtype].code, deviceCode(device)],
  }),

  grad: given<{ retain: boolean; createGraph: boolean; zeros: boolean }>(({ retain, createGraph, zeros }) => [
    flag(retain),
    flag(createGraph),
    flag(zeros),
  ]),
  foreachAdd: given<None>(nothing),
  foreachScale: given<{ factor: number }>(({ factor }) => [factor]),
  foreachNorm: op<None>({ outputs: (inputs) => [like(at(inputs, 0), [])], attributes: nothing }),
  foreachClip: given<{ maxNorm: number }>(({ maxNorm }) => [maxNorm]),

  sgd: effect<Rates & { n: number; momentum: number; dampening: number; weightDecay: number; nesterov: boolean }>(
    (a) => [...rateWords(a.n, a), a.momentum, a.dampening, a.weightDecay, flag(a.nesterov)],
  ),
  adamw: effect<Rates & { n: number; beta1: number; beta2: number; eps: number; weightDecay: number }>((a) => [
    ...rateWords(a.n, a),
    a.beta1,
    a.beta2,
    a.eps,
    a.weightDecay,
  ]),

  checkpoint: given<{ program: number }>(({ program }) => [program]),
  customGrad: given<{ forward: number; backward: number }>(({ forward, backward }) => [forward, backward]),
  scan: given<{
    program: number
    constants: number
    states: number
    sequences: number
    axis: number
    reverse: boolean
  }>((a) => [a.program, a.constants, a.states, a.sequences, a.axis, flag(a.reverse)]),
}
