// What was run: versions, machine, seed, git commit, model, optimizer and options, as run.json holds them.
import { execFile } from 'node:child_process'
import { createRequire } from 'node:module'
import { cpus, hostname } from 'node:os'
import { promisify } from 'node:util'
import { native } from '../native.js'
import type { Module } from '../nn/index.js'
import type { Optimizer } from '../optim/index.js'
import type { Batches } from './batches.js'
import type { Settings } from './options.js'

const GIT_MS = 2000

export interface Described<M extends Module, B> {
  model: M
  data: Batches<B>
  optimizer: Optimizer
  options: Settings<M, B>
  /** Of the run's generator, whoever chose it. */
  seed: string
}

/** A description for people and programs; everything in it is JSON. */
export async function describeRun<M extends Module, B>({
  model,
  data,
  optimizer,
  options,
  seed,
}: Described<M, B>): Promise<object> {
  const { libtorch, capability, threads } = native().info()
  const all = cpus()
  return {
    started: new Date().toISOString(),
    command: process.argv,
    folder: process.cwd(),
    git: await commit(),
    versions: { quarterturn: version(), libtorch, node: process.version },
    machine: {
      host: hostname(),
      platform: `${process.platform}-${process.arch}`,
      cpu: `${all.length} × ${all[0]?.model.trim() ?? 'unknown'}`,
      capability,
      threads,
    },
    seed,
    model: { name: model.constructor.name, parameters: model.parameters().reduce((sum, { size }) => sum + size, 0) },
    optimizer: {
      op: optimizer.op,
      groups: optimizer.groups.map((group) => ({ parameters: group.parameters.length, ...plain(group.options) })),
    },
    batches: data.length,
    options: plain(options),
    config: options.config,
  }
}

/** Options that are numbers, texts and the like; a rate that is a function by its name. */
function plain(options: object): Record<string, unknown> {
  const skipped = new Set(['config', 'seed', 'signal', 'validation', 'callbacks', 'loss', 'optimizer'])
  return Object.fromEntries(
    Object.entries(options).flatMap(([name, value]) => {
      if (skipped.has(name) || value === undefined) return []
      if (name === 'metrics') return [[name, Object.keys(value as object)]]
      return [[name, typeof value === 'function' ? `function ${value.name}`.trim() : value]]
    }),
  )
}

function version(): string {
  return (createRequire(import.meta.url)('quarterturn/package.json') as { version: string }).version
}

interface Commit {
  commit: string
  /** Whether files of it have been changed. */
  changed: boolean
}

let known: Promise<Commit | null> | undefined

/** The commit of the folder that the program was started in; null outside of git. Asked once: what runs was loaded then. */
function commit(): Promise<Commit | null> {
  known ??= readCommit()
  return known
}

async function readCommit(): Promise<Commit | null> {
  try {
    const args = ['status', '--porcelain=v2', '--branch', '--untracked-files=no']
    const { stdout } = await promisify(execFile)('git', args, { timeout: GIT_MS, windowsHide: true })
    const lines = stdout.trim().split('\n')
    const head = lines.find((line) => line.startsWith('# branch.oid '))?.split(' ')[2]
    return head === undefined ? null : { commit: head, changed: lines.some((line) => !line.startsWith('#')) }
  } catch {
    return null
  }
}
