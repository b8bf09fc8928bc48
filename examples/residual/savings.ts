// Study 6: blocks that are left out at random while training, and blocks that keep nothing for the backward pass.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { grad, memory, nn, normal, scope, type Tensor } from 'quarterturn'
import { claim, command, type Outcome, type Study } from '../study/study.js'
import { accuracy, type ResNetSettings, trainedResNet } from './images.js'

export interface SavingSettings extends ResNetSettings {
  /** Images and channels of the blocks whose memory is measured. */
  images: number
  channels: number
}

/** Blocks of the nets whose memory is measured. */
const DEPTHS = [10, 25, 50, 100]
const MEMORY = 'MB kept by a training step'

export function savings(given: Partial<SavingSettings> = {}): Study<SavingSettings> {
  const settings = {
    ...{ depth: 56, width: 8, seconds: 40, batch: 128, lr: 0.1, rows: 60_000, images: 32, channels: 16 },
    ...given,
  }
  const trained =
    (keepLast: number) =>
    async (seed: number, of: SavingSettings): Promise<Outcome> => {
      const { model, test, steps } = await trainedResNet(seed, of, { options: { keepLast } })
      return { 'test accuracy, %': await accuracy(model, test), steps }
    }
  const kept =
    (make: (channels: number, blocks: number) => nn.Module & { forward(x: Tensor): Tensor }) =>
    async (_seed: number, { images, channels }: SavingSettings): Promise<Outcome> => {
      const curve: number[] = []
      for (const blocks of DEPTHS) curve.push(await peak(make(channels, blocks), images, channels))
      return { [MEMORY]: curve }
    }
  return {
    name: 'residual-savings',
    title: 'Stochastic depth, and blocks that keep nothing',
    about: `ResNet-${settings.depth} of width ${settings.width} on MNIST at 14 × 14, ${settings.seconds} s of processor time, with all blocks always and with the last block kept half of the time (linear rule, Huang et al. 2016; published for ResNet-110 on CIFAR-10: error 6.41 → 5.25, a quarter of the time saved). Memory: a training step of ${settings.images} images of 2 × ${settings.channels} channels, 32 × 32, through ${DEPTHS.join(', ')} blocks of norm, ReLU and convolution in each branch, as reversible blocks (Gomez et al. 2017) and as the same blocks whose inputs are kept: the most resident memory, less that before the step.`,
    settings,
    variants: {
      'all blocks': trained(1),
      'stochastic depth, p = 0.5': trained(0.5),
      'reversible blocks': kept((channels, blocks) => new nn.Reversible(pairs(channels, blocks))),
      'the same, kept': kept((channels, blocks) => new Kept(pairs(channels, blocks))),
    },
    verdicts: (mean) => {
      const of = (name: string, point: number): number => mean(name, MEMORY, point)
      const last = DEPTHS.length - 1
      const growth = of('reversible blocks', last) / of('reversible blocks', 0)
      const steps = mean('stochastic depth, p = 0.5', 'steps') / mean('all blocks', 'steps')
      const gain = mean('stochastic depth, p = 0.5', 'test accuracy, %') - mean('all blocks', 'test accuracy, %')
      return [
        claim(steps > 1.15, `blocks that are left out save time: ${steps.toFixed(2)} times as many steps`),
        claim(gain > 0, `stochastic depth is more accurate at equal time: ${gain.toFixed(2)} points`),
        claim(growth <= 1.2, `100 reversible blocks keep at most 1.2 times what 10 keep: ${growth.toFixed(2)} times`),
        claim(
          of('the same, kept', last) > 5 * of('the same, kept', 0),
          `blocks whose inputs are kept need memory by their number: ${(of('the same, kept', last) / of('the same, kept', 0)).toFixed(1)} times`,
        ),
      ]
    },
  }
}

function pairs(channels: number, blocks: number): nn.ReversiblePair[] {
  const branch = (): nn.Sequential =>
    new nn.Sequential(
      new nn.BatchNorm2d(channels),
      new nn.ReLU(),
      new nn.Conv2d(channels, channels, 3, { padding: 1, bias: false }),
    )
  return Array.from({ length: blocks }, () => ({ f: branch(), g: branch() }))
}

/** y₁ = x₁ + F(x₂), y₂ = x₂ + G(y₁), as any other net computes it. */
class Kept extends nn.Module {
  constructor(readonly blocks: readonly nn.ReversiblePair[]) {
    super()
  }

  forward(x: Tensor): Tensor {
    const half = (x.shape[1] as number) / 2
    let [a, b] = [x.slice(1, 0, half), x.slice(1, half)]
    for (const { f, g } of this.blocks) {
      a = a.add(f.forward(b))
      b = b.add(g.forward(a))
    }
    return a.add(b)
  }
}

/** Megabytes: the most resident memory of a step (Linux counts it anew from where it is asked to), less that before. */
async function peak(
  net: nn.Module & { forward(x: Tensor): Tensor },
  images: number,
  channels: number,
): Promise<number> {
  const parameters = net.parameters()
  const x = normal([images, 2 * channels, 32, 32])
  const step = async (): Promise<void> => {
    const sums = scope(() => [...grad(net.forward(x).square().mean(), parameters)].map(([, value]) => value.sum()))
    await sums[0]?.item()
  }
  await step()
  memory.trim()
  const before = megabytes('VmRSS')
  writeFileSync('/proc/self/clear_refs', '5')
  await step()
  return megabytes('VmHWM') - before
}

function megabytes(field: string): number {
  const line = readFileSync('/proc/self/status', 'utf8').match(new RegExp(`${field}:\\s+(\\d+) kB`))
  return Number(line?.[1]) / 1024
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await command(savings)
