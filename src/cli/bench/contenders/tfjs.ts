// TensorFlow.js, by its layers and `trainOnBatch`: the loop that its documentation shows for batches of one's own.
import { type Contender, type Model, Unable } from '../contender.js'
import { reordered, type Spec, shapeOf, transposed, type Weight, weightsOf } from '../spec.js'
import type { Project } from './load.js'

/** The part of its interface that is used. */
interface Tf {
  setBackend(name: string): Promise<boolean>
  ready(): Promise<void>
  tensor(data: ArrayLike<number>, shape: number[], dtype?: string): TfTensor
  oneHot(labels: TfTensor, depth: number): TfTensor
  cast(x: TfTensor, dtype: string): TfTensor
  tidy<T>(body: () => T): T
  input(options: object): object
  model(options: object): TfModel
  train: { adam(lr: number, beta1: number, beta2: number, epsilon: number): object }
  losses: {
    softmaxCrossEntropy(labels: TfTensor, logits: TfTensor): TfTensor
    meanSquaredError(labels: TfTensor, predictions: TfTensor): TfTensor
  }
  layers: Record<string, (options?: object) => { apply(x: unknown): object }>
}
interface TfTensor {
  data(): Promise<Float32Array>
  dispose(): void
}
interface TfModel {
  setWeights(weights: TfTensor[]): void
  compile(options: object): void
  trainOnBatch(x: TfTensor, y: TfTensor): Promise<number>
  predictOnBatch(x: TfTensor): TfTensor
}

export async function load(project: Project, backend: 'cpu' | 'wasm', threads: number): Promise<Contender> {
  const tf = (await project.load('@tensorflow/tfjs')) as Tf
  if (backend === 'wasm') {
    const wasm = (await project.load('@tensorflow/tfjs-backend-wasm')) as { setThreadsCount?(count: number): void }
    wasm.setThreadsCount?.(threads)
  }
  if (!(await tf.setBackend(backend))) throw new Error(`its ${backend} backend does not start`)
  await tf.ready()
  const about = `TensorFlow.js ${project.version('@tensorflow/tfjs')}, ${backend} backend`
  return { about, open: async (spec) => open(tf, spec) }
}

function open(tf: Tf, spec: Spec): Model<{ x: TfTensor; y: TfTensor }> {
  if (spec.kind === 'minlstm') throw new Unable('no minLSTM in it')
  const model = spec.kind === 'residual' ? residual(tf, spec) : recurrent(tf, spec)
  model.setWeights(weights(spec).map(({ data, shape }) => tf.tensor(data, shape)))
  model.compile({
    optimizer: tf.train.adam(spec.lr, 0.9, 0.999, 1e-8),
    loss: spec.loss === 'mse' ? tf.losses.meanSquaredError : tf.losses.softmaxCrossEntropy,
  })
  const made: Model<{ x: TfTensor; y: TfTensor }> = {
    batch: (x, y) => ({
      x: tf.tensor(x, shapeOf(spec)),
      y:
        spec.loss === 'mse'
          ? tf.tensor(y, [spec.batch, spec.outputSize])
          : tf.tidy(() => tf.cast(tf.oneHot(tf.tensor(y, [spec.batch], 'int32'), spec.outputSize), 'float32')),
    }),
    step: ({ x, y }) => model.trainOnBatch(x, y),
    predict: async ({ x }) => {
      const y = model.predictOnBatch(x)
      const data = await y.data()
      y.dispose()
      return data
    },
  }
  return spec.kind === 'gru' ? { ...made, differs: 'its GRU resets the state before the product, not after' } : made
}

function recurrent(tf: Tf, { kind, inputSize, hiddenSize, outputSize, steps }: Spec): TfModel {
  const input = tf.input({ shape: [steps, inputSize] })
  const options = { units: hiddenSize, useBias: false, recurrentActivation: 'sigmoid', unitForgetBias: false }
  const last = tf.layers[kind]?.(options).apply(input)
  return tf.model({ inputs: input, outputs: tf.layers.dense?.({ units: outputSize }).apply(last) })
}

function residual(tf: Tf, { inputSize, hiddenSize }: Spec): TfModel {
  const input = tf.input({ shape: [inputSize] })
  const norm = tf.layers.layerNormalization?.({ epsilon: 1e-5 }).apply(input)
  const inner = tf.layers.dense?.({ units: hiddenSize, activation: 'gelu_new' }).apply(norm)
  const branch = tf.layers.dense?.({ units: inputSize }).apply(inner)
  return tf.model({ inputs: input, outputs: tf.layers.add?.().apply([input, branch]) })
}

/** Its order: gates i, f, c, o or z, r, h; all matrices the other way round. */
function weights(spec: Spec): Weight[] {
  const all = [...weightsOf(spec).entries()]
  return all.map(([name, weight]) => {
    const ordered = spec.kind === 'gru' && name.endsWith('_l0') ? reordered(weight, [1, 0, 2]) : weight
    return ordered.shape.length === 2 ? transposed(ordered) : ordered
  })
}
