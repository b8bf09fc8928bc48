// Study 1: ResNet-20 on MNIST, the official split, within ten minutes of two cores.
import { fileURLToPath } from 'node:url'
import { claim, command, type Outcome, type Study } from '../study/study.js'
import { accuracy, type ResNetSettings, trainedResNet } from './images.js'

export function digits(given: Partial<ResNetSettings> = {}): Study<ResNetSettings> {
  const settings = { depth: 20, width: 16, seconds: 1200, batch: 128, lr: 0.1, rows: 60_000, ...given }
  const run = async (seed: number, of: ResNetSettings): Promise<Outcome> => {
    const { model, test, steps } = await trainedResNet(seed, of, { side: 28, augment: { padCrop: 2 } })
    return { 'test accuracy, %': await accuracy(model, test), epochs: (steps * of.batch) / Math.min(of.rows, 60_000) }
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
