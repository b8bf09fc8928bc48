// The classes of images, as a model that gives logits of them answers.
import { ArgumentError } from '../../errors.js'
import type * as nn from '../../nn/index.js'
import { ahead, Tensor, tensor } from '../../tensor/index.js'
import { Mode } from '../../train/mode.js'
import { taken } from '../check.js'
import { type Classified, classified } from '../labels.js'

/** Images that are classified: a tensor [N, C, H, W], or elements and their shape, such as `readIdx` gives. */
export type Images = Tensor | { data: Uint8Array | Float32Array; shape: readonly number[] }

/** Images that are classified at once. */
const ROWS = 64

/** The answers for all rows, some at a time, in eval mode, ahead of training that is under way. */
export async function answersOf(
  model: nn.Module & { readonly labels: readonly string[]; forward(x: Tensor): Tensor },
  images: Images,
  op: string,
): Promise<Classified[]> {
  const all = images instanceof Tensor ? images : readImages(images, op)
  const answers: Classified[] = []
  const mode = new Mode(model)
  for (let start = 0; start < (all.shape[0] ?? 1); start += ROWS) {
    const probabilities = mode.run(false, () =>
      ahead(() => {
        const rows = all.rank === 0 ? all : all.slice(0, start, start + ROWS)
        return model.forward(rows.to(model.device)).softmax(-1).to('float32')
      }),
    )
    answers.push(...classified(model.labels, (await probabilities.data()) as Float32Array))
    probabilities.dispose()
  }
  return answers
}

function readImages(images: Exclude<Images, Tensor>, op: string): Tensor {
  const { data, shape } = taken(images, op, 'images')
  if (!(data instanceof Uint8Array) && !(data instanceof Float32Array))
    throw new ArgumentError(`${op}: images must be a tensor, or { data, shape } of bytes or float32`, {
      op,
      expected: 'a tensor',
      got: typeof data,
    })
  const dtype = data instanceof Uint8Array ? 'uint8' : 'float32'
  return tensor(data, { dtype, shape: shape as number[] }) as Tensor
}
