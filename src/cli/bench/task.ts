// The real task: in which of eight languages is a country, a currency or a language named? The names are those that every Node brings along (ICU).
import type { Spec } from './spec.js'

const LANGUAGES = ['en', 'de', 'fr', 'es', 'pl', 'tr', 'fi', 'hu'] as const
const BATCH = 32
const STEPS = 20
const HIDDEN = 64
/** Characters that are told apart; all rarer ones are one. */
const ALPHABET = 47

/** The loss to reach: the mean over the last steps. Guessing gives ln 8 = 2.08. */
export const TARGET = 1

export interface Task {
  spec: Spec
  /** Each epoch has the same batches, in the same order for all. */
  batches: { x: Float32Array; y: Int32Array }[]
  names: number
}

export const DESCRIPTION = `In which of ${LANGUAGES.length} languages is a country, a currency or a language named? LSTM(${HIDDEN}) over its letters, batch ${BATCH}, to a training loss of ${TARGET}.`

/** @throws Error where this Node has the names in English alone. */
export function makeTask(): Task {
  const all = LANGUAGES.flatMap((language, label) => namesIn(language).map((name) => ({ name, label })))
  // What is called the same in two of the languages has no answer.
  const times = new Map<string, number>()
  for (const { name } of all) times.set(name, (times.get(name) ?? 0) + 1)
  const samples = all.filter(({ name }) => times.get(name) === 1)
  if (samples.length < 1000) throw new Error('this Node has the names of countries in English alone')
  shuffle(samples)
  const letters = alphabet(samples.map(({ name }) => name))
  const inputSize = ALPHABET + 1
  const batches: Task['batches'] = []
  for (let begin = 0; begin + BATCH <= samples.length; begin += BATCH) {
    const x = new Float32Array(BATCH * STEPS * inputSize)
    const y = new Int32Array(BATCH)
    for (const [b, { name, label }] of samples.slice(begin, begin + BATCH).entries()) {
      y[b] = label
      // At the end of the sequence, zeros before it: the last step is what is read.
      const shown = [...name].slice(-STEPS)
      for (const [i, letter] of shown.entries()) {
        const t = STEPS - shown.length + i
        x[(b * STEPS + t) * inputSize + (letters.get(letter) ?? ALPHABET)] = 1
      }
    }
    batches.push({ x, y })
  }
  const spec: Spec = {
    kind: 'lstm',
    batch: BATCH,
    steps: STEPS,
    inputSize,
    hiddenSize: HIDDEN,
    outputSize: LANGUAGES.length,
    loss: 'crossEntropy',
    lr: 0.01,
  }
  return { spec, batches, names: samples.length }
}

function namesIn(language: string): string[] {
  const capitals = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ']
  const pairs = capitals.flatMap((a) => capitals.map((b) => a + b))
  const of = (type: 'region' | 'language' | 'currency', codes: string[]) => {
    const names = new Intl.DisplayNames([language], { type, fallback: 'none' })
    return codes.map((code) => names.of(code))
  }
  const found = [
    ...of('region', pairs),
    ...of(
      'language',
      pairs.map((code) => code.toLowerCase()),
    ),
    ...of('currency', Intl.supportedValuesOf('currency')),
  ]
  return [...new Set(found.filter((name) => name !== undefined).map((name) => name.toLowerCase()))]
}

/** The commonest letters, in a fixed order. */
function alphabet(names: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const name of names) for (const letter of name) counts.set(letter, (counts.get(letter) ?? 0) + 1)
  const sorted = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
  return new Map(sorted.slice(0, ALPHABET).map(([letter], index) => [letter, index]))
}

/** The same order in every process (Fisher and Yates, by a linear congruential generator). */
function shuffle(items: unknown[]): void {
  let state = 1
  for (let i = items.length - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    const j = Math.floor((state / 2 ** 32) * (i + 1))
    ;[items[i], items[j]] = [items[j], items[i]]
  }
}
