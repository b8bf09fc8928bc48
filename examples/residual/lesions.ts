// Study 4: blocks left out and put in another order, which path lengths carry the gradient, and convolutions in common.
import { fileURLToPath } from 'node:url'
import { grad, type models, nn, noGrad, scope, type Tensor, tensor } from 'quarterturn'
import { draws } from '../study/draws.js'
import { claim, command, type Outcome, type Study } from '../study/study.js'
import { accuracy, type Digits, first, type ResNetSettings, trainedResNet } from './images.js'

export interface LesionSettings extends ResNetSettings {
  /** Images of the test for each lesion. */
  tested: number
  /** Paths that are drawn of each length. */
  paths: number
}

const SYSTEMS = {
  residual: {},
  plain: { shortcut: 'none' },
  'residual, tied': { tied: true },
} as const satisfies Record<string, Partial<models.ResNetOptions>>

export function lesions(given: Partial<LesionSettings> = {}): Study<LesionSettings> {
  const settings = {
    depth: 32,
    width: 8,
    seconds: 40,
    batch: 128,
    lr: 0.1,
    rows: 60_000,
    tested: 2000,
    paths: 4,
    ...given,
  }
  const run =
    (system: keyof typeof SYSTEMS) =>
    async (seed: number, of: LesionSettings): Promise<Outcome> => {
      const { tested, paths } = of
      const { model, test } = await trainedResNet(seed, of, { options: SYSTEMS[system] })
      const few = first(test, tested)
      const all = model.blocks.map((_, i) => i)
      const whole = await accuracy(model, few)
      const within = all.filter((i) => !model.blocks[i]?.place.transition)
      const without = async (places: readonly number[]): Promise<number> =>
        (await walked(
          model,
          few,
          all.filter((i) => !places.includes(i)),
        )) - whole
      const single: number[] = []
      for (const place of within) single.push(await without([place]))
      const random = draws(seed)
      return {
        'test accuracy, %': await accuracy(model, test),
        parameters: model.parameters().reduce((sum, { size }) => sum + size, 0),
        'points lost by one block, mean': -mean(single),
        'points lost by three blocks': -(await without(sample(within, 3, random))),
        'points lost by two blocks in each other’s place': whole - (await walked(model, few, exchanged(model, random))),
        ...(system === 'residual'
          ? { 'share of the gradient by blocks passed': await shares(model, few, paths, random) }
          : {}),
      }
    }
  return {
    name: 'residual-lesions',
    title: 'Lesions, paths, and convolutions in common',
    about: `ResNet-${settings.depth} of width ${settings.width} on MNIST at 14 × 14, trained for ${settings.seconds} s of processor time; then, without more training, blocks are left out or exchanged within a stage (accuracy on ${settings.tested} test images). The gradient through k branches is the mean norm over ${settings.paths} random choices of k blocks whose branch it goes through, while it takes the shortcut past the others, times the number of such choices; its share is of the sum over all k, from 0 on. “Tied” blocks of a stage have their convolutions in common and norms of their own. Published: lesions and shuffles lower the accuracy of residual nets smoothly, plain nets collapse, and most of the gradient comes through short paths (Veit, Wilber and Belongie 2016); tied nets have far fewer parameters and about the accuracy (Liao and Poggio 2016).`,
    settings,
    variants: Object.fromEntries(
      (Object.keys(SYSTEMS) as (keyof typeof SYSTEMS)[]).map((system) => [system, run(system)]),
    ),
    verdicts: (of) => {
      const lost = (system: keyof typeof SYSTEMS): number => of(system, 'points lost by one block, mean')
      const share = (k: number): number => of('residual', 'share of the gradient by blocks passed', k)
      const blocks = (settings.depth - 2) / 2
      const centre = Array.from({ length: blocks + 1 }, (_, k) => k * share(k)).reduce((sum, part) => sum + part, 0)
      const tied = of('residual, tied', 'test accuracy, %') - of('residual', 'test accuracy, %')
      return [
        claim(
          lost('residual') < lost('plain') / 3,
          `one block less costs a residual net ${lost('residual').toFixed(1)} points and a plain one ${lost('plain').toFixed(1)}`,
        ),
        claim(
          centre < blocks / 2,
          `the gradient comes through paths shorter than the middle: ${centre.toFixed(1)} of ${blocks} blocks on average`,
        ),
        claim(
          tied > -1,
          `tied convolutions cost less than a point (${tied.toFixed(2)}) with ${(of('residual', 'parameters') / of('residual, tied', 'parameters')).toFixed(1)} times fewer parameters`,
        ),
      ]
    },
  }
}

const mean = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length

/** The accuracy, in per cent, of these blocks in this order. */
async function walked(model: models.ResNet, { images, labels }: Digits, blocks: readonly number[]): Promise<number> {
  const right = noGrad(() =>
    scope(() => {
      const logits = model.forward(tensor(images.data, { shape: images.shape }) as Tensor, { blocks })
      return logits.argmax(1).eq(tensor(labels).to('int64')).to('float32').mean()
    }),
  )
  return 100 * Number(await right.item())
}

function sample(from: readonly number[], count: number, random: () => number): number[] {
  const left = [...from]
  return Array.from(
    { length: Math.min(count, left.length) },
    () => left.splice(Math.floor(random() * left.length), 1)[0] as number,
  )
}

/** All blocks, two neighbours of one stage that keep the shape exchanged. */
function exchanged(model: models.ResNet, random: () => number): number[] {
  const order = model.blocks.map((_, i) => i)
  const first = order.filter((i) => {
    const [a, b] = [model.blocks[i]?.place, model.blocks[i + 1]?.place]
    return a !== undefined && b !== undefined && a.stage === b.stage && !a.transition
  })
  const i = first[Math.floor(random() * first.length)]
  if (i !== undefined) [order[i], order[i + 1]] = [i + 1, i]
  return order
}

/** The share of the gradient that comes through k branches, k = 0 … n. */
async function shares(model: models.ResNet, digits: Digits, paths: number, random: () => number): Promise<number[]> {
  const few = first(digits, 64)
  const images = tensor(few.images.data, { shape: few.images.shape }) as Tensor
  const labels = tensor(few.labels).to('int64')
  const all = model.blocks.map((_, i) => i)
  const weights: number[] = []
  let choices = 1
  for (let k = 0; k <= all.length; k++) {
    let sum = 0
    for (let path = 0; path < paths; path++) {
      const through = sample(all, k, random)
      const { logits, stream } = model.trace(images, {
        paths: all.map((i) => (through.includes(i) ? 'branch' : 'shortcut')),
      })
      const start = stream[0] as Tensor
      const gradient = grad(nn.functional.crossEntropy(logits, labels), [start], { unused: 'zeros' }).get(start)
      sum += Number(await gradient.square().sum().sqrt().item())
    }
    weights.push((choices * sum) / paths)
    choices = (choices * (all.length - k)) / (k + 1)
  }
  const total = weights.reduce((a, b) => a + b, 0)
  return weights.map((weight) => weight / total)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await command(lesions)
