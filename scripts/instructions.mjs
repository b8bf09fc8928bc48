// Instructions of one pass of each kernel, counted by valgrind with AVX2 and one thread: { rustc, counts } as JSON on stdout.
// `--write` renews tests/kernels/instructions.json, with which tests/kernels/instructions.test.ts compares them.
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { main, root, run, Stop } from './lib/run.mjs'
import { kernelBench } from './lib/steps.mjs'

const KERNELS = ['lstm', 'gru', 'scan'].flatMap((name) => [`${name}/forward`, `${name}/backward`])

await main(async () => {
  const program = await kernelBench('instructions')
  const counts = {}
  for (const kernel of KERNELS) {
    const [once, twice] = await Promise.all([collected(program, kernel, 1), collected(program, kernel, 2)])
    counts[kernel] = twice - once // what comes before and after the passes is the same in both
  }
  const rustc = spawnSync('rustc', ['--version'], { encoding: 'utf8' }).stdout.trim()
  const text = `${JSON.stringify({ rustc, counts }, null, 2)}\n`
  if (process.argv.includes('--write')) writeFileSync(join(root, 'tests/kernels/instructions.json'), text)
  process.stdout.write(text)
})

/** Instructions of a whole run. */
async function collected(program, kernel, passes) {
  let text = ''
  const args = ['--tool=callgrind', '--callgrind-out-file=/dev/null', program, kernel, String(passes)]
  const code = await run('valgrind', args, {
    quiet: true,
    onText: (piece) => {
      text += piece
    },
  })
  const count = /Collected : (\d+)/.exec(text)?.[1]
  if (code !== 0 || count === undefined) throw new Stop(`valgrind ${args.join(' ')} failed:\n${text}`)
  return Number(count)
}
