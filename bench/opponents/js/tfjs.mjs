// TensorFlow.js 4.22: tf.layers.lstm and dense, compile and trainOnBatch, tf.train.adam; backend cpu, or wasm with one thread, as the options say.
import { load, options, problem, serve, transposed, weights } from './common.mjs'

const tf = await load('@tensorflow/tfjs')
if (options.backend === 'wasm') (await load('@tensorflow/tfjs-backend-wasm')).setThreadsCount(options.threads)
if (!(await tf.setBackend(options.backend))) throw new Error(`the backend ${options.backend} does not start`)
await tf.ready()

const { B, T, I, H, lr } = problem
const batches = problem.batches.map(({ x, y }) => ({ x: tf.tensor(x, [B, T, I]), y: tf.tensor(y, [B, 1]) }))

await serve(`tfjs ${tf.version.tfjs} ${options.backend}, Node ${process.version}`, () => {
  const input = tf.input({ shape: [T, I] })
  // Its gates come in the order of torch's; by default its recurrent activation is another one, and its dense layer starts otherwise.
  const lstm = tf.layers.lstm({ units: H, useBias: false, recurrentActivation: 'sigmoid', unitForgetBias: false })
  const model = tf.model({ inputs: input, outputs: tf.layers.dense({ units: 1 }).apply(lstm.apply(input)) })
  const { 'lstm.weight_ih_l0': ih, 'lstm.weight_hh_l0': hh, 'head.weight': head, 'head.bias': bias } = weights()
  const given = [...[ih, hh, head].map(transposed), bias]
  model.setWeights(given.map(({ data, shape }) => tf.tensor(data, shape)))
  model.compile({ optimizer: tf.train.adam(lr, 0.9, 0.999, 1e-8), loss: 'meanSquaredError' })
  return (i) => model.trainOnBatch(batches[i].x, batches[i].y)
})
