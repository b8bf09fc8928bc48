// kill -9 at any moment, also within a save: the resumed run ends as one that was never killed, bit for bit.
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkpointNames, type Kill, newestHash, runTraining, unfinished } from './training.js'

const KILLS = 20
const KILLS_PER_RUN = 4

let root: string
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'quarterturn-'))
})
afterAll(() => rm(root, { recursive: true }))

async function newFolder(name: string): Promise<string> {
  const folder = join(root, name)
  await mkdir(folder)
  return folder
}

/** Kills a run several times and then lets it end. */
async function killedRun(
  folder: string,
  kills: Kill[],
): Promise<{ killed: number; inSave: number; stdout: string; stderr: string }> {
  let [killed, inSave] = [0, 0]
  for (const kill of kills) {
    const { signal } = await runTraining(folder, kill)
    if (signal === 'SIGKILL') killed++
    if ((await unfinished(folder)).length > 0) inSave++
  }
  const { code, stdout, stderr } = await runTraining(folder)
  expect([code, stderr]).toEqual([0, ''])
  return { killed, inSave, stdout, stderr }
}

test(`killed at ${KILLS} random moments, some within a save, a run ends with the same bits`, {
  timeout: 120_000,
}, async () => {
  const reference = await newFolder('reference')
  const { code, stdout, stderr, ms } = await runTraining(reference)
  expect([code, stderr]).toEqual([0, ''])
  const hash = await newestHash(reference)

  const total = { killed: 0, inSave: 0 }
  const oneRun = async (name: string): Promise<void> => {
    const folder = await newFolder(name)
    const kills = Array.from({ length: KILLS_PER_RUN }, (_, i): Kill => {
      return i % 2 === 0 ? { after: Math.random() * ms * 0.8 } : { inSave: 1 + Math.floor(Math.random() * 3) }
    })
    const ended = await killedRun(folder, kills)
    total.killed += ended.killed
    total.inSave += ended.inSave
    expect(await newestHash(folder)).toBe(hash)
    expect(ended.stdout).toBe(stdout)
    expect(await unfinished(folder)).toEqual([])
    expect(await checkpointNames(folder)).toEqual(await checkpointNames(reference))
  }
  // In pairs: two cores.
  for (let run = 0; total.killed < KILLS && run < KILLS; run += 2) {
    await Promise.all([oneRun(`run ${run}`), oneRun(`run ${run + 1}`)])
  }
  expect(total.killed).toBeGreaterThanOrEqual(KILLS)
  expect(total.inSave).toBeGreaterThan(0)
})
