// What a contender is: one library that makes the models of spec.ts, in a process of its own.
import type { Spec } from './spec.js'

/** A library, loaded. */
export interface Contender {
  /** Name, version, backend, threads. */
  about: string
  /** @throws Unable with the reason, where the library cannot make this model. */
  open(spec: Spec): Promise<Model>
}

export interface Model<Batch = unknown> {
  /** Where it is not quite the same model: why. Its losses are then not compared. */
  differs?: string
  /** Why there is no `step`. */
  untrained?: string
  /** Numbers made into whatever the library computes with, once, outside what is timed. */
  batch(x: Float32Array, y: Float32Array | Int32Array): Batch
  /** One step of training: forward, backward, Adam. Gives the loss before the step. */
  step?(batch: Batch): Promise<number>
  /** The outputs [B, O], as an array that JavaScript can read. */
  predict(batch: Batch): Promise<ArrayLike<number>>
}

/** The library cannot do this: the table says so. */
export class Unable extends Error {
  override name = 'Unable'
}

/** What is asked of the process of a contender. Times in ms. */
export type Request =
  | { do: 'load'; contender: string; folder: string; threads: number; version: string }
  | { do: 'open'; spec: Spec }
  | { do: 'check' }
  | { do: 'run'; what: 'train' | 'infer'; ms: number }
  | { do: 'task'; target: number; ms: number }

export interface Loaded {
  about: string
}
export interface Opened {
  differs?: string
  untrained?: string
}
export interface Checked {
  losses: number[]
  /** Outputs before the first step. */
  output: number[]
}
export interface Ran {
  /** Per step. */
  ms: number
  steps: number
  /** p99 of the delay of the event loop meanwhile. */
  delay: number
}
export interface Finished {
  /** Whether the loss was reached. */
  reached: boolean
  seconds: number
  steps: number
  loss: number
  delay: number
  /** Seconds and mean loss along the way, at most 60 points. */
  curve: [number, number][]
}
export type Answer<R extends Request> = R extends { do: 'load' }
  ? Loaded
  : R extends { do: 'open' }
    ? Opened
    : R extends { do: 'check' }
      ? Checked
      : R extends { do: 'run' }
        ? Ran
        : Finished

export type Reply = { ok: object } | { unable: string } | { error: string }
