// ResNet1d: the residual classifier of series.
import * as nn from '../../nn/index.js'
import type { DeviceLike, Tensor } from '../../tensor/index.js'
import { taken } from '../check.js'
import { loadFolder, saveFolder } from '../folder.js'
import type { LabelledSeries } from '../sequence-classifier.js'
import {
  ConvNorm,
  KERNELS,
  SeriesNetwork,
  type SeriesNetworkConfig,
  type SeriesNetworkOptions,
  sizesFor,
} from './series-network.js'

const KIND = 'ResNet1d'
const WIDTH = 64

/** y = relu(carry(x) + norm(conv_3(h_2))), h_k = relu(norm(conv_k(h_(k−1)))); the carry is a norm, after a map of channels where their number changes. */
class SeriesBlock extends nn.Module {
  readonly layers: readonly ConvNorm[]
  readonly shortcut: ConvNorm | nn.BatchNorm1d

  constructor(input: number, output: number) {
    super()
    this.layers = KERNELS.map((kernel, k) => new ConvNorm(k === 0 ? input : output, output, kernel))
    this.shortcut = input === output ? new nn.BatchNorm1d(output) : new ConvNorm(input, output, 1)
  }

  forward(x: Tensor, mask: Tensor | undefined): Tensor {
    const [first, second, third] = this.layers as [ConvNorm, ConvNorm, ConvNorm]
    const h = second.forward(first.forward(x, mask).relu(), mask).relu()
    const { shortcut } = this
    const carry = shortcut instanceof ConvNorm ? shortcut.forward(x, mask) : shortcut.forward(x, { mask })
    return third.forward(h, mask).add(carry).relu()
  }
}

/**
 * The label of a series of measurements, read by three residual blocks of three convolutions along time (Wang, Yan and Oates 2017, arXiv 1611.06455):
 * ```
 * p(label | x) = softmax(head(mean over time of y_3))          y_k = relu(carry(y_(k−1)) + F(y_(k−1)))          kernels 8, 5, 3; 64, 128, 128 channels
 * ```
 * Series may differ in length and have at least 8 steps. Differs from the paper's code: nothing in the network; AdamW in place of Adam.
 *
 * @example
 * const examples = Array.from({ length: 48 }, (_, i) => ({
 *   series: Array.from({ length: 24 }, (_, t) => [Math.sin((i % 2 ? 0.5 : 1.1) * (t + i))]),
 *   label: i % 2 ? 'slow' : 'fast',
 * }))
 * const model = models.ResNet1d.of(examples, { width: 8 })
 * await train.fit(model, model.loader(examples), { epochs: 20 })
 * const [answer] = await model.predict([examples[0].series])
 * console.log(answer.label, answer.probability)
 * await model.save('hums')
 */
export class ResNet1d extends SeriesNetwork {
  readonly blocks: readonly SeriesBlock[]
  readonly head: nn.Linear

  constructor(options: SeriesNetworkOptions) {
    super(options, WIDTH)
    const { inputs, labels, width } = this.config
    const widths = [inputs, width, 2 * width, 2 * width]
    this.blocks = [0, 1, 2].map((k) => new SeriesBlock(widths[k] as number, widths[k + 1] as number))
    this.head = new nn.Linear(2 * width, labels.length)
  }

  /** A model for the labels of the examples; it is not trained yet. */
  static of(
    examples: readonly LabelledSeries[],
    options: Omit<SeriesNetworkOptions, 'inputs' | 'labels'> = {},
  ): ResNet1d {
    return new ResNet1d({ ...taken(options, `${KIND}.of`), ...sizesFor(examples, `${KIND}.of`) })
  }

  protected override features(x: Tensor, mask: Tensor | undefined): Tensor {
    return this.blocks.reduce((y, block) => block.forward(y, mask), x)
  }

  /**
   * Writes the model to a folder, which is made if need be: `config.json` and `model.safetensors`.
   *
   * @throws FileError (`ERR_IO`) where the file system refuses.
   */
  save(folder: string): Promise<void> {
    return saveFolder(folder, { kind: KIND, config: this.config, vocabularies: {}, state: this.stateDict() })
  }

  /**
   * A model that was saved in a folder.
   *
   * @throws FileError (`ERR_IO`) where a file cannot be read; CheckpointError (`ERR_CHECKPOINT`) where one is damaged or they do not belong together.
   */
  static async load(folder: string, options: { device?: DeviceLike } = {}): Promise<ResNet1d> {
    const { device = 'cpu' } = taken(options, `${KIND}.load`)
    const { config, state } = await loadFolder<SeriesNetworkConfig>(folder, KIND, [])
    return new ResNet1d(config).loadStateDict(state).to(device).eval()
  }
}
