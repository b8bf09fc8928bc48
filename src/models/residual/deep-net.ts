// DeepNet: very deep networks of equal layers, plain, residual or highway: who of them trains, and what depth does to gradients.
import { ShapeError } from '../../errors.js'
import * as nn from '../../nn/index.js'
import { type OptimizerFactory, sgd } from '../../optim/index.js'
import { cat, type DeviceLike, stack, Tensor } from '../../tensor/index.js'
import { scope } from '../../tensor/scope.js'
import { show, whole } from '../../tensor/shape.js'
import type { Outputs } from '../../train/index.js'
import { refused, taken } from '../check.js'
import { loadFolder, saveFolder } from '../folder.js'
import { type Classified, checkLabels } from '../labels.js'
import { answersOf, type Images } from './answers.js'
import { checkBatch, type ImageBatch, lossOf } from './batch.js'
import { brightness } from './layers.js'

export interface DeepNetOptions {
  /** Numbers of a row, such as the pixels of an image. */
  inputs: number
  labels: readonly string[]
  /** What a layer does with what it is given. @default 'residual' */
  layer?: 'plain' | 'residual' | 'highway'
  /** Layers: a map from the inputs, depth − 1 of equal width, and the map to the labels, which does not count. @default 20 */
  depth?: number
  /** @default 50 */
  width?: number
  /** φ. @default 'relu' */
  nonlinearity?: 'relu' | 'tanh'
  /** What the biases of the highway's gates start at. @default -2 */
  gateBias?: number
  /**
   * Factor of what a residual layer adds; 'depth' is 1/√K, which keeps the stream's size over K layers where φ has mean 0, as tanh has. With ReLU, whose
   * mean is positive, a factor s makes the stream grow by e^(0.56·s·K): 1/K is small enough. @default 1
   */
  scale?: number | 'depth'
}

type Config = Required<DeepNetOptions> & { labels: string[] }
const KIND = 'DeepNet'

/**
 * The class of a row of numbers, by many equal layers (Srivastava et al. 2015; He et al. 2016):
 * ```
 * plain     x_(k+1) = φ(W x_k + b)
 * residual  x_(k+1) = x_k + s φ(W x_k + b)
 * highway   x_(k+1) = t ⊙ φ(W x_k + b) + (1 − t) ⊙ x_k          t = σ(W_t x_k + b_t)
 * ```
 * Each is `axis.Stack` of `axis.dense()` with the carrier of that name along depth, without norms. W starts normal with deviation √(2 / width) for ReLU and
 * √(1 / width) for tanh. Shapes: [N, …] of `inputs` numbers → logits [N, labels]; whole numbers are divided by 255. Errors: `ERR_SHAPE`.
 *
 * @example
 * const rows = Array.from({ length: 64 }, (_, i) => [i % 2, 1 - (i % 2), 0.5])
 * const model = new models.DeepNet({ inputs: 3, labels: ['left', 'right'], layer: 'highway', depth: 10, width: 8 })
 * const images = tensor(rows, { dtype: 'float32' })
 * const loader = new data.Loader({ images, labels: rows.map(([a]) => 1 - a) }, { batch: 16, shuffle: true })
 * await train.fit(model, loader, { epochs: 20 })
 * const [answer] = await model.classify(images)
 * console.log(answer.label, answer.probability)
 * await model.save('sides')
 */
export class DeepNet extends nn.Module {
  readonly config: Config
  readonly embed: nn.Linear
  readonly layers: readonly nn.Linear[] | nn.Highway
  readonly head: nn.Linear

  constructor(options: DeepNetOptions) {
    super()
    const { inputs, labels, layer = 'residual', depth = 20, width = 50, ...more } = taken(options, KIND)
    const { nonlinearity = 'relu', gateBias = -2, scale = 1 } = more
    whole(inputs, 'inputs', KIND, 1)
    whole(width, 'width', KIND, 1)
    const layers = whole(depth, 'depth', KIND, 2) - 1
    if (layer !== 'plain' && layer !== 'residual' && layer !== 'highway')
      throw refused(KIND, 'layer', "'plain', 'residual' or 'highway'", layer)
    if (nonlinearity !== 'relu' && nonlinearity !== 'tanh')
      throw refused(KIND, 'nonlinearity', "'relu' or 'tanh'", nonlinearity)
    if (!Number.isFinite(gateBias)) throw refused(KIND, 'gateBias', 'a number', gateBias)
    if (scale !== 'depth' && !Number.isFinite(scale)) throw refused(KIND, 'scale', "a number or 'depth'", scale)
    this.config = { inputs, labels: checkLabels(labels, KIND), layer, depth, width, nonlinearity, gateBias, scale }
    const start = (shape: number[]) =>
      nn.init.kaimingNormal(shape, { nonlinearity: nonlinearity === 'relu' ? 'relu' : 'linear' })
    const linear = (from: number): nn.Linear =>
      Object.assign(new nn.Linear(from, width), { weight: start([width, from]), bias: nn.init.zeros([width]) })
    this.embed = linear(inputs)
    if (layer === 'highway') {
      const highway = new nn.Highway(width, { layers, nonlinearity, gateBias })
      const weight = nn.init.variable(() =>
        stack(
          Array.from({ length: layers }, (_, k) =>
            cat([start([width, width]), highway.weight.select(0, k).slice(0, width)], 0),
          ),
          0,
        ),
      )
      this.layers = Object.assign(highway, { weight })
    } else this.layers = Array.from({ length: layers }, () => linear(width))
    this.head = new nn.Linear(width, labels.length)
  }

  get labels(): readonly string[] {
    return this.config.labels
  }

  /** [N, …] → logits [N, labels] */
  forward(x: Tensor): Tensor {
    const { layers } = this
    return scope(() =>
      Array.isArray(layers)
        ? this.trace(x).logits
        : this.head.forward((layers as nn.Highway).forward(this.#embedded(x))),
    )
  }

  /** `forward`, and the stream: what each layer is given, and what the last hands on, for gradients and norms along depth. */
  trace(x: Tensor): { logits: Tensor; stream: Tensor[] } {
    const stream = [this.#embedded(x)]
    for (let k = 0; k < this.config.depth - 1; k++) stream.push(this.#layer(k, stream[k] as Tensor))
    return { logits: this.head.forward(stream.at(-1) as Tensor), stream }
  }

  #layer(k: number, x: Tensor): Tensor {
    const { layers } = this
    const { layer, nonlinearity, scale, depth } = this.config
    if (layers instanceof nn.Highway) {
      const one = (all: Tensor): Tensor => all.slice(0, k, k + 1)
      return nn.functional.highway(x, one(layers.weight), layers.bias && one(layers.bias), { nonlinearity })
    }
    const a = (layers[k] as nn.Linear).forward(x)
    const h = nonlinearity === 'relu' ? a.relu() : a.tanh()
    if (layer === 'plain') return h
    const factor = scale === 'depth' ? 1 / Math.sqrt(depth - 1) : scale
    return x.add(factor === 1 ? h : h.mul(factor))
  }

  #embedded(x: Tensor): Tensor {
    const { inputs, nonlinearity } = this.config
    const got = x instanceof Tensor ? x.shape : []
    if (got.length < 2 || got.slice(1).reduce((product, size) => product * size, 1) !== inputs)
      throw new ShapeError(`${KIND}: a batch must be [N, …] of ${inputs} numbers a row, got ${show(got)}`, {
        op: KIND,
        expected: `[N, ${inputs}]`,
        got: show(got),
      })
    const { dtype } = this.head.weight
    const rows = x.reshape([got[0] as number, inputs])
    const a = this.embed.forward(brightness(rows, dtype))
    return nonlinearity === 'relu' ? a.relu() : a.tanh()
  }

  /** The mean cross entropy, in nats, and the logits for metrics: `metrics: { accuracy: train.accuracy() }`. */
  loss(batch: ImageBatch): Outputs {
    const { images, labels } = checkBatch(batch, `${KIND}.loss`)
    return lossOf(this.forward(images), labels)
  }

  /** As in the paper of highways: stochastic gradients with momentum. */
  optimizer(): OptimizerFactory {
    return sgd({ lr: 0.05, momentum: 0.9 })
  }

  /** The classes of some rows with their probabilities. It goes ahead of training that is under way. */
  async classify(rows: Images): Promise<Classified[]> {
    return answersOf(this, rows, `${KIND}.classify`)
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
  static async load(folder: string, options: { device?: DeviceLike } = {}): Promise<DeepNet> {
    const { device = 'cpu' } = taken(options, `${KIND}.load`)
    const { config, state } = await loadFolder<Config>(folder, KIND, [])
    return new DeepNet(config).loadStateDict(state).to(device).eval()
  }
}
