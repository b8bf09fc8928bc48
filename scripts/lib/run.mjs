// Small helpers shared by the scripts: run a program, say something, stop with a message.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The root of the repository. */
export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')

/** A failure that the person at the terminal can mend: printed without a stack. */
export class Stop extends Error {
  name = 'Stop'
}

/** Prints a line about what is going on, on stderr so that stdout stays clean for results. */
export function say(text) {
  process.stderr.write(`${text}\n`)
}

/**
 * Runs a program in the repository and waits for it.
 * `onText` receives what it prints (which is passed on too, unless `quiet`); the result is its exit code, 128 + n after signal n.
 */
export function run(command, args, { env = {}, onText, quiet = false, cwd = root } = {}) {
  const piped = onText !== undefined || quiet
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: piped ? ['inherit', 'pipe', 'pipe'] : 'inherit',
    })
    for (const [from, to] of piped
      ? [
          [child.stdout, process.stdout],
          [child.stderr, process.stderr],
        ]
      : []) {
      from.setEncoding('utf8')
      from.on('data', (text) => {
        if (!quiet) to.write(text)
        onText?.(text)
      })
    }
    child.on('error', (error) => {
      reject(error.code === 'ENOENT' ? new Stop(`${command} was not found. Install it and run this again.`) : error)
    })
    child.on('close', (code, signal) => resolve(signal === null ? code : 128 + (signals[signal] ?? 0)))
  })
}

const signals = { SIGHUP: 1, SIGINT: 2, SIGABRT: 6, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15 }

/** Like `run`, but an exit code other than 0 stops everything. */
export async function must(command, args, options) {
  const code = await run(command, args, options)
  if (code !== 0) throw new Stop(`${[command, ...args].join(' ')} failed with exit code ${code}`)
}

/** The programs of installed packages. Run by Node itself: quicker than npx, and possible where there is no npm. */
const TOOLS = {
  biome: '@biomejs/biome/bin/biome',
  knip: 'knip/bin/knip.js',
  napi: '@napi-rs/cli/dist/cli.js',
  tsc: 'typescript/bin/tsc',
  typedoc: 'typedoc/bin/typedoc',
  vitest: 'vitest/vitest.mjs',
}

/** Runs the program of an installed package. */
export function runTool(name, args, options) {
  return run(process.execPath, [join(root, 'node_modules', TOOLS[name]), ...args], options)
}

/** Like `runTool`, but an exit code other than 0 stops everything. */
export async function mustTool(name, args, options) {
  const code = await runTool(name, args, options)
  if (code !== 0) throw new Stop(`${[name, ...args].join(' ')} failed with exit code ${code}`)
}

/** Runs the body of a script: a `Stop` ends it with its message and exit code 1. */
export async function main(body) {
  try {
    process.exitCode = (await body()) ?? 0
  } catch (error) {
    if (!(error instanceof Stop)) throw error
    say(`\n${error.message}`)
    process.exitCode = 1
  }
}
