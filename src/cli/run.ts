// The command line: finds the command, parses its options, and turns errors into messages and exit codes.
import { type ParseArgsConfig, parseArgs, styleText } from 'node:util'
import { QuarterturnError } from '../errors.js'
import { editDistance } from '../text/edit-distance.js'
import { bench } from './bench/bench.js'
import { classify } from './classify.js'
import { type Arguments, type Command, Failure, type Terminal, UsageError } from './command.js'
import { cuda } from './cuda.js'
import { doctor } from './doctor.js'
import { pronounce } from './pronounce.js'
import { translate } from './translate.js'
import { version } from './version.js'

const commands: Readonly<Record<string, Command>> = { pronounce, translate, classify, doctor, bench, cuda }

/** Runs one command line. The exit codes: 0 done, 1 failed, 2 wrong usage. */
export async function run(argv: readonly string[], terminal: Terminal): Promise<number> {
  try {
    return await dispatch(argv, terminal)
  } catch (error) {
    if (error instanceof UsageError) {
      terminal.err(`quarterturn: ${error.message}\n`)
      return 2
    }
    if (error instanceof Failure || error instanceof QuarterturnError) {
      const code = error instanceof QuarterturnError ? ` (${error.code})` : ''
      terminal.err(`quarterturn: ${error.message}${code}\n`)
      return 1
    }
    throw error // a bug: it keeps its stack
  }
}

async function dispatch(argv: readonly string[], terminal: Terminal): Promise<number> {
  const [first, ...rest] = argv
  if (first === undefined) {
    terminal.err(help(terminal.color))
    return 2
  }
  if (first === '--version' || first === '-V') {
    terminal.out(`${version()}\n`)
    return 0
  }
  const name = first === 'help' || first === '--help' || first === '-h' ? rest[0] : first
  if (name === undefined) {
    terminal.out(help(terminal.color))
    return 0
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command === undefined) throw unknown(name)
  if (name !== first) {
    terminal.out(commandHelp(name, command, terminal.color))
    return 0
  }
  const args = parse(name, command, rest)
  if (args.values.help === true) {
    terminal.out(commandHelp(name, command, terminal.color))
    return 0
  }
  return await command.run(args, terminal)
}

function parse(name: string, command: Command, args: string[]): Arguments {
  const options: NonNullable<ParseArgsConfig['options']> = { ...command.options, help: { type: 'boolean', short: 'h' } }
  try {
    return parseArgs({ args, options, allowPositionals: true, strict: true }) as Arguments
  } catch (error) {
    // Its first sentence says what is wrong; the rest is advice for another program.
    const what = (error as Error).message.split('. ')[0]?.replace(/\.$/, '')
    throw new UsageError(`${name}: ${what}\nTry: quarterturn ${name} --help`)
  }
}

function unknown(name: string): UsageError {
  const near = Object.keys(commands).find((known) => editDistance([...known], [...name]) <= 2)
  const kind = name.startsWith('-') ? 'option' : 'command'
  return new UsageError(
    `there is no ${kind} ${name}${near === undefined ? '' : `; did you mean ${near}?`}\nTry: quarterturn --help`,
  )
}

function help(color: boolean): string {
  const width = Math.max(...Object.entries(commands).map(([name, { positionals }]) => `${name} ${positionals}`.length))
  const list = Object.entries(commands).map(
    ([name, { positionals, summary }]) => `  ${`${name} ${positionals}`.padEnd(width)}   ${summary}`,
  )
  return `${[
    `${bold('quarterturn', color)} ${version()}: recurrent and residual networks, trained and run natively in Node`,
    '',
    'Usage: quarterturn COMMAND [OPTIONS]',
    '',
    ...list,
    '',
    '  --help, -h      this text; after a command: its options',
    '  --version, -V   the version',
    '',
    'Exit codes: 0 done, 1 failed, 2 wrong usage. NO_COLOR=1 switches colours off.',
  ].join('\n')}\n`
}

function commandHelp(
  name: string,
  { positionals, summary, options, describe, notes }: Command,
  color: boolean,
): string {
  const flags: [string, string][] = Object.entries(options).map(([option, { type, short }]) => [
    `--${option}${type === 'string' ? ' VALUE' : ''}${short === undefined ? '' : `, -${short}`}`,
    describe[option] ?? '',
  ])
  flags.push(['--help, -h', 'this text'])
  const width = Math.max(...flags.map(([flag]) => flag.length))
  return `${[
    `${bold(`quarterturn ${name}`, color)}: ${summary}`,
    '',
    `Usage: quarterturn ${name} [OPTIONS]${positionals === '' ? '' : ` ${positionals}`}`,
    '',
    ...flags.map(([flag, text]) => `  ${flag.padEnd(width)}   ${text}`),
    ...(notes === undefined ? [] : ['', notes]),
  ].join('\n')}\n`
}

function bold(text: string, color: boolean): string {
  return color ? styleText('bold', text) : text
}
