// Every kind of encoder-decoder, small: what tests of all of them go through.
import { axis, models, text } from 'quarterturn'

export const letters = new text.Vocabulary([...'abcd'])
export const sounds = new text.Vocabulary([...'ABCD'])

export type Options = Omit<models.EncoderDecoderOptions, 'source' | 'target'>

const attentions = ['none', 'additive', 'multiplicative'] as const
const stacks = {
  'minLSTM × highway': () => ({ alongTime: 'minLSTM', alongDepth: 'highway' }),
  'lstm × residual, mlp': () => ({ alongTime: 'lstm', alongDepth: 'residual', mlp: 2 }),
  'attention × residual': () => ({ alongTime: axis.attention({ heads: 2 }) }),
  gridLSTM: () => ({ alongTime: 'gridLSTM' }),
}

/** By name. */
export const variants: [name: string, options: () => Options][] = [
  ...(['lstm', 'gru', 'minLSTM'] as const).flatMap((cell) =>
    attentions.map((attention): [string, () => Options] => [
      `${cell}, attention ${attention}`,
      () => ({ cell, attention }),
    ]),
  ),
  ['lstm, both directions, attention', () => ({ bidirectional: true, attention: 'multiplicative' })],
  ['gru, both directions', () => ({ cell: 'gru', bidirectional: true })],
  ['lstm, three residual layers, attention', () => ({ numLayers: 3, residual: true, attention: 'additive' })],
  ['lstm without biases, target tied', () => ({ bias: false, tied: 'target' })],
  ['lstm forward', () => ({ reversed: false })],
  ['transformer', () => ({ cell: 'transformer' })],
  [
    'transformer, reversed, target tied, no biases',
    () => ({ cell: 'transformer', reversed: true, tied: 'target', bias: false }),
  ],
  ...Object.entries(stacks).map(([name, cell]): [string, () => Options] => [`stack ${name}`, () => ({ cell: cell() })]),
  ['stack minLSTM × highway, attention', () => ({ cell: stacks['minLSTM × highway'](), attention: 'multiplicative' })],
]

export function small(options: Options, more: Partial<models.EncoderDecoderOptions> = {}): models.EncoderDecoder {
  return new models.EncoderDecoder({ source: letters, target: sounds, width: 16, ...options, ...more })
}
