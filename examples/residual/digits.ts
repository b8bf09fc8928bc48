// Study 1: ResNet-20 on MNIST, the official split, within ten minutes of two cores.
import { fileURLToPath } from 'node:url'
import { models } from 'quarterturn'
import { claim, command, type Outcome, type Study } from '../study/study.js'
import { accuracy, DIGITS, first, MOMENTS, readDigits, trainFor } from './images.js'

export interface DigitsSettings {
  depth: number
  width: number
  /** Of processor time: 1,200 are ten minutes of two cores. */
  seconds: number
  batch: number
  lr: number
  /** Images to learn from, and of the test, at most. */
  rows: number
}

export function digits(given: Partial<DigitsSettings> = {}): Study<DigitsSettings> {
  const settings = { depth: 20, width: 16, seconds: 1200, batch: 128, lr: 0.1, rows: 60_000, ...given }
  const run = async (seed: number, { depth, width, seconds, batch, lr, rows }: DigitsSettings): Promise<Outcome> => {
    const { training, test } = await readDigits()
    const model = new models.ResNet({ labels: DIGITS, channels: 1, moments: MOMENTS, depth, width, family: 'cifar' })
    const part = first(training, rows)
    const { steps } = await trainFor(model, part, { seconds, batch, lr, seed, augment: { padCrop: 2 } })
    return {
      'test accuracy, %': await accuracy(model.eval(), first(test, rows)),
      epochs: (steps * batch) / part.labels.length,
    }
  }
  return {
    name: 'residual-digits',
    title: 'ResNet-20 on MNIST',
    about: `The official split, 60,000 images to learn from and 10,000 for the test, shifted by at most two pixels while training; SGD with Nesterov's momentum on batches of ${settings.batch}, the rate up to ${settings.lr} and down in half a wave, ${settings.seconds} s of processor time on one thread (ten minutes of two cores are 1,200).`,
    settings,
    variants: { 'ResNet-20': run },
    verdicts: (mean) => {
      const found = mean('ResNet-20', 'test accuracy, %')
      return [claim(found >= 99.4, `at least 99.4 % within ten minutes of two cores: ${found.toFixed(2)} %`)]
    },
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await command(digits)
