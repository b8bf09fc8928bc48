// Operations on slots rather than numbers: releases, requests, variables, devices, gradients, optimizers, programs.

import { type Device, deviceCode } from '../device.js'
import { type DType, dtypes } from '../dtype.js'
import type { Meta } from '../record.js'
import type { Draw } from './create.js'
import { at, flag, like, list, type None, nothing, type OpSpec, op } from './spec.js'

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
  /** Whether the list after the gradients holds the float32 masters of parameters of half precision. */
  masters: boolean
}

/** A step over `n` parameters: what all optimizers send first. */
export interface StepAttributes extends Rates {
  n: number
}

/** A step: the words of its schedule, then the options of its rule. */
function step<A extends object>(options: (a: A) => readonly number[]): OpSpec<StepAttributes & A> {
  return effect((a) => [a.n, a.policy, a.base, a.rates.length, ...a.rates, flag(a.masters), ...options(a)])
}

export interface Moments {
  beta1: number
  beta2: number
  eps: number
  weightDecay: number
}

const moments = (a: Moments): number[] => [a.beta1, a.beta2, a.eps, a.weightDecay]

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

  sgd: step<{ momentum: number; dampening: number; weightDecay: number; nesterov: boolean }>((a) => [
    a.momentum,
    a.dampening,
    a.weightDecay,
    flag(a.nesterov),
  ]),
  adam: step<Moments>(moments),
  adamw: step<Moments>(moments),
  nadam: step<Moments & { momentumDecay: number }>((a) => [...moments(a), a.momentumDecay]),
  rmsprop: step<{ alpha: number; eps: number; weightDecay: number; momentum: number; centered: boolean }>((a) => [
    a.alpha,
    a.eps,
    a.weightDecay,
    a.momentum,
    flag(a.centered),
  ]),
  lion: step<Omit<Moments, 'eps'>>((a) => [a.beta1, a.beta2, a.weightDecay]),
  adafactor: step<{ beta2Decay: number; eps1: number; eps2: number; clipThreshold: number; weightDecay: number }>(
    (a) => [a.beta2Decay, a.eps1, a.eps2, a.clipThreshold, a.weightDecay],
  ),
  average: effect<{ weight: number }>(({ weight }) => [weight]),

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
  search: { ...given<SearchAttributes>(searchWords), differentiable: false as const },
}

/** A search as src/tensor/search.ts records it. */
export interface SearchAttributes {
  program: number
  token: number
  states: number
  contexts: number
  batch: number
  beam: number
  wanted: number
  start: number
  end: number
  alpha: number
  attention: boolean
  lengths: readonly number[]
  banned: readonly number[]
  prefix: readonly (readonly number[])[]
  sampling: ({ temperature: number; topK: number; topP: number } & Draw) | undefined
}

function searchWords(a: SearchAttributes): number[] {
  const words = [a.program, a.token, a.states, a.contexts, a.batch, a.beam, a.wanted, a.start, a.end, a.alpha]
  words.push(flag(a.attention), ...list(a.lengths), ...list(a.banned), ...a.prefix.flatMap(list))
  const { sampling: s } = a
  if (s === undefined) words.push(0)
  else words.push(1, s.temperature, s.topK, s.topP, s.keyLow, s.keyHigh, s.offset)
  return words
}
