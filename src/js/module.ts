// Module: what has parameters, in its fields and in the modules that are its fields.
import { CheckpointError } from '../errors.js'
import { Parameter, type Shape, show } from './parameter.js'

/** Values of a checkpoint. */
export interface Values {
  shape: Shape
  data: ArrayLike<number>
}

/** The base class of layers and models. */
export abstract class Module {
  /** Its parameters by the keys that they have in torch: `weight_ih_l0`, `0.weight`. */
  parameters(): Map<string, Parameter> {
    return new Map(named(this.members(), ''))
  }

  /** Names and values of the fields that may be or hold parameters. */
  protected members(): Iterable<readonly [string, unknown]> {
    return Object.entries(this)
  }

  /**
   * Takes the values of all parameters from a checkpoint, of any module of the same sizes, also one of `nn`.
   *
   * @throws CheckpointError (`ERR_CHECKPOINT`) for keys that are missing or left over, and other shapes.
   */
  loadStateDict(state: ReadonlyMap<string, Values>): this {
    const parameters = this.parameters()
    const missing = [...parameters.keys()].filter((key) => !state.has(key))
    const extra = [...state.keys()].filter((key) => !parameters.has(key))
    if (missing.length + extra.length > 0)
      throw new CheckpointError(
        `loadStateDict: missing keys: ${missing.join(', ') || 'none'}; keys of no parameter: ${extra.join(', ') || 'none'}`,
        { op: 'loadStateDict', expected: missing.join(', '), got: extra.join(', ') },
      )
    for (const [key, { shape }] of parameters) {
      const given = (state.get(key) as Values).shape
      if (String(given) === String(shape)) continue
      const [expected, got] = [show(shape), show(given)]
      throw new CheckpointError(`loadStateDict: ${key} must be ${expected}, got ${got}`, {
        op: 'loadStateDict',
        expected,
        got,
      })
    }
    for (const [key, { data }] of parameters) data.set((state.get(key) as Values).data)
    return this
  }
}

function* named(members: Iterable<readonly [string, unknown]>, prefix: string): Generator<[string, Parameter]> {
  for (const [key, value] of members) {
    if (value instanceof Parameter) yield [prefix + key, value]
    else if (value instanceof Module)
      for (const [name, each] of value.parameters()) yield [`${prefix}${key}.${name}`, each]
    else if (Array.isArray(value)) yield* named(Object.entries(value), `${prefix}${key}.`)
  }
}
