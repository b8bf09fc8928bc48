// Who takes part, in the order of the table.

export interface Entry {
  id: string
  name: string
  /** What must be installed in the user's project. */
  packages: string[]
  /** Whether it is one of other people's libraries, which `--peer-node` runs on another Node. */
  peer: boolean
}

export const ENTRIES: readonly Entry[] = [
  { id: 'native', name: 'quarterturn', packages: [], peer: false },
  { id: 'js', name: 'quarterturn/js', packages: [], peer: false },
  {
    id: 'tfjs-wasm',
    name: 'TensorFlow.js wasm',
    packages: ['@tensorflow/tfjs', '@tensorflow/tfjs-backend-wasm'],
    peer: true,
  },
  { id: 'tfjs-cpu', name: 'TensorFlow.js cpu', packages: ['@tensorflow/tfjs'], peer: true },
  { id: 'jax', name: 'jax-js', packages: ['@jax-js/jax'], peer: true },
  { id: 'brain', name: 'brain.js', packages: ['brain.js'], peer: true },
  { id: 'onnx', name: 'ONNX Runtime', packages: ['onnxruntime-node'], peer: true },
]
