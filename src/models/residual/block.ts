// Block: a branch of two or three convolutions, and the shortcut past it.
import * as nn from '../../nn/index.js'
import type { Tensor } from '../../tensor/index.js'
import { activated, convolution, convolved, type Norm, normOf } from './layers.js'
import type { BlockPlan, ResNetConfig } from './options.js'

/** Where a gradient goes through a block: the values stay the same, what it does not pass counts as constant (Veit et al. 2016, section 4.3). */
export type BlockPath = 'both' | 'branch' | 'shortcut'

/** The shape of one block: its input and whether it changes it. */
type Place = Pick<BlockPlan, 'stage' | 'index' | 'transition' | 'keep' | 'stride' | 'input' | 'output'>

/**
 * One block of a ResNet, original or pre-activation:
 * ```
 * original       y = relu(carry(x) + norm(conv(relu(norm(conv(x))))))
 * preactivation  y = carry(x) + conv(relu(norm(conv(relu(norm(x))))))
 * ```
 * A bottleneck has convolutions of 1×1, 3×3 and 1×1. `carry` is the shortcut of the options. Keys as torchvision's: `conv1.weight`, `bn1.weight`,
 * `downsample.0.weight`; a gate is `gate.weight`.
 */
export class Block extends nn.Module {
  readonly conv1: nn.Conv2d
  readonly bn1: Norm
  readonly conv2: nn.Conv2d
  readonly bn2: Norm
  readonly conv3: nn.Conv2d | undefined
  readonly bn3: Norm
  /** A 1×1 convolution, and in the original order its norm. */
  readonly downsample: readonly (nn.Conv2d | nn.BatchNorm2d)[] | undefined
  readonly gate: nn.Conv2d | undefined
  readonly #config: ResNetConfig
  readonly #place: Place

  /** `shared`: a block whose convolutions this one takes. */
  constructor(plan: BlockPlan, config: ResNetConfig, shared?: Block) {
    super()
    const { input, inner, output, stride, bottleneck, transition } = plan
    const { order, folded, shortcut, gateBias } = config
    const before = order === 'preactivation'
    this.#config = config
    this.#place = plan
    // Before activation the norm of a convolution's output is that of the next one's input, and the last has none.
    const conv = (from: number, to: number, options: { kernel: number; stride?: number }, last = false): nn.Conv2d =>
      convolution(from, to, { ...options, bias: folded && !(before && last) })
    const wide = bottleneck ? 1 : 3
    this.conv1 = shared?.conv1 ?? conv(input, inner, { kernel: wide, stride: bottleneck ? 1 : stride })
    this.conv2 = shared?.conv2 ?? conv(inner, inner, { kernel: 3, stride: bottleneck ? stride : 1 }, !bottleneck)
    if (bottleneck) this.conv3 = shared?.conv3 ?? conv(inner, output, { kernel: 1 }, true)
    this.bn1 = before ? normOf(input, false) : normOf(inner, folded)
    this.bn2 = normOf(inner, folded)
    if (bottleneck) this.bn3 = normOf(before ? inner : output, folded)
    const projects = transition ? shortcut !== 'none' && config.transition === 'projection' : shortcut === 'conv'
    if (projects) {
      const projection = convolution(input, output, { kernel: 1, stride, bias: folded && !before })
      const norm = before ? undefined : normOf(output, folded)
      this.downsample = norm === undefined ? [projection] : [projection, norm]
    }
    if (!transition && (shortcut === 'exclusiveGate' || shortcut === 'shortcutGate')) {
      const gate = new nn.Conv2d(input, input, 1)
      this.gate = Object.assign(gate, { bias: nn.init.constant([input], gateBias) })
    }
  }

  /** Of which stage it is, and where in it. */
  get place(): Place {
    return this.#place
  }

  /** It changes the shape and has no shortcut. */
  get plainTransition(): boolean {
    return this.#place.transition && this.#config.shortcut === 'none'
  }

  /** x [N, C, H, W] → [N, C', H', W']. Whether it is left out in training the model decides. */
  forward(x: Tensor, path: BlockPath = 'both'): Tensor {
    const { shortcut, order } = this.#config
    const before = order === 'preactivation'
    const read = before ? activated(this.bn1, x) : x
    const carried = shortcut === 'none' ? undefined : this.#carry(x, read)
    if (carried === undefined || (path === 'both' && this.#plain))
      return this.#branch(read, { residual: carried, relu: !before })
    const parts = this.#parts(x, carried, this.#branch(read))
    const sum = (path === 'branch' ? parts.carry.detach() : parts.carry).add(
      path === 'shortcut' ? parts.write.detach() : parts.write,
    )
    return before ? sum : sum.relu()
  }

  /** What goes on where the branch is left out: the shortcut, with the ReLU that follows the sum. */
  skip(x: Tensor): Tensor {
    const { shortcut, order } = this.#config
    const before = order === 'preactivation'
    if (shortcut === 'none') return x
    const read = before && this.downsample !== undefined ? activated(this.bn1, x) : x
    const carried = this.#carry(x, read)
    return before ? carried : carried.relu()
  }

  /** Both summands count in full. */
  get #plain(): boolean {
    const { shortcut } = this.#config
    const scaled = shortcut === 'constant' && !this.#place.transition
    return this.gate === undefined && !scaled && (this.training || this.#place.keep === 1)
  }

  /** The output of the last convolution and, in the original order, its norm; `after`: what is done with it. */
  #branch(read: Tensor, after: nn.AfterConv = {}): Tensor {
    const { conv1, conv2, conv3, bn1, bn2, bn3 } = this
    const [first, second, third] = this.#config.order === 'preactivation' ? [bn2, bn3, undefined] : [bn1, bn2, bn3]
    const x = convolved(conv1, first, read, { relu: true })
    if (conv3 === undefined) return convolved(conv2, second, x, after)
    return convolved(conv3, third, convolved(conv2, second, x, { relu: true }), after)
  }

  /** The input in the shape of the output; `read` is what a projection reads. */
  #carry(x: Tensor, read: Tensor): Tensor {
    const { downsample, training } = this
    const { stride, input, output, transition } = this.#place
    const { shortcut, shortcutDropout } = this.#config
    if (downsample !== undefined) {
      const [conv, norm] = downsample as [nn.Conv2d, Norm]
      return convolved(conv, norm, read)
    }
    if (transition) {
      const kept = stride === 1 ? x : x.slice(2, 0, Infinity, stride).slice(3, 0, Infinity, stride)
      const more = output - input
      return more === 0 ? kept : nn.functional.pad(kept, [0, 0, 0, 0, Math.floor(more / 2), Math.ceil(more / 2)])
    }
    return shortcut === 'dropout' ? nn.functional.dropout(x, shortcutDropout, { training }) : x
  }

  /** The two summands. */
  #parts(x: Tensor, carried: Tensor, branch: Tensor): { carry: Tensor; write: Tensor } {
    const { shortcut, shortcutScale, branchScale } = this.#config
    const { transition, keep } = this.#place
    const write = this.training || keep === 1 ? branch : branch.mul(keep)
    if (transition) return { carry: carried, write }
    if (shortcut === 'constant') return { carry: carried.mul(shortcutScale), write: write.mul(branchScale) }
    if (this.gate === undefined) return { carry: carried, write }
    const g = this.gate.forward(x).sigmoid()
    const carry = carried.sub(carried.mul(g))
    return { carry, write: shortcut === 'exclusiveGate' ? write.mul(g) : write }
  }
}
