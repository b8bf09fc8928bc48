// The classes of images, as a model that gives logits of them answers.
import { ArgumentError, ShapeError } from '../../errors.js'
import type * as nn from '../../nn/index.js'
import { ahead, Tensor, tensor } from '../../tensor/index.js'
import { checkShape, elements, show } from '../../tensor/shape.js'
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
  const { count, rows } = images instanceof Tensor ? ofTensor(images) : ofArray(images, op)
  const answers: Classified[] = []
  const mode = new Mode(model)
  for (let start = 0; start < count; start += ROWS) {
    const probabilities = mode.run(false, () =>
      // Rows of an array become a tensor here: one of the queue would wait for what is queued before it.
      ahead(() => model.forward(rows(start).to(model.device)).to('float32').softmax(-1)),
    )
    answers.push(...classified(model.labels, (await probabilities.data()) as Float32Array))
    probabilities.dispose()
  }
  return answers
}

/** How many rows there are, and those from one on, at most `ROWS`. */
interface Source {
  count: number
  rows(start: number): Tensor
}

function ofTensor(images: Tensor): Source {
  const [count] = images.shape
  // Without rows it is the model that refuses it.
  if (count === undefined) return { count: 1, rows: () => images }
  return { count, rows: (start) => images.slice(0, start, start + ROWS) }
}

function ofArray(images: Exclude<Images, Tensor>, op: string): Source {
  const { data, shape } = taken(images, op, 'images')
  if (!(data instanceof Uint8Array) && !(data instanceof Float32Array))
    throw new ArgumentError(`${op}: images must be a tensor, or { data, shape } of bytes or float32`, {
      op,
      expected: 'a tensor',
      got: typeof data,
    })
  const [count = 1, ...row] = checkShape(shape as number[], op)
  const size = elements(row)
  if (count * size !== data.length)
    throw new ShapeError(
      `${op}: images of shape ${show(shape)} must have ${count * size} elements, got ${data.length}`,
      {
        op,
        expected: String(count * size),
        got: String(data.length),
      },
    )
  const dtype = data instanceof Uint8Array ? 'uint8' : 'float32'
  const rows = (start: number): Tensor => {
    const end = Math.min(count, start + ROWS)
    return tensor(data.subarray(start * size, end * size), { dtype, shape: [end - start, ...row] }) as Tensor
  }
  return { count, rows }
}
