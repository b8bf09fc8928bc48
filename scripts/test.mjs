// npm test: builds what is missing, runs the Rust and the TypeScript tests and ends with the line `N passed, N failed, N skipped`.
// Arguments are passed on to vitest (a part of a file name, `-t name`), and the Rust tests are left out then. `--built`: nothing is built.
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { main, root, run, runTool, Stop, say } from './lib/run.mjs'
import { buildAll, cargoFlags, emulation } from './lib/steps.mjs'

await main(async () => {
  const built = process.argv.includes('--built')
  const filter = process.argv.slice(2).filter((arg) => arg !== '--built')
  const total = { passed: 0, failed: 0, skipped: 0 }
  try {
    const env = built ? {} : await buildAll()
    if (!built && filter.length === 0) add(total, await rust(env))
    add(total, await typescript(env, filter))
  } catch (error) {
    if (!(error instanceof Stop)) throw error
    say(`\n${error.message}`)
    total.failed += 1 // what cannot be built cannot pass
  }
  process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`)
  return total.failed > 0 ? 1 : 0
})

function add(total, part) {
  for (const key of Object.keys(total)) total[key] += part[key]
}

/** The tests of the crates. In release mode, because the C++ part of libtorch's bindings takes minutes to compile and is there already. */
async function rust(env) {
  let text = ''
  const code = await run('cargo', ['test', ...cargoFlags(), ...emulation, '--no-fail-fast'], {
    env,
    onText: (piece) => {
      text += piece
    },
  })
  const total = countRust(stripVTControlCharacters(text))
  return crashed(total, code, 'cargo test')
}

function countRust(text) {
  const total = { passed: 0, failed: 0, skipped: 0 }
  for (const [, passed, failed, ignored] of text.matchAll(
    /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;/gm,
  )) {
    add(total, { passed: Number(passed), failed: Number(failed), skipped: Number(ignored) })
  }
  return total
}

async function typescript(env, filter) {
  const report = join(root, 'build', 'vitest.json')
  mkdirSync(join(root, 'build'), { recursive: true })
  rmSync(report, { force: true })
  const args = [
    'run',
    '--config',
    '.config/vitest.config.ts',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ]
  const code = await runTool('vitest', [...args, ...filter], { env })
  const total = existsSync(report)
    ? countTypeScript(JSON.parse(readFileSync(report, 'utf8')))
    : { passed: 0, failed: 0, skipped: 0 }
  return crashed(total, code, 'vitest')
}

function countTypeScript(report) {
  // A file that fails before its first test has no failed test in it, and is a failure all the same.
  const broken = report.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  )
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken.length,
    skipped: report.numPendingTests + report.numTodoTests,
  }
}

/** A runner that fails without a failed test (a crash, a compile error) counts as one failure. */
function crashed(total, code, name) {
  if (code === 0 || total.failed > 0) return total
  say(`\n${name} ended with exit code ${code}`)
  return { ...total, failed: 1 }
}
