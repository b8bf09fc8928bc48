// The language task of the studies: fiction of the Brown corpus, letter by letter, in windows of one length.
import { nn, type Tensor, tensor } from 'quarterturn'
import { readBrown, splitTexts } from '../brown/corpus.js'
import { draws } from '../study/draws.js'

export interface Letters {
  /** Symbols. */
  size: number
  training: Int32Array
  test: Int32Array
}

let read: Letters | undefined

/** Whole texts are in one part; letters that only the test has are none of the model's: they count as a blank. */
export function readLetters(): Letters {
  if (read) return read
  const parts = splitTexts(readBrown().filter(({ genre }) => genre === 'fiction'))
  const [training, test] = [parts.training, parts.test].map((texts) =>
    texts.flatMap(({ sentences }) => sentences.map((words) => words.join(' '))).join('\n'),
  ) as [string, string]
  const symbols = new Map([...new Set(training)].sort().map((letter, i) => [letter, i]))
  const blank = symbols.get(' ') as number
  const coded = (text: string): Int32Array => Int32Array.from(text, (letter) => symbols.get(letter) ?? blank)
  read = { size: symbols.size, training: coded(training), test: coded(test) }
  return read
}

/** The loss, in nats per letter, of a model on `batch` random windows of `context` letters at each call. */
export function letterLoss(
  model: { forward(x: Tensor): Tensor },
  letters: Int32Array,
  { batch, context, seed }: { batch: number; context: number; seed: number },
): () => Tensor {
  const random = draws(seed)
  return () => {
    const [x, y] = [new Int32Array(batch * context), new Int32Array(batch * context)]
    for (let row = 0; row < batch; row++) {
      const start = Math.floor(random() * (letters.length - context - 1))
      x.set(letters.subarray(start, start + context), row * context)
      y.set(letters.subarray(start + 1, start + context + 1), row * context)
    }
    const whole = (values: Int32Array): Tensor => tensor(values, { shape: [batch, context] }).to('int64')
    return nn.functional.crossEntropy(model.forward(whole(x)), whole(y))
  }
}

/** Nats per letter of pairs of letters, counted in the training part: what every model must beat. */
export function pairsOfLetters({ size, training, test }: Letters): number {
  const counts = new Float64Array(size * size).fill(0.1)
  for (let i = 1; i < training.length; i++) {
    const at = (training[i - 1] as number) * size + (training[i] as number)
    counts[at] = (counts[at] as number) + 1
  }
  const sums = Array.from({ length: size }, (_, a) =>
    counts.subarray(a * size, (a + 1) * size).reduce((s, c) => s + c, 0),
  )
  let nats = 0
  for (let i = 1; i < test.length; i++) {
    const [a, b] = [test[i - 1] as number, test[i] as number]
    nats -= Math.log((counts[a * size + b] as number) / (sums[a] as number))
  }
  return nats / (test.length - 1)
}
