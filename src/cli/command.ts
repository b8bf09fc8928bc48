// What a command of the command line is, and what it may use.
import type { ParseArgsConfig } from 'node:util'

/** Where a command reads and writes: results to `out`, everything else to `err`. */
export interface Terminal {
  out(text: string): unknown
  err(text: string): unknown
  /** What a command reads that is given nothing else to read. */
  input: (AsyncIterable<Uint8Array | string> | Iterable<Uint8Array | string>) & { isTTY?: boolean; destroy?(): unknown }
  /** Whether results may be coloured: a terminal that wants it, and no `NO_COLOR`. */
  color: boolean
}

export interface Command {
  /** One line for the list of commands. */
  summary: string
  /** What follows the name: `MODEL-FOLDER WORD...`. */
  positionals: string
  /** Options beside `--help`; `describe` has a line for each. */
  options: NonNullable<ParseArgsConfig['options']>
  describe: Record<string, string>
  /** Lines below the options: examples, files. */
  notes?: string
  /** Returns the exit code: 0 done, 1 failed. */
  run(args: Arguments, terminal: Terminal): Promise<number>
}

export interface Arguments {
  positionals: string[]
  values: Record<string, string | boolean | (string | boolean)[] | undefined>
}

/** The command line itself is wrong: exit code 2, and where help is found. */
export class UsageError extends Error {
  override name = 'UsageError'
}

/** A failure that is no bug: exit code 1 and its message. */
export class Failure extends Error {
  override name = 'Failure'
}

/** The number that an option gives, at least 1. */
export function count(args: Arguments, name: string, fallback: number): number {
  const text = args.values[name]
  if (text === undefined) return fallback
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1)
    throw new UsageError(`--${name} must be a whole number ≥ 1, got ${String(text)}`)
  return value
}
