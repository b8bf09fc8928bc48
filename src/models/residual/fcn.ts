// FCN: the fully convolutional classifier of series.
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

const KIND = 'FCN'
const WIDTH = 128

/**
 * The label of a series of measurements, read by three convolutions along time, each with its norm and ReLU (Wang, Yan and Oates 2017, arXiv 1611.06455):
 * ```
 * p(label | x) = softmax(head(mean over time of h_3))          h_k = relu(norm(conv_k(h_(k−1))))          kernels 8, 5, 3; 128, 256, 128 channels
 * ```
 * Series may differ in length and have at least 8 steps. Differs from the paper's code: nothing in the network; AdamW in place of Adam.
 *
 * @example
 * const examples = Array.from({ length: 48 }, (_, i) => ({
 *   series: Array.from({ length: 24 }, (_, t) => [Math.sin((i % 2 ? 0.5 : 1.1) * (t + i))]),
 *   label: i % 2 ? 'slow' : 'fast',
 * }))
 * const model = models.FCN.of(examples, { width: 16 })
 * await train.fit(model, model.loader(examples), { epochs: 20 })
 * const [answer] = await model.predict([examples[0].series])
 * console.log(answer.label, answer.probability)
 * await model.save('hums')
 */
export class FCN extends SeriesNetwork {
  readonly layers: readonly ConvNorm[]
  readonly head: nn.Linear

  constructor(options: SeriesNetworkOptions) {
    super(options, WIDTH)
    const { inputs, labels, width } = this.config
    const widths = [width, 2 * width, width]
    this.layers = KERNELS.map((kernel, k) => new ConvNorm(widths[k - 1] ?? inputs, widths[k] as number, kernel))
    this.head = new nn.Linear(width, labels.length)
  }

  /** A model for the labels of the examples; it is not trained yet. */
  static of(examples: readonly LabelledSeries[], options: Omit<SeriesNetworkOptions, 'inputs' | 'labels'> = {}): FCN {
    return new FCN({ ...taken(options, `${KIND}.of`), ...sizesFor(examples, `${KIND}.of`) })
  }

  protected override features(x: Tensor, mask: Tensor | undefined): Tensor {
    return this.layers.reduce((h, layer) => layer.forward(h, mask).relu(), x)
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
  static async load(folder: string, options: { device?: DeviceLike } = {}): Promise<FCN> {
    const { device = 'cpu' } = taken(options, `${KIND}.load`)
    const { config, state } = await loadFolder<SeriesNetworkConfig>(folder, KIND, [])
    return new FCN(config).loadStateDict(state).to(device).eval()
  }
}
