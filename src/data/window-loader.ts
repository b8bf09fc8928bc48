// WindowLoader: batches of windows, and how they were scaled.
import type { Rows } from './field.js'
import { Loader, type LoaderOptions } from './loader.js'
import type { Scaling } from './scaling.js'

/** A loader of windows: batches of past [B, P, I] and future [B, F, O], scaled. */
export class WindowLoader extends Loader<{ past: Rows; future: Rows }> {
  /** How the columns were scaled: `scaling.inverse(forecast)` gives the units of the data back. */
  readonly scaling: Scaling

  /** @internal */
  constructor(
    fields: { past: Rows; future: Rows },
    options: LoaderOptions<{ past: Rows; future: Rows }>,
    scaling: Scaling,
  ) {
    super(fields, options)
    this.scaling = scaling
  }
}
