// What of a model's options goes into its folder: the sizes, and whatever is not as it is by default.
import { CheckpointError } from '../../errors.js'
import { type Cell, type EncoderDecoderConfig, type StackCell, settled } from './options.js'

/** A carrier is saved by the name that the user gave; one that was made by the user is only told of. */
interface SavedStack extends Omit<StackCell, 'alongTime' | 'alongDepth'> {
  alongTime: string | { given: string }
  alongDepth?: string | { given: string }
}
export type SavedConfig = Omit<Partial<EncoderDecoderConfig>, 'cell'> & { cell?: Exclude<Cell, StackCell> | SavedStack }

/** Options that every folder names, as those written before there were others do. */
const ALWAYS = ['width', 'numLayers', 'dropout', 'reversed']

/** The options as JSON holds them. */
export function savedConfig(config: EncoderDecoderConfig): SavedConfig {
  const usual = settled({})
  const differing = Object.entries(config).filter(
    ([name, value]) => ALWAYS.includes(name) || value !== usual[name as keyof EncoderDecoderConfig],
  )
  const saved = Object.fromEntries(differing) as SavedConfig
  if (typeof config.cell !== 'object') return saved
  const { alongTime, alongDepth, ...rest } = config.cell
  const name = (carrier: StackCell['alongTime']) => (typeof carrier === 'string' ? carrier : { given: carrier.name })
  const cell = { ...rest, alongTime: name(alongTime), ...(alongDepth && { alongDepth: name(alongDepth) }) }
  return { ...saved, cell }
}

/**
 * The options again; `given` stands for a cell whose carriers were not given by name.
 *
 * @throws CheckpointError (`ERR_CHECKPOINT`) where it is needed and absent.
 */
export function loadedConfig({ cell, ...saved }: SavedConfig, given: Cell | undefined): Partial<EncoderDecoderConfig> {
  if (given !== undefined) return { ...saved, cell: given }
  if (cell === undefined) return saved
  if (typeof cell === 'object')
    for (const carrier of [cell.alongTime, cell.alongDepth])
      if (typeof carrier === 'object') {
        const [expected, got] = ['carriers by name, or the option cell', carrier.given]
        throw new CheckpointError(
          `load: the model has a carrier that was not given by name, ${got}: give \`cell\` as it was made`,
          { op: 'load', expected, got },
        )
      }
  return { ...saved, cell: cell as Cell }
}
