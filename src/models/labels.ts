// Names of classes: checked, numbered, and the answers that probabilities of them are.
import { ArgumentError } from '../errors.js'

/** What a classifier makes of one input. */
export interface Classified {
  /** The most probable label. */
  label: string
  /** Its probability. */
  probability: number
  /** Those of all labels. */
  probabilities: Record<string, number>
}

/** @throws ArgumentError unless these are two different strings or more. */
export function checkLabels(labels: readonly string[], op: string): string[] {
  if (
    Array.isArray(labels) &&
    labels.length >= 2 &&
    new Set(labels).size === labels.length &&
    labels.every((label) => typeof label === 'string')
  )
    return [...labels]
  throw new ArgumentError(`${op}: labels must be at least two different strings`, {
    op,
    got: Array.isArray(labels) ? `${labels.length}` : typeof labels,
  })
}

/** The number of a label. */
export function labelId(labels: readonly string[], label: string, op: string): number {
  const id = labels.indexOf(label)
  if (id >= 0) return id
  const got = typeof label === 'string' ? label : typeof label
  const expected = labels.join(', ')
  throw new ArgumentError(
    `${op}: there is no label ${typeof label === 'string' ? JSON.stringify(label) : got}; the labels are ${expected}`,
    { op, expected, got },
  )
}

/** The answers of rows of probabilities [B, labels]. */
export function classified(labels: readonly string[], values: ArrayLike<number>): Classified[] {
  const count = labels.length
  return Array.from({ length: values.length / count }, (_, row) => {
    const own = labels.map((_, i) => values[row * count + i] as number)
    let best = 0
    for (let i = 1; i < count; i++) if ((own[i] as number) > (own[best] as number)) best = i
    return {
      label: labels[best] as string,
      probability: own[best] as number,
      probabilities: Object.fromEntries(labels.map((label, i) => [label, own[i] as number])),
    }
  })
}
