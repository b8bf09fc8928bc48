// What of a model's options goes into its folder: the sizes, and whatever is not as it is by default.
import { carriers } from '../../axis/index.js'
import { CheckpointError } from '../../errors.js'
import { type Cell, type EncoderDecoderConfig, type StackCell, settled } from './options.js'

type Saved = Omit<Partial<EncoderDecoderConfig>, 'cell'> & { cell?: Exclude<Cell, StackCell> | SavedStack }
interface SavedStack extends Omit<StackCell, 'alongTime' | 'alongDepth'> {
  alongTime: string
  alongDepth?: string
}

/** Options that every folder names, as those written before there were others do. */
const ALWAYS = ['width', 'numLayers', 'dropout', 'reversed']

/** The options as JSON holds them: carriers by name. */
export function savedConfig(config: EncoderDecoderConfig): Saved {
  const usual = settled({})
  const differing = Object.entries(config).filter(
    ([name, value]) => ALWAYS.includes(name) || value !== usual[name as keyof EncoderDecoderConfig],
  )
  const saved = Object.fromEntries(differing)
  if (typeof config.cell !== 'object') return saved
  const { alongTime, alongDepth, ...rest } = config.cell
  return { ...saved, cell: { ...rest, alongTime: alongTime.name, ...(alongDepth && { alongDepth: alongDepth.name }) } }
}

/**
 * The options again. Carriers are those of `axis.carriers` of that name, as they are by default; `cell` stands for others.
 *
 * @throws CheckpointError (`ERR_CHECKPOINT`) for a carrier that is not known by its name.
 */
export function loadedConfig({ cell, ...saved }: Saved, given: Cell | undefined): Partial<EncoderDecoderConfig> {
  if (cell === undefined || typeof cell === 'string') return { ...saved, ...(cell && { cell }) }
  if (given !== undefined) return { ...saved, cell: given }
  const { alongTime, alongDepth, ...rest } = cell
  return {
    ...saved,
    cell: {
      ...rest,
      alongTime: carrierOf('time', alongTime),
      ...(alongDepth === undefined ? {} : { alongDepth: carrierOf('depth', alongDepth) }),
    },
  }
}

function carrierOf(axis: 'time' | 'depth', name: string) {
  for (const row of carriers)
    for (const make of Object.values({ ...row[axis], ...(axis === 'time' && row.both) })) {
      const carrier = make()
      if (carrier.name === name) return carrier
    }
  throw new CheckpointError(`load: the carrier ${name} along ${axis} is not one of axis.carriers: name \`cell\``, {
    op: 'load',
    expected: 'a carrier of axis.carriers',
    got: name,
  })
}
