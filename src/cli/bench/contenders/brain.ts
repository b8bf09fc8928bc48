// brain.js: recurrent nets over one sequence at a time, each step predicting the next. Not the same model; the nearest that it has.
import { type Contender, type Model, Unable } from '../contender.js'
import type { Spec } from '../spec.js'
import type { Project } from './load.js'

interface Net {
  train(sequences: number[][][], options: object): { error: number }
  run(sequence: number[][]): ArrayLike<number>
}
type TimeStep = new (options: object) => Net

export async function load(project: Project): Promise<Contender> {
  const { recurrent } = (await project.load('brain.js')) as { recurrent: Record<string, TimeStep> }
  const about = `brain.js ${project.version('brain.js')}, plain JavaScript`
  return { about, open: async (spec) => open(recurrent, spec) }
}

function open(recurrent: Record<string, TimeStep>, spec: Spec): Model<number[][][]> {
  if (spec.kind === 'minlstm') throw new Unable('no minLSTM in it')
  if (spec.kind === 'residual') throw new Unable('no residual connections in it')
  if (spec.loss !== 'mse') throw new Unable('no classifier of vectors over time in it')
  const { batch, steps, inputSize, hiddenSize } = spec
  const Net = (spec.kind === 'lstm' ? recurrent.LSTMTimeStep : recurrent.GRUTimeStep) as TimeStep
  const net = new Net({ inputSize, hiddenLayers: [hiddenSize], outputSize: inputSize, learningRate: spec.lr })
  const once = { iterations: 1, errorThresh: 0, log: false }
  // It makes its weights at the first training.
  net.train([Array.from({ length: steps }, () => new Array<number>(inputSize).fill(0))], once)
  return {
    differs: 'predicts the next value at every step, one sequence after the other, with a decaying RMSprop',
    batch: (x) =>
      Array.from({ length: batch }, (_, b) =>
        Array.from({ length: steps }, (_, t) =>
          Array.from(x.subarray((b * steps + t) * inputSize, (b * steps + t + 1) * inputSize)),
        ),
      ),
    step: async (sequences) => net.train(sequences, once).error,
    predict: async (sequences) => sequences.flatMap((sequence) => Array.from(net.run(sequence))),
  }
}
