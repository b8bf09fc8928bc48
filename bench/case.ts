// What a bench case is: two sides to compare, or a value to measure.
import type { Peer } from './peer.js'

/** What the front door was asked for. */
export interface Settings {
  rounds: number | undefined
  threads: number | undefined
}

export interface Context {
  threads: number
  rounds: number
  /** Starts bench/ours/`name` with options. */
  ours(name: string, options?: object, env?: Record<string, string>): Promise<Peer>
  /** Starts bench/opponents/`name` in the cached Python with torch 2.11.0. */
  python(name: string, options?: object, env?: Record<string, string>): Promise<Peer>
  /** Starts bench/opponents/js/`name`.mjs on Node 24, where the JavaScript opponents are installed. */
  javascript(name: string, options?: object): Promise<Peer>
}

interface Common {
  /** `family/name`, part of the interface. */
  id: string
  unit: 'ms' | 'µs' | 's' | 'MB' | '%' | 'steps'
  /** Threads of both sides unless `--threads` is given; absent: all that the machine has. */
  threads?: number
  /** Rounds unless `--rounds` is given. */
  rounds?: number
}

/** Compares two sides: one number each per round; the ratio is theirs / ours, so more is better. */
export interface RatioCase extends Common {
  kind: 'ratio'
  opponent: string
  /** The ratio whose first quartile is to be reached. */
  goal: number
  start(context: Context): Promise<Duel>
}

export interface Duel {
  /** Throws unless both sides compute the same. Called once, before anything is timed. */
  check(): Promise<void>
  ours(): Promise<number>
  theirs(): Promise<number>
  /**
   * The share of all processors that other processes took since this was last asked.
   * Where it is there, rounds with more than a little are dropped and repeated.
   */
  others?(): Promise<number>
  /** What is worth saying beside the ratio, by name. Called once, after the rounds, with the medians. */
  beside?(medians: { ours: number; theirs: number }): Promise<Record<string, number>>
  close(): Promise<void>
}

/** Measures one value per round; the median counts. */
export interface ValueCase extends Common {
  kind: 'value'
  /** The value that must not be exceeded. */
  goal: number
  measure(context: Context, round: number): Promise<number>
}

/** What a case needs and this machine has not: said, and no failure. */
export class Absent extends Error {
  override name = 'Absent'
}

export type BenchCase = RatioCase | ValueCase
