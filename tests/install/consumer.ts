// A project that has nothing but an installed quarterturn: made by a package manager, under a major of Node, in an empty environment.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import type { Registry } from './registry.js'

/** How the packages come to lie. */
export type Layout = 'npm hoisted' | 'npm nested' | 'pnpm' | 'yarn pnp' | 'yarn node-modules'

export class Consumer {
  readonly folder = mkdtempSync(join(tmpdir(), 'quarterturn-install-'))

  constructor(
    private readonly registry: Registry,
    private readonly layout: Layout,
    private readonly major: number,
  ) {}

  get node(): string {
    return this.registry.nodes[this.major] as string
  }

  /** Installs with scripts off. */
  async install(): Promise<void> {
    this.write('package.json', JSON.stringify({ private: true, name: 'consumer', version: '1.0.0' }))
    await this.must(...this.command())
  }

  private command(): [program: string, args: string[]] {
    const { tools, url } = this.registry
    const modules = join(tools, 'node_modules')
    switch (this.layout) {
      case 'pnpm': {
        // A package may be installed the minute it is published: it was published here.
        this.write('pnpm-workspace.yaml', `minimumReleaseAge: 0\nstoreDir: ${join(this.folder, 'store')}\n`)
        this.write('.npmrc', `registry=${url}/\n`)
        return [join(modules, '@pnpm/exe.linux-x64/pnpm'), ['add', 'quarterturn', '--ignore-scripts']]
      }
      case 'yarn pnp':
      case 'yarn node-modules': {
        const linker = this.layout === 'yarn pnp' ? 'pnp' : 'node-modules'
        this.write(
          '.yarnrc.yml',
          [
            `npmRegistryServer: '${url}'`,
            "unsafeHttpWhitelist: ['127.0.0.1']",
            'npmMinimalAgeGate: 0',
            'enableScripts: false',
            'enableTelemetry: false',
            'enableGlobalCache: false',
            `nodeLinker: ${linker}`,
          ].join('\n'),
        )
        this.write('yarn.lock', '')
        return [this.node, [join(modules, '@yarnpkg/cli-dist/bin/yarn.js'), 'add', 'quarterturn']]
      }
      default: {
        const strategy = this.layout === 'npm nested' ? 'nested' : 'hoisted'
        const options = ['--ignore-scripts', '--no-audit', '--no-fund', `--install-strategy=${strategy}`]
        return [
          this.node,
          [join(modules, 'npm/bin/npm-cli.js'), 'install', 'quarterturn', ...options, `--registry=${url}`],
        ]
      }
    }
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.folder, name), text)
  }

  /** Runs a program with this project's Node; gives what it printed. */
  run(...args: string[]): Promise<string> {
    if (this.layout !== 'yarn pnp') return this.must(this.node, args)
    return this.must(this.node, [
      join(this.registry.tools, 'node_modules/@yarnpkg/cli-dist/bin/yarn.js'),
      'node',
      ...args,
    ])
  }

  /** Runs any program in this project; gives what it printed. */
  async must(program: string, args: string[]): Promise<string> {
    const { code, output } = await this.try(program, args)
    if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}\n${output}`)
    return output
  }

  try(
    program: string,
    args: string[],
    env: Record<string, string> = {},
  ): Promise<{ code: number | null; output: string }> {
    return new Promise((resolve, reject) => {
      const child = spawn(program, args, {
        cwd: this.folder,
        // No compiler, no Python, nothing of this machine: only this Node.
        env: { PATH: [dirname(this.node)].join(delimiter), HOME: this.folder, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout: 120_000,
        killSignal: 'SIGKILL',
      })
      let output = ''
      child.stdout.on('data', (chunk) => (output += chunk))
      child.stderr.on('data', (chunk) => (output += chunk))
      child.on('error', reject)
      child.on('close', (code) => resolve({ code, output }))
    })
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}
