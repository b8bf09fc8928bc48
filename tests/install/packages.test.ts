// The packages as a user gets them: from a registry, with scripts off, in an empty environment. A diagonal of package managers and majors of Node;
// all of them with `npm run test:install:all`.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Consumer, type Layout } from './consumer.js'
import { type Registry, root, startRegistry } from './registry.js'

const DIAGONAL: [Layout, number][] = [
  ['npm hoisted', 24],
  ['pnpm', 22],
  ['npm nested', 20],
  ['yarn pnp', 26],
]
const LAYOUTS: Layout[] = ['npm hoisted', 'npm nested', 'pnpm', 'yarn pnp', 'yarn node-modules']
const ALL = LAYOUTS.flatMap((layout) => [20, 22, 24, 26].map((major): [Layout, number] => [layout, major]))
const cases = process.env.QUARTERTURN_INSTALL === 'all' ? ALL : DIAGONAL

interface Printed {
  node: string
  losses: number[]
  restored: number[]
}

const program = join(root, 'tests/install/program.mjs')
let registry: Registry
let checkpoint: string
let clone: Printed

function inClone(...args: string[]): Printed {
  return JSON.parse(execFileSync(process.execPath, [program, checkpoint, ...args], { cwd: root, encoding: 'utf8' }))
}

beforeAll(async () => {
  checkpoint = mkdtempSync(join(tmpdir(), 'quarterturn-checkpoint-'))
  inClone('--write')
  clone = inClone()
  registry = await startRegistry()
}, 240_000)

afterAll(() => {
  registry?.stop()
  rmSync(checkpoint, { recursive: true, force: true })
})

/** Every number of `found` is within 1e-6 of its counterpart. */
function expectEqual(found: number[], right: number[]): void {
  expect(found).toHaveLength(right.length)
  for (const [i, value] of right.entries()) expect(Math.abs((found[i] as number) - value)).toBeLessThanOrEqual(1e-6)
}

describe('packages', () => {
  test('have no install script, are pinned exactly, and name their platform', () => {
    const manifests = Object.fromEntries(
      registry.packages.map(({ name, folder }) => [
        name,
        JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')),
      ]),
    )
    for (const manifest of Object.values(manifests)) expect(manifest.scripts).toBeUndefined()
    const { quarterturn, ...native } = manifests
    expect(quarterturn.optionalDependencies).toEqual({ '@quarterturn/linux-x64-gnu': quarterturn.version })
    expect(quarterturn.dependencies ?? {}).toEqual({})
    expect(native['@quarterturn/linux-x64-gnu'].dependencies).toEqual({
      '@quarterturn/libtorch-linux-x64-gnu': native['@quarterturn/libtorch-linux-x64-gnu'].version,
    })
    for (const manifest of Object.values(native)) {
      expect(manifest).toMatchObject({ os: ['linux'], cpu: ['x64'], libc: ['glibc'], preferUnplugged: true })
    }
  })

  // The goal for the addon is 8 MB; native byte pairs (tokenizers and its regular expressions) take 2 MB of it, augmentation and new kernels half a MB.
  test('are small enough: the addon at most 11 MB unpacked, its CUDA kernels 3 MB, libtorch at most 115 MB packed', () => {
    const [libtorch, addon] = registry.packages
    const size = (wanted: (name: string) => boolean) =>
      readdirSync(addon?.folder as string)
        .filter(wanted)
        .reduce((sum, name) => sum + statSync(join(addon?.folder as string, name)).size, 0)
    expect(size((name) => !name.endsWith('.fatbin'))).toBeLessThanOrEqual(11e6)
    expect(size((name) => name.endsWith('.fatbin'))).toBeLessThanOrEqual(3e6)
    expect(statSync(libtorch?.tarball as string).size).toBeLessThanOrEqual(115e6)
  })

  test('hold nothing of NVIDIA, and the licences of PyTorch', () => {
    const { folder } = registry.packages[0] as { folder: string }
    for (const name of ['libcudart.so.13', 'libcupti.so.13'])
      expect(statSync(join(folder, 'lib', name)).size).toBeLessThan(20_000)
    expect(readdirSync(join(folder, 'licenses')).sort()).toEqual(['torch-LICENSE', 'torch-NOTICE'])
  })

  test('look for libtorch beside themselves only, not where they were built', () => {
    const { folder } = registry.packages[1] as { folder: string }
    const text = readFileSync(join(folder, 'quarterturn.linux-x64-gnu.node'), 'latin1')
    expect(text).toContain(
      '\0$ORIGIN/../libtorch-linux-x64-gnu/lib:$ORIGIN/node_modules/@quarterturn/libtorch-linux-x64-gnu/lib\0',
    )
  })
})

describe.each(cases)('%s on Node %i', (layout, major) => {
  let consumer: Consumer
  beforeAll(async () => {
    consumer = new Consumer(registry, layout, major)
    await consumer.install()
  }, 130_000)
  afterAll(() => consumer?.remove())

  test('trains as the clone does, and runs its checkpoint', async () => {
    consumer.write('program.mjs', readFileSync(program, 'utf8'))
    const found = JSON.parse(await consumer.run('program.mjs', checkpoint)) as Printed
    expect(found.node).toMatch(new RegExp(`^v${major}\\.`))
    expectEqual(found.losses, clone.losses)
    expectEqual(found.restored, clone.restored)
  }, 130_000)
})

describe('other ways in', () => {
  let consumer: Consumer
  beforeAll(async () => {
    consumer = new Consumer(registry, 'npm hoisted', 24)
    await consumer.install()
  }, 130_000)
  afterAll(() => consumer?.remove())

  test('a CommonJS script requires it, without a warning', async () => {
    consumer.write(
      'script.cjs',
      `const { tensor } = require('quarterturn')
      tensor([1, 2]).sum().item().then((sum) => console.log('sum', sum))`,
    )
    expect(await consumer.run('script.cjs')).toBe('sum 3\n')
  })

  test('a worker thread and the main thread use it at once', async () => {
    consumer.write(
      'worker.mjs',
      `import { Worker, isMainThread, parentPort } from 'node:worker_threads'
      import { tensor } from 'quarterturn'
      if (isMainThread) {
        const worker = new Worker(new URL(import.meta.url))
        const theirs = new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
        console.log(await tensor([1, 2]).sum().item(), await theirs)
      } else parentPort.postMessage(await tensor([3, 4]).sum().item())`,
    )
    expect(await consumer.run('worker.mjs')).toBe('3 7\n')
  })

  test('esbuild bundles it, with the native packages and the optional ones left out', async () => {
    consumer.write('entry.mjs', `import { tensor } from 'quarterturn'\nconsole.log(await tensor([1, 2]).sum().item())`)
    const esbuild = join(registry.tools, 'node_modules/esbuild/bin/esbuild')
    const { peerDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    const outside = ['@quarterturn/*', ...Object.keys(peerDependencies)].map((name) => `--external:${name}`)
    const options = ['--bundle', '--platform=node', '--format=esm', ...outside, '--outfile=out.mjs']
    await consumer.must(consumer.node, [esbuild, 'entry.mjs', ...options])
    expect(await consumer.run('out.mjs')).toBe('3\n')
  })

  test.each(['node16', 'bundler'])('strict TypeScript under %s resolution finds every type', async (resolution) => {
    consumer.write(
      'typed.ts',
      `import { nn, optim, type Tensor, tensor, train } from 'quarterturn'
      class Model extends nn.Module {
        head = new nn.Linear(2, 1)
        forward(x: Tensor): Tensor { return this.head.forward(x) }
      }
      const model = new Model()
      export const out: Promise<number> = model.forward(tensor([[1, 2]])).item()
      // @ts-expect-error a Linear takes numbers
      new nn.Linear('2', 1)
      export { optim, train }`,
    )
    consumer.write(
      'tsconfig.json',
      JSON.stringify({
        compilerOptions: {
          strict: true,
          noEmit: true,
          target: 'es2022',
          lib: ['es2023', 'esnext.disposable'],
          module: resolution === 'node16' ? 'node16' : 'esnext',
          moduleResolution: resolution,
          types: ['node'],
          typeRoots: [join(root, 'node_modules/@types')],
        },
        files: ['typed.ts'],
      }),
    )
    consumer.write('package.json', JSON.stringify({ private: true, type: 'module' }))
    expect(await consumer.must(consumer.node, [join(root, 'node_modules/typescript/bin/tsc'), '-p', '.'])).toBe('')
  })

  test('quarterturn doctor says that all is well', async () => {
    const { code, output } = await consumer.try(consumer.node, ['node_modules/quarterturn/dist/cli/main.js', 'doctor'])
    expect(output).toContain('@quarterturn/libtorch-linux-x64-gnu')
    expect(code).toBe(0)
  })
})
