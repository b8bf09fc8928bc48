// A training in a process of its own, to be killed at any moment.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { watch } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** A megabyte of weights, so that a save takes as long as several steps; dropout, shuffle, validation and the best weights, so that all must be right. */
const source = `
  import { data, dropout, manualSeed, matmul, nn, normal, optim, setThreads, train, Variable } from 'quarterturn'
  setThreads(1)
  manualSeed(1)
  class Net extends nn.Module {
    wide = new Variable(normal([64, 2048], 0, 0.1))
    narrow = new Variable(normal([2048, 64], 0, 0.02))
    forward(x) {
      const hidden = matmul(x, this.wide).tanh()
      return matmul(this.training ? dropout(hidden, 0.1) : hidden, this.narrow)
    }
  }
  const rows = Array.from({ length: 120 }, (_, i) => Array.from({ length: 64 }, (_, j) => Math.sin(i * j)))
  const loss = (model, { x }) => model.forward(x).sub(x).square().mean()
  const loader = (seed) => new data.Loader({ x: rows }, { batch: 10, shuffle: true, seed })
  process.send?.('ready')
  const history = await train.fit(new Net(), loader(3), {
    loss, optimizer: optim.adamW({ lr: (step) => 0.01 / (1 + step) }), epochs: 4, validation: loader(4), seed: 5, clipNorm: 1, progress: false,
    checkpoints: process.env.RUN_FOLDER, checkpointEvery: 5, resume: 'auto', earlyStopping: { patience: 9, restoreBest: true },
  })
  console.log(JSON.stringify(history))
`

export interface TrainingEnd {
  signal: NodeJS.Signals | null
  code: number | null
  stdout: string
  stderr: string
  /** From when the program was ready until it ended. */
  ms: number
}

export interface Kill {
  /** This long after the program is ready; */
  after?: number
  /** or when the n-th save has begun its file. */
  inSave?: number
  /** @default 'SIGKILL' */
  signal?: NodeJS.Signals
}

/** Runs or resumes the training of a folder. */
export function runTraining(folder: string, kill: Kill = {}): Promise<TrainingEnd> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', source], {
      cwd: root,
      env: { ...process.env, RUN_FOLDER: folder },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    let [stdout, stderr, ready] = ['', '', 0]
    const begun = new Set<string>()
    const watcher = watch(folder, (_, name) => {
      if (name?.endsWith('.tmp')) begun.add(name)
      if (begun.size === kill.inSave) child.kill(kill.signal ?? 'SIGKILL')
    })
    child.stdout?.on('data', (chunk) => (stdout += chunk))
    child.stderr?.on('data', (chunk) => (stderr += chunk))
    child.on('message', () => {
      ready = performance.now()
      if (kill.after !== undefined) setTimeout(() => child.kill(kill.signal ?? 'SIGKILL'), kill.after)
    })
    child.on('error', reject)
    child.on('close', (code, signal) => {
      watcher.close()
      resolve({ code, signal, stdout, stderr, ms: performance.now() - ready })
    })
  })
}

/** The SHA-256 of the newest checkpoint: weights, optimizer, generator, data position and history are all in it. */
export async function newestHash(folder: string): Promise<string> {
  const newest = (await checkpointNames(folder)).at(-1) as string
  return `${newest} ${createHash('sha256')
    .update(await readFile(join(folder, newest)))
    .digest('hex')}`
}

export async function checkpointNames(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => /^checkpoint-\d+\.safetensors$/.test(name)).sort()
}

/** Files that a save which did not end left behind. */
export async function unfinished(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.endsWith('.tmp'))
}
