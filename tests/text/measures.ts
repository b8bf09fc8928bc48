// What sacreBLEU says of the corpora of measures.py.
import { readFileSync } from 'node:fs'
import type { text } from 'quarterturn'

interface Corpus {
  name: string
  hypotheses: string[]
  references: string[][]
  bleu: {
    options: text.BleuOptions
    score: number
    precisions: number[]
    bp: number
    counts: number[]
    totals: number[]
    hypothesisLength: number
    referenceLength: number
    signature: string
  }[]
  chrf: { options: text.ChrFOptions; score: number; name: string; signature: string }[]
}

interface Tested {
  score: number
  mean: number
  ci: number
  p: number
}

interface Measures {
  corpora: Corpus[]
  paired: {
    references: string[]
    baseline: string[]
    system: string[]
    samples: number
    results: { BLEU: [Tested, Tested]; chrF2: [Tested, Tested] }
  }
}

export const { corpora, paired } = JSON.parse(
  readFileSync(new URL('fixtures/measures.json', import.meta.url), 'utf8'),
) as Measures

/** Ours with sacreBLEU's version in place of our own. */
export const asTheirs = (signature: string): string =>
  signature.replace(/\|order:\d+/, '').replace(/version:quarterturn-\d+\.\d+\.\d+\S*$/, 'version:2.6.0')
