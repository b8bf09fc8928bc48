// What a comparison found: the JSON that `--json` prints, and what the table and the page are made of.
import type { Kind, Size, Spec } from './spec.js'
import type { Quartiles } from './statistics.js'

export interface Report {
  quarterturn: string
  date: string
  machine: Machine
  settings: { threads: number; seconds: number }
  contenders: Participant[]
  cases: CaseReport[]
  task?: TaskReport
}

export interface Machine {
  cpu: string
  cores: number
  memoryGB: number
  node: string
  /** Of other people's libraries, where it is another. */
  peerNode?: string
  platform: string
}

export interface Participant {
  id: string
  name: string
  state: 'present' | 'absent' | 'failed'
  /** Versions and backend. */
  about?: string
  /** Of one that failed. */
  why?: string
  /** Of one that is absent: the command that brings it. */
  install?: string
}

export interface CaseReport {
  kind: Kind
  size: Size
  spec: Spec
  entries: Entrant[]
}

/** What one contender did in a case. Times in ms. */
export interface Entrant {
  id: string
  train: Figure | Missing
  infer: Figure | Missing
  /** Where it is not quite the same model: why. */
  differs?: string
}

export interface Figure extends Quartiles {
  rounds: number
  /** p99 of the delay of the event loop meanwhile: the median of the rounds. */
  delay: number
}

export interface Missing {
  why: string
}

export interface TaskReport {
  description: string
  target: number
  names: number
  spec: Spec
  entries: ({ id: string } & (TaskFigure | Missing))[]
}

export interface TaskFigure {
  seconds: number
  steps: number
  delay: number
  curve: [seconds: number, loss: number][]
}

export function nameOf(report: Report, id: string): string {
  return report.contenders.find((each) => each.id === id)?.name ?? id
}

export function isFigure(figure: Figure | Missing): figure is Figure {
  return 'median' in figure
}

/** 0.043 ms, 3.1 ms, 120 ms, 2.4 s */
export function milliseconds(ms: number): string {
  return ms >= 1000 ? `${digits(ms / 1000)} s` : `${digits(ms)} ms`
}

/** Two digits that count, three from 100 on. */
export function digits(value: number): string {
  if (value >= 100) return value.toFixed(0)
  if (value === 0) return '0'
  return Number(value.toPrecision(2)).toString()
}
