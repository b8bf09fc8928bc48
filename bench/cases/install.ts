// From `npm install` to the first trained step, and what the packages weigh. The registry is on the loopback device: nothing but the packages is timed.
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { BenchCase } from '../case.js'

/** What scripts/registry.mjs prints. */
interface Registry {
  url: string
  tools: string
  nodes: Record<string, string>
  packages: { name: string; folder: string; tarball: string }[]
}

/** Packs, publishes and serves the packages while `body` runs. */
async function withRegistry<T>(body: (registry: Registry) => T): Promise<T> {
  const child = spawn(process.execPath, ['scripts/registry.mjs', '--json', '--built'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  try {
    return body(await printed(child))
  } finally {
    child.stdin.end()
  }
}

function printed(child: ReturnType<typeof spawn>): Promise<Registry> {
  return new Promise((resolve, reject) => {
    let text = ''
    child.stdout?.on('data', (chunk) => {
      text += chunk
      if (text.includes('\n')) resolve(JSON.parse(text))
    })
    child.on('error', reject)
    child.on('close', (code) => reject(new Error(`the registry ended with exit code ${code}`)))
  })
}

const FIRST_STEP = `
import { grad, nn, optim, tensor } from 'quarterturn'
const model = new nn.Linear(2, 1)
const optimizer = optim.adamW({ lr: 0.01 })(model.parameters())
const loss = nn.functional.mseLoss(model.forward(tensor([[1, 2]])), tensor([[3]]))
optimizer.step(grad(loss, model.parameters()))
await model.weight.data()
`

/** Seconds from `npm install` in an empty folder to the end of the first step, in an empty environment. */
function firstStep({ url, tools, nodes }: Registry): number {
  const folder = mkdtempSync(join(tmpdir(), 'quarterturn-first-step-'))
  const node = nodes[24] as string
  const run = (args: string[]): void => {
    const env = { PATH: dirname(node), HOME: folder }
    const { status, stderr } = spawnSync(node, args, { cwd: folder, env, encoding: 'utf8' })
    if (status !== 0) throw new Error(`${args.join(' ')} ended with ${status}\n${stderr}`)
  }
  try {
    writeFileSync(join(folder, 'package.json'), '{"private":true}')
    writeFileSync(join(folder, 'first-step.mjs'), FIRST_STEP)
    const start = performance.now()
    const options = ['--ignore-scripts', '--no-audit', '--no-fund', `--registry=${url}`]
    run([join(tools, 'node_modules/npm/bin/npm-cli.js'), 'install', 'quarterturn', ...options])
    run(['first-step.mjs'])
    return (performance.now() - start) / 1000
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function folderSize(folder: string): number {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).reduce((sum, name) => {
    const stat = statSync(join(folder, name))
    return sum + (stat.isFile() ? stat.size : 0)
  }, 0)
}

function packageOf({ packages }: Registry, name: string) {
  const found = packages.find((each) => each.name === name)
  if (found === undefined) throw new Error(`${name} was not packed`)
  return found
}

export const cases: BenchCase[] = [
  {
    id: 'install/first-step',
    kind: 'value',
    unit: 's',
    goal: 15,
    rounds: 3,
    measure: () => withRegistry(firstStep),
  },
  {
    // The package of the addon, unpacked.
    id: 'install/size/addon',
    kind: 'value',
    unit: 'MB',
    goal: 8,
    rounds: 1,
    measure: () => withRegistry((all) => folderSize(packageOf(all, '@quarterturn/linux-x64-gnu').folder) / 1e6),
  },
  {
    // The package of libtorch, as npm transfers it.
    id: 'install/size/libtorch',
    kind: 'value',
    unit: 'MB',
    goal: 115,
    rounds: 1,
    measure: () =>
      withRegistry((all) => statSync(packageOf(all, '@quarterturn/libtorch-linux-x64-gnu').tarball).size / 1e6),
  },
]
