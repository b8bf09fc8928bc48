// What pronounce and translate have in common: the model that they are told of, and how wide it searches.
import { type Arguments, type Command, count, UsageError } from './command.js'

/** Options of whatever decodes. */
export const decodingOptions = {
  beam: { type: 'string', short: 'b' },
  all: { type: 'boolean', short: 'a' },
  json: { type: 'boolean' },
} satisfies Command['options']

/** What each of them means, for one `thing` (a word, a text) and the `measure` that is shown of it. */
export function decodingHelp(thing: string, measure: string): Record<keyof typeof decodingOptions, string> {
  return {
    beam: 'hypotheses kept by beam search; 1 is greedy (default 4)',
    all: `show every hypothesis, best first, with its ${measure}`,
    json: `one JSON object per ${thing}`,
  }
}

/** The folder of the model, and what follows it: `things`. */
export function modelAndRest(name: string, args: Arguments, things: string): { folder: string; rest: string[] } {
  const [folder, ...rest] = args.positionals
  if (folder !== undefined) return { folder, rest }
  throw new UsageError(`${name}: name the folder of a model, then ${things}\nTry: quarterturn ${name} --help`)
}

/** How many hypotheses are kept, before the model is there to say how many may be. */
export function beamOf(args: Arguments): number {
  return count(args, 'beam', 4)
}

/** @throws UsageError for a beam that is wider than what a model writes. */
export function checkBeam(name: string, beam: number, { size }: { size: number }): void {
  const widest = size - 1
  if (beam > widest) throw new UsageError(`${name}: --beam must be at most ${widest} for this model, got ${beam}`)
}
