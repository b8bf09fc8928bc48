// ONNX Runtime: inference alone.
import { type Contender, type Model, Unable } from '../contender.js'
import { type Spec, shapeOf } from '../spec.js'
import type { Project } from './load.js'
import { onnxModel } from './onnx-model.js'

interface Ort {
  InferenceSession: {
    create(model: Uint8Array, options: object): Promise<{ run(feeds: object): Promise<{ y: { data: Float32Array } }> }>
  }
  Tensor: new (type: string, data: Float32Array, shape: number[]) => object
}

export async function load(project: Project, threads: number): Promise<Contender> {
  const ort = (await project.load('onnxruntime-node')) as Ort
  const about = `ONNX Runtime ${project.version('onnxruntime-node')}, cpu, ${threads} thread(s)`
  return { about, open: (spec) => open(ort, spec, threads) }
}

async function open({ InferenceSession, Tensor }: Ort, spec: Spec, threads: number): Promise<Model<object>> {
  if (spec.kind === 'minlstm') throw new Unable('no minLSTM among its operators')
  const options = { intraOpNumThreads: threads, interOpNumThreads: 1, logSeverityLevel: 3 }
  const session = await InferenceSession.create(onnxModel(spec), options)
  return {
    untrained: 'inference only',
    batch: (x) => new Tensor('float32', x, shapeOf(spec)),
    predict: async (x) => (await session.run({ x })).y.data,
  }
}
