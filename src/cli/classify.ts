// quarterturn classify: what a trained model sees in pictures.
import { styleText } from 'node:util'
import type { Classified, ResNet } from '../models/index.js'
import { type Arguments, type Command, count, UsageError } from './command.js'

/** Pictures of ImageNet's size, where a model is of that family. */
const IMAGENET = 224

export const classify: Command = {
  summary: 'classify pictures with a trained model',
  positionals: 'MODEL-FOLDER FILE...',
  options: {
    size: { type: 'string', short: 's' },
    all: { type: 'boolean', short: 'a' },
    json: { type: 'boolean' },
  },
  describe: {
    size: `height and width that pictures are brought to, cut at the longer side (default: as they are; ${IMAGENET} for models of depth 18, 34, 50, 101 and 152)`,
    all: 'show the probability of every class, the most probable first',
    json: 'one JSON object per picture',
  },
  notes: [
    'Files are PNG or JPEG; they are decoded by the package sharp: npm i sharp',
    'Example: quarterturn classify models/flowers rose.jpg',
  ].join('\n'),

  async run(args, terminal) {
    const [folder, ...files] = args.positionals
    const help = 'Try: quarterturn classify --help'
    if (folder === undefined) throw new UsageError(`classify: name the folder of a model, then files\n${help}`)
    if (files.length === 0) throw new UsageError(`classify: name at least one file after ${folder}\n${help}`)
    const size = args.values.size === undefined ? undefined : count(args, 'size', 1)
    const models = await import('../models/index.js') // the engine is loaded only by commands that use it
    const model = await models.ResNet.load(folder)
    const width = Math.max(...files.map((file) => file.length))
    for (const file of files) {
      const answer = await classified(model, file, size)
      terminal.out(
        args.values.json === true ? json(file, answer) : shown(file.padEnd(width), answer, args, terminal.color),
      )
    }
    return 0
  },
}

async function classified(model: ResNet, file: string, given: number | undefined): Promise<Classified> {
  const { readImage } = await import('../data/index.js')
  const { tensor } = await import('../tensor/index.js')
  const { channels, family } = model.config
  if (channels !== 1 && channels !== 3 && channels !== 4)
    throw new UsageError(`classify: this model takes images of ${channels} channels, which no picture has`)
  const size = given ?? (family === 'imagenet' ? IMAGENET : undefined)
  const { data, shape } = await readImage(file, { channels, ...(size !== undefined && { size }) })
  const [answer] = await model.classify(tensor(data, { dtype: 'uint8', shape: [1, ...shape] }))
  return answer as Classified
}

function shown(
  name: string,
  { label, probability, probabilities }: Classified,
  { values }: Arguments,
  color: boolean,
): string {
  if (values.all !== true) return `${name}  ${percent(probability)}  ${color ? styleText('bold', label) : label}\n`
  const all = Object.entries(probabilities).sort(([, a], [, b]) => b - a)
  const lines = all.map(([each, share]) => `  ${percent(share)}  ${each}\n`)
  return `${color ? styleText('bold', name.trimEnd()) : name.trimEnd()}\n${lines.join('')}`
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1).padStart(5)} %`
}

function json(file: string, { label, probability, probabilities }: Classified): string {
  return `${JSON.stringify({ file, label, probability, probabilities })}\n`
}
