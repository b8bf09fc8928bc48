// splitPairs: pairs into training, validation and test by what they were taken from, without sentences of one part in another.
import { ArgumentError } from '../errors.js'
import { normalize } from '../text/normalize.js'
import { told } from '../told.js'
import { object } from './check.js'
import type { TextPair } from './read-pairs.js'
import { type RandomShares, type Split, splitByGroup } from './splits.js'

type Part = keyof Split

export interface PairSplit<P extends TextPair = TextPair> {
  training: P[]
  validation: P[]
  test: P[]
  /** Pairs that were left out because their source or their target is in another part. */
  dropped: { training: number; validation: number }
}

export interface SplitPairsOptions<P extends TextPair = TextPair> {
  /** What may not be torn apart. @default the pair's `group` */
  group?: (pair: P) => string
}

const op = 'splitPairs'
const PARTS: readonly unknown[] = ['training', 'validation', 'test']

/**
 * Splits pairs by group, never by pair: all pairs of a verse, a document or a word are in one part. Either at random by shares, or as a function says of each pair;
 * that must say the same of all pairs of a group.
 *
 * No source of the test is a source of another part, and no target a target; nor any of validation in training. Such pairs are dropped, from training rather than
 * from validation, never from the test, and counted. Texts are the same if they are so after `text.normalize`, in lower case and without marks at their ends.
 *
 * ```ts
 * const pairs = ['mark.1', 'mark.2', 'ruth.1', 'ruth.2'].map((group, i) => ({ source: `verse ${i % 3}`, target: `verset ${i}`, group }))
 * const split = data.splitPairs(pairs, ({ group }) => (group.startsWith('ruth') ? 'test' : 'training'))
 * console.log(split.test.length, split.training.length, split.dropped.training)   // 2 1 1
 * ```
 *
 * @throws ArgumentError (`ERR_ARGUMENT`) for pairs without a group, shares that cannot be, and a function that tears a group apart or says something else.
 */
export function splitPairs<P extends TextPair>(
  pairs: readonly P[],
  how: RandomShares | ((pair: P) => Part),
  options: SplitPairsOptions<P> = {},
): PairSplit<P> {
  if (!Array.isArray(pairs)) throw wrong('pairs', 'an array', pairs)
  const { group = ownGroup } = object(options, 'options', op)
  if (typeof group !== 'function') throw wrong('group', 'a function', group)
  for (const pair of pairs) {
    const { source, target } = object(pair, 'each pair', op)
    if (typeof source !== 'string' || typeof target !== 'string') throw wrong('each pair', 'two texts', pair)
  }
  const groups = Array.from(pairs, (pair) => group(pair))
  for (const name of groups) if (typeof name !== 'string') throw wrong('each group', 'a string', name)
  const parts = typeof how === 'function' ? chosen(pairs, groups, how) : random(groups, how)

  const split: PairSplit<P> = { training: [], validation: [], test: [], dropped: { training: 0, validation: 0 } }
  const seen = new Set<string>()
  for (const part of ['test', 'validation', 'training'] as const) {
    const own: string[] = []
    for (const [i, pair] of pairs.entries()) {
      if (parts[i] !== part) continue
      const texts = [`s${key(pair.source)}`, `t${key(pair.target)}`]
      if (part !== 'test' && texts.some((text) => seen.has(text))) split.dropped[part]++
      else {
        split[part].push(pair)
        own.push(...texts)
      }
    }
    for (const text of own) seen.add(text)
  }
  return split
}

function ownGroup({ group }: TextPair): string {
  if (group !== undefined) return group
  throw new ArgumentError(`${op}: a pair has no group; options.group may name it: { group: (pair) => pair.source }`, {
    op,
    expected: 'a group',
    got: 'none',
  })
}

function chosen<P extends TextPair>(pairs: readonly P[], groups: readonly string[], choose: (pair: P) => Part): Part[] {
  const found = new Map<string, Part>()
  return Array.from(pairs, (pair, i) => {
    const part = choose(pair)
    if (!PARTS.includes(part)) throw wrong('what the function gives', 'training, validation or test', part)
    const name = groups[i] as string
    const before = found.get(name) ?? part
    if (before !== part)
      throw new ArgumentError(`${op}: the group '${told(name)}' is in ${before} and in ${part}`, { op, got: name })
    found.set(name, part)
    return part
  })
}

function random(groups: readonly string[], shares: RandomShares): Part[] {
  const split = splitByGroup(groups, shares)
  const parts = new Array<Part>(groups.length)
  for (const part of PARTS as Part[]) for (const row of split[part]) parts[row] = part
  return parts
}

/** What two texts share that a model would take for one. */
function key(text: string): string {
  return (
    normalize(text)
      .toLowerCase()
      .replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, '') || text
  )
}

function wrong(name: string, expected: string, got: unknown): ArgumentError {
  return new ArgumentError(`${op}: ${name} must be ${expected}, got ${told(got)}`, { op, expected, got: told(got) })
}
