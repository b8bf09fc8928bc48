// ResNet: residual networks of images, of the CIFAR and the ImageNet family, and what they are compared with.
import type { FieldData } from '../../data/field.js'
import { type Augmentation, Loader } from '../../data/index.js'
import { ShapeError } from '../../errors.js'
import * as nn from '../../nn/index.js'
import { type OptimizerFactory, sgd } from '../../optim/index.js'
import { checkpoint, type DeviceLike, generator, Tensor, tensor } from '../../tensor/index.js'
import { scope } from '../../tensor/scope.js'
import { show } from '../../tensor/shape.js'
import { entriesOfState, type StateDict } from '../../tensor/state-dict.js'
import type { Outputs } from '../../train/index.js'
import { checkRecords, refused, taken } from '../check.js'
import { loadFolder, saveFolder } from '../folder.js'
import type { Classified } from '../labels.js'
import { answersOf, type Images } from './answers.js'
import { checkBatch, type ImageBatch, lossOf } from './batch.js'
import { Block } from './block.js'
import { foldedState } from './fold.js'
import { activated, brightness, channelsLast, convolution, convolved, type Norm, normOf } from './layers.js'
import { channelsOut, KIND, planOf, type ResNetConfig, type ResNetOptions, settled } from './options.js'
import { type ResNetSizes, sizesOf } from './sizes.js'
import { checkWalk, type WalkOptions } from './walk.js'

/**
 * The class of an image, by blocks that add to what they are given (He et al. 2015; 2016):
 * ```
 * p(label | image) = softmax(fc(mean over space of blocks(stem(image))))          x_(l+1) = relu(x_l + F(x_l)), or x_l + F(relu(x_l))
 * ```
 * Depths 6n + 2 are those of CIFAR: a 3×3 stem and three stages of 16, 32 and 64 channels. 18, 34, 50, 101 and 152 are those of ImageNet, with the
 * keys, shapes and strides of torchvision: `loadStateDict(await loadSafetensors(file))` takes its files as they are. Images are normalised by
 * the `moments` of the options, which are saved with the model and are no part of the state dict; whole numbers are divided by 255 before.
 *
 * Shapes: [N, C, H, W] → logits [N, labels]. Errors: `ERR_SHAPE` for images of another kind, `ERR_CHECKPOINT` for a state of another depth, naming the
 * keys. Differs from torchvision: channels lie last in memory; values are the same.
 *
 * @example
 * const bright = Array.from({ length: 64 }, (_, i) => i % 2)
 * const images = tensor(bright.map((b) => [Array.from({ length: 8 }, () => Array(8).fill(b))]), { dtype: 'float32' })
 * const model = new models.ResNet({ labels: ['dark', 'bright'], depth: 8, channels: 1, width: 4 })
 * await train.fit(model, model.loader({ images, labels: bright }, { batch: 16 }), { epochs: 10 })
 * const [answer] = await model.classify(images)
 * console.log(answer.label, answer.probability)
 * await model.save('lamp')
 */
export class ResNet extends nn.Module {
  readonly config: ResNetConfig
  readonly conv1: nn.Conv2d
  /** Of the stem, in the original order. */
  readonly bn1: Norm
  readonly layer1: Block[] = []
  readonly layer2: Block[] = []
  readonly layer3: Block[] = []
  readonly layer4: Block[] = []
  /** After the last block, before activation. */
  readonly norm: Norm
  readonly fc: nn.Linear

  constructor(options: ResNetOptions) {
    super()
    const config = settled(options)
    const { family, channels, width, order, folded, tied, labels } = config
    const before = order === 'preactivation'
    this.config = config
    const stem = family === 'imagenet' ? { kernel: 7, stride: 2 } : { kernel: 3 }
    this.conv1 = convolution(channels, width, { ...stem, bias: folded && !before })
    if (!before) this.bn1 = normOf(width, folded)
    const plan = planOf(config)
    for (const each of plan) {
      const stage = this.stages[each.stage] as Block[]
      // The first block of a stage changes the shape: the others may share what they are.
      const shared = tied && each.index > 1 ? stage[1] : undefined
      stage.push(new Block(each, config, shared))
    }
    const last = channelsOut(plan)
    if (before) this.norm = normOf(last, false)
    this.fc = new nn.Linear(last, labels.length)
  }

  /** The number of parameters of a model of some options, and of its layers, without making it. `labels` may be a number of classes. */
  static sizes(options: Omit<ResNetOptions, 'labels'> & { labels: readonly string[] | number }): ResNetSizes {
    return sizesOf(options)
  }

  get labels(): readonly string[] {
    return this.config.labels
  }

  /** Its stages: `layer1` … `layer4`, which is empty in the CIFAR family. */
  get stages(): readonly Block[][] {
    return [this.layer1, this.layer2, this.layer3, this.layer4]
  }

  /** All blocks, from the first to the last: what `forward(x, { blocks })` counts. */
  get blocks(): readonly Block[] {
    return this.stages.flat()
  }

  /** [N, C, H, W], floats from 0 to 1 or whole numbers to 255 → logits [N, labels]; with blocks left out, in another order, or cut for gradients. */
  forward(images: Tensor, options: WalkOptions = {}): Tensor {
    return scope(() => this.#walked(images, options))
  }

  /** `forward`, and the stream: the input of each block that was run, and the output of the last, for gradients and norms along depth. */
  trace(images: Tensor, options: WalkOptions = {}): { logits: Tensor; stream: Tensor[] } {
    const stream: Tensor[] = []
    return { logits: this.#walked(images, options, stream), stream }
  }

  #walked(images: Tensor, options: WalkOptions, stream?: Tensor[]): Tensor {
    const walk = checkWalk(this.blocks, options)
    let x = this.#stem(this.#normalised(images))
    stream?.push(x)
    const absent: Block[] = []
    for (const { block, run, path } of walk) {
      const left = !run || (this.training && this.#dropped(block))
      if (left && run) absent.push(block)
      const forward = (value: Tensor): Tensor => block.forward(value, path)
      const again = this.training && this.config.checkpoint
      const read = x
      x = left ? block.skip(read) : again ? checkpoint(forward, read) : scope(() => forward(read))
      // What no later block reads gives its memory to the next, while it is in the caches.
      if (stream === undefined && x !== read) read.dispose()
      stream?.push(x)
    }
    if (this.norm !== undefined) x = activated(this.norm, x)
    const logits = this.fc.forward(nn.functional.adaptiveAvgPool2d(x, 1).flatten(1))
    return this.training ? withZero(logits, absent) : logits
  }

  #dropped(block: Block): boolean {
    const { keep } = block.place
    // Decided here, so that a block left out costs nothing: by the ambient generator, which a resumed run restores.
    return keep < 1 && Number(BigInt(generator().fork().state().seed) >> 11n) / 2 ** 53 >= keep
  }

  #stem(x: Tensor): Tensor {
    const read = convolved(this.conv1, this.bn1, x, { relu: this.config.order !== 'preactivation' })
    return this.config.family === 'imagenet' ? nn.functional.maxPool2d(read, 3, { stride: 2, padding: 1 }) : read
  }

  #normalised(images: Tensor): Tensor {
    const { channels, moments } = this.config
    if (!(images instanceof Tensor) || images.rank !== 4 || images.shape[1] !== channels) {
      const got = images instanceof Tensor ? show(images.shape) : typeof images
      throw new ShapeError(`${KIND}: images must be [N, C=${channels}, H, W], got ${got}`, {
        op: KIND,
        expected: `[N, ${channels}, H, W]`,
        got,
      })
    }
    const dtype = this.fc.weight.dtype as 'float32'
    const x = channelsLast(brightness(images, dtype))
    if (moments.mean.every((mean) => mean === 0) && moments.deviation.every((deviation) => deviation === 1)) return x
    const { device } = images
    const [mean, deviation] = [moments.mean, moments.deviation].map((values) =>
      tensor([...values], { dtype, device }).reshape([1, channels, 1, 1]),
    ) as [Tensor, Tensor]
    return x.sub(mean).div(deviation)
  }

  /** The mean cross entropy, in nats, and the logits for metrics: `metrics: { accuracy: train.accuracy() }`. */
  loss(batch: ImageBatch): Outputs {
    const { images, labels } = checkBatch(batch, `${KIND}.loss`)
    return lossOf(this.forward(images), labels, { labelSmoothing: this.training ? this.config.labelSmoothing : 0 })
  }

  /** Stochastic gradients with momentum, as in 2015; `recipe2015` has its schedule too. */
  optimizer(): OptimizerFactory {
    return sgd({ lr: 0.05, momentum: 0.9, weightDecay: 1e-4 })
  }

  /**
   * Batches of images [C, H, W] and the numbers of their classes, for training or validation: a `data.Loader` of those two fields. `augment` is what is done
   * to the images, but for their normalisation, which is the model's.
   *
   * @throws ArgumentError, ShapeError for fields that do not fit.
   */
  loader(
    fields: { images: FieldData; labels: FieldData },
    options: { batch?: number; shuffle?: boolean; seed?: number | bigint; augment?: Augmentation } = {},
  ) {
    const op = `${KIND}.loader`
    const { batch = 128, shuffle = true, seed, augment } = taken(options, op)
    const [{ images, labels }] = checkRecords([fields], 'fields', op) as [typeof fields]
    if (augment?.normalize !== undefined)
      throw refused(op, 'augment', 'without normalize: the model normalises by its moments', augment.normalize)
    // Bytes stay bytes: an eighth of what whole numbers take.
    const bytes = (images as { data?: unknown })?.data instanceof Uint8Array
    const dtypes = bytes ? ({ images: 'uint8' } as const) : {}
    const more = {
      ...(seed === undefined ? {} : { seed }),
      ...(augment === undefined ? {} : { augment: { images: augment } }),
    }
    return new Loader({ images, labels }, { batch, shuffle, dtypes, ...more })
  }

  /** The classes of some images with their probabilities. It goes ahead of training that is under way. */
  async classify(images: Images): Promise<Classified[]> {
    return answersOf(this, images, `${KIND}.classify`)
  }

  /**
   * A copy for inference whose convolutions have their norms within: W' = W γ / √(v + ε), b' = β − γ m / √(v + ε). Before activation the
   * norms that no convolution precedes stay. Outputs are those of eval mode, up to rounding.
   */
  folded(): ResNet {
    const { config } = this
    if (config.folded) return new ResNet(config).loadStateDict(this.stateDict()).to(this.device).eval()
    const copy = new ResNet({ ...config, folded: true, tied: false })
    const dtype = this.fc.weight.dtype as 'float32'
    return copy.to(dtype).loadStateDict(foldedState(this, copy)).to(this.device).eval()
  }

  /** As `nn.Module.loadStateDict`; counts of batches, `num_batches_tracked`, may be missing, as in old files. */
  override loadStateDict(dict: StateDict, options: { strict?: boolean } = {}): this {
    const given = new Map(entriesOfState(dict, 'loadStateDict'))
    for (const [key, count] of this.namedBuffers())
      if (key.endsWith('num_batches_tracked') && !given.has(key)) given.set(key, count)
    return super.loadStateDict(given, options)
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
  static async load(folder: string, options: { device?: DeviceLike } = {}): Promise<ResNet> {
    const { device = 'cpu' } = taken(options, `${KIND}.load`)
    const { config, state } = await loadFolder<ResNetConfig>(folder, KIND, [])
    return new ResNet(config).loadStateDict(state).to(device).eval()
  }
}

/** The logits, which now depend on the parameters of the blocks that were left out, with gradients of zero. */
function withZero(logits: Tensor, absent: readonly Block[]): Tensor {
  let sum = logits
  for (const block of absent)
    for (const parameter of block.parameters()) if (parameter.requiresGrad) sum = sum.add(parameter.sum().mul(0))
  return sum
}
