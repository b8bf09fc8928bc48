// Damaged, missing and foreign checkpoints; a folder in use; a disk that is full, read-only or gone.
import { execFileSync } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { manualSeed, normal, saveSafetensors, type Tensor, type train, Variable } from 'quarterturn'
import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { digest, fit, Net, type Points } from '../train/spiral.js'
import { checkpointNames, newestHash, runTraining, unfinished } from './training.js'

type Options = Partial<train.FitOptions<Net, Points & { step: number }>>

let root: string
let folder: string
let count = 0
const warnings: string[] = []
const listen = (warning: Error): void => void warnings.push(warning.message)

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'quarterturn-'))
  process.on('warning', listen)
})
afterAll(async () => {
  process.off('warning', listen)
  await rm(root, { recursive: true })
})
beforeEach(async () => {
  folder = join(root, `run ${++count} ü`)
  await mkdir(folder)
  warnings.length = 0
  manualSeed(1)
})
afterEach(async () => {
  expect(await unfinished(folder).catch(() => [])).toEqual([])
})

const name = (step: number): string => `checkpoint-${String(step).padStart(9, '0')}.safetensors`
const options = (more: Options = {}): Options => ({ epochs: 3, checkpoints: folder, ...more })

async function flipBit(path: string, at: number): Promise<void> {
  const bytes = await readFile(path)
  bytes[at % bytes.length]! ^= 4
  await writeFile(path, bytes)
}

/** The bits of a whole run, in another folder. */
async function reference(): Promise<string> {
  const own = `${folder} whole`
  manualSeed(1)
  await fit(new Net(), options({ checkpoints: own }))
  return newestHash(own)
}

test('a damaged newest checkpoint: a warning, the one before is gone on from, and the end is the same', async () => {
  const expected = await reference()
  const harms: ((path: string) => Promise<void>)[] = [
    (path) => truncate(path, 5),
    async (path) => truncate(path, Math.floor((await stat(path)).size / 2)),
    async (path) => truncate(path, (await stat(path)).size - 1),
    (path) => flipBit(path, 30),
    (path) => flipBit(path, 20_000_003),
    (path) => writeFile(path, ''),
    (path) => writeFile(path, 'not a checkpoint'),
    (path) => saveSafetensors(path, { 'model.first': normal([2, 16]) }),
  ]
  for (const harm of harms) {
    await rm(folder, { recursive: true })
    warnings.length = 0
    manualSeed(1)
    await fit(new Net(), options({ epochs: 2 }))
    await harm(join(folder, name(26)))
    const { epochs } = await fit(new Net(), options({ resume: 'auto' }))
    expect(epochs.length).toBe(3)
    expect(await newestHash(folder)).toBe(expected)
    await new Promise((resolve) => setImmediate(resolve))
    expect(warnings).toEqual([
      expect.stringMatching(/checkpoint-000000026\.safetensors: .*going on from .*checkpoint-000000013/),
    ])
    expect(await readdir(folder)).toContain(`${name(26)}.damaged`)
  }
})

test('all checkpoints damaged: an error that lists each with its reason, and nothing is touched', async () => {
  await fit(new Net(), options())
  for (const file of await checkpointNames(folder))
    await flipBit(join(folder, file), (await stat(join(folder, file))).size - 1)
  const before = await readdir(folder)
  const model = new Net()
  const weights = await digest(model)
  const error = await fit(model, options({ resume: 'auto' })).catch((e) => e)
  expect(error).toMatchObject({ name: 'CheckpointError', code: 'ERR_CHECKPOINT' })
  for (const step of [13, 26, 39]) expect(error.message).toMatch(new RegExp(`${name(step)}: .*checksum`))
  expect(await digest(model)).toBe(weights)
  expect(await readdir(folder)).toEqual(before)
})

test('a named checkpoint that is missing, damaged, or no checkpoint is its own error', async () => {
  await fit(new Net(), options({ epochs: 1 }))
  const path = join(folder, name(13))
  const resume = (from: string) => fit(new Net(), { resume: from })
  await expect(resume(join(folder, 'none.safetensors'))).rejects.toMatchObject({
    code: 'ERR_IO',
    message: expect.stringMatching(/none\.safetensors.*ENOENT/),
  })
  await copyFile(path, join(folder, 'copy'))
  await flipBit(join(folder, 'copy'), 2000)
  await expect(resume(join(folder, 'copy'))).rejects.toMatchObject({
    code: 'ERR_CHECKPOINT',
    message: expect.stringContaining('copy'),
  })
  await saveSafetensors(join(folder, 'weights'), new Net().stateDict())
  await expect(resume(join(folder, 'weights'))).rejects.toMatchObject({
    code: 'ERR_CHECKPOINT',
    message: expect.stringContaining('not a checkpoint of a run'),
  })
  await saveSafetensors(join(folder, 'later'), {}, { run: '{"version":2}' })
  await expect(resume(join(folder, 'later'))).rejects.toMatchObject({
    code: 'ERR_CHECKPOINT',
    message: expect.stringContaining('version 2'),
  })
})

test('two runs of one process cannot share a folder; the lock is free again after each', async () => {
  const first = fit(new Net(), options())
  await expect(fit(new Net(), options({ resume: 'auto' }))).rejects.toMatchObject({
    code: 'ERR_BUSY',
    message: expect.stringContaining(folder),
  })
  await first
  expect(await readdir(folder)).not.toContain('lock')
  await fit(new Net(), options({ resume: 'auto' }))
  await expect(fit(new Net(), options())).rejects.toMatchObject({ code: 'ERR_CHECKPOINT' })
  expect(await readdir(folder)).not.toContain('lock')
})

test('a folder that another process uses is refused with its number; a lock of a process that is gone is taken over', async () => {
  const lock = join(folder, 'lock')
  const start = (await readFile('/proc/self/stat', 'utf8').catch(() => ') ')).split(') ').at(-1)?.split(' ')[19] ?? ''
  const host = (await import('node:os')).hostname()
  const owner = (pid: number, started: string, on = host) => writeFile(lock, JSON.stringify({ pid, started, host: on }))
  const refused = () =>
    expect(fit(new Net(), options({ epochs: 1, resume: 'auto' }))).rejects.toMatchObject({
      code: 'ERR_BUSY',
      message: expect.stringContaining('lock'),
    })
  await owner(process.pid, start)
  await refused()
  await owner(1, 'whatever', 'another host')
  await refused()
  // The number is in use again, by a process that started at another time.
  await owner(process.pid, '1')
  await fit(new Net(), options({ epochs: 1, resume: 'auto' }))
  const gone = Number(execFileSync(process.execPath, ['-p', 'process.pid'], { encoding: 'utf8' }))
  await owner(gone, '1')
  await fit(new Net(), options({ epochs: 2, resume: 'auto' }))
  await writeFile(lock, 'half a lo')
  await fit(new Net(), options({ epochs: 3, resume: 'auto' }))
})

test('of two processes in one folder one trains and the other is told', async () => {
  const ends = await Promise.all([runTraining(folder), runTraining(folder)])
  expect(ends.map(({ code }) => code).sort()).toEqual([0, 1])
  expect(ends.find(({ code }) => code === 1)?.stderr).toMatch(/is in use by process \d+/)
})

test('a folder that is removed during the run is an error, not a run without checkpoints', async () => {
  const model = new Net()
  const removing = fit(
    model,
    options({
      logs: false,
      callbacks: { onEpochEnd: ({ epoch }) => (epoch === 1 ? rm(folder, { recursive: true }) : undefined) },
    }),
  )
  await expect(removing).rejects.toMatchObject({
    code: 'ERR_IO',
    message: expect.stringMatching(/checkpoint-000000026.*ENOENT/),
  })
  await fit(model)
})

test('a path that is a file is an error', async () => {
  await writeFile(join(folder, 'file'), '')
  await expect(fit(new Net(), options({ checkpoints: join(folder, 'file') }))).rejects.toMatchObject({
    code: 'ERR_IO',
    message: expect.stringMatching(/file: E(EXIST|NOTDIR)/),
  })
})

// ---- A disk of our own ---------------------------------------------------------------------------------------------

const canMount = (() => {
  const probe = join(tmpdir(), `quarterturn-mount-${process.pid}`)
  try {
    execFileSync('mkdir', ['-p', probe])
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', probe], { stdio: 'ignore' })
    execFileSync('umount', [probe])
    return true
  } catch {
    return false
  } finally {
    execFileSync('rmdir', [probe])
  }
})()

/** Half a megabyte of weights. */
class Large extends Net {
  bulk = new Variable(normal([131_072]))
  override forward(x: Tensor): Tensor {
    return super.forward(x).add(this.bulk.mean())
  }
}

function mountDisk(size: string): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder])
  onTestFinished(() => void execFileSync('umount', ['-l', folder]))
}

test.skipIf(!canMount)(
  'a disk that runs full: the error names path and code, the last checkpoint stays, and the run goes on later',
  async () => {
    manualSeed(1)
    const whole = `${folder} whole`
    await fit(new Large(), options({ checkpoints: whole }))
    mountDisk('6m')
    manualSeed(1)
    const model = new Large()
    const filling = options({
      keep: 1,
      logs: false,
      callbacks: {
        onEpochEnd: ({ epoch }) =>
          epoch === 2 ? writeFile(join(folder, 'other'), Buffer.alloc(3_800_000)) : undefined,
      },
    })
    await expect(fit(model, filling)).rejects.toMatchObject({
      name: 'FileError',
      code: 'ERR_IO',
      message: expect.stringMatching(/checkpoint-000000039\.safetensors.*ENOSPC/),
    })
    expect(await readdir(folder)).toEqual([name(26), 'other'])
    await fit(model, { checkpoints: `${folder} elsewhere` })
    await rm(join(folder, 'other'))
    expect((await fit(new Large(), options({ keep: 1, resume: 'auto' }))).epochs.length).toBe(3)
    expect(await newestHash(folder)).toBe(await newestHash(whole))
  },
)

test.skipIf(!canMount)('a disk that cannot be written, from the start or during the run', async () => {
  mountDisk('6m')
  const remount = (mode: 'ro' | 'rw') => execFileSync('mount', ['-o', `remount,${mode}`, folder])
  remount('ro')
  const model = new Net()
  const weights = await digest(model)
  await expect(fit(model, options())).rejects.toMatchObject({
    code: 'ERR_IO',
    message: expect.stringMatching(/ü.*EROFS/),
  })
  expect(await digest(model)).toBe(weights)
  remount('rw')
  const turning = options({
    logs: false, // a file that is open keeps the disk from being turned
    callbacks: { onEpochEnd: ({ epoch }) => void (epoch === 1 && remount('ro')) },
  })
  await expect(fit(model, turning)).rejects.toMatchObject({
    code: 'ERR_IO',
    message: expect.stringMatching(/checkpoint-000000026\.safetensors.*EROFS/),
  })
  expect(await checkpointNames(folder)).toEqual([name(13)])
  remount('rw')
  expect((await fit(new Net(), options({ resume: 'auto' }))).epochs.length).toBe(3)
})

test.skipIf(process.getuid?.() === 0)('a folder without permission', async () => {
  execFileSync('chmod', ['500', folder])
  onTestFinished(() => void execFileSync('chmod', ['700', folder]))
  await expect(fit(new Net(), options())).rejects.toMatchObject({
    code: 'ERR_IO',
    message: expect.stringContaining('EACCES'),
  })
})
