// The models of spec.ts as ONNX files: the few messages of its protocol buffers that they need. Field numbers are those of onnx.proto3.
import { reordered, type Spec, shapeOf, transposed, type Weight, weightsOf } from '../spec.js'

const FLOAT = 1
const INT64 = 7
const IR_VERSION = 9
const OPSET = 20

/** One input `x`, one output `y` [B, O]. */
export function onnxModel(spec: Spec): Uint8Array {
  const { nodes, tensors } = spec.kind === 'residual' ? residual(spec) : recurrent(spec)
  const graph = message(
    ...nodes.map((node) => bytes(1, node)),
    text(2, 'quarterturn-bench'),
    ...tensors.map((tensor) => bytes(5, tensor)),
    bytes(11, valueInfo('x', shapeOf(spec))),
    bytes(12, valueInfo('y', [spec.batch, spec.outputSize])),
  )
  return message(integer(1, IR_VERSION), bytes(7, graph), bytes(8, message(integer(2, OPSET))))
}

interface Graph {
  nodes: Uint8Array[]
  tensors: Uint8Array[]
}

/** ONNX has time first; its gates are i, o, f, c and z, r, h. The last state of a layer [D, B, H] is what the head reads. */
function recurrent(spec: Spec): Graph {
  const { kind, hiddenSize } = spec
  const weights = weightsOf(spec)
  const order = kind === 'lstm' ? [0, 3, 1, 2] : [1, 0, 2]
  const gates = (name: string) => {
    const { data, shape } = reordered(weights.get(name) as Weight, order)
    return { data, shape: [1, ...shape] }
  }
  const attributes = [intAttribute('hidden_size', hiddenSize)]
  if (kind === 'gru') attributes.push(intAttribute('linear_before_reset', 1))
  return {
    nodes: [
      node('Transpose', ['x'], ['xt'], [intsAttribute('perm', [1, 0, 2])]),
      node(kind.toUpperCase(), ['xt', 'w', 'r'], ['', 'h'], attributes),
      node('Squeeze', ['h', 'first'], ['last']),
      node('Gemm', ['last', 'head', 'bias'], ['y'], [intAttribute('transB', 1)]),
    ],
    tensors: [
      floats('w', gates('weight_ih_l0')),
      floats('r', gates('weight_hh_l0')),
      message(packed(1, [1]), integer(2, INT64), packed(7, [0]), text(8, 'first')),
      floats('head', weights.get('head.weight') as Weight),
      floats('bias', weights.get('head.bias') as Weight),
    ],
  }
}

function residual(spec: Spec): Graph {
  return {
    nodes: [
      node('LayerNormalization', ['x', 'norm.weight', 'norm.bias'], ['n'], [floatAttribute('epsilon', 1e-5)]),
      node('MatMul', ['n', 'linear1.weight'], ['u0']),
      node('Add', ['u0', 'linear1.bias'], ['u1']),
      node('Gelu', ['u1'], ['u2'], [textAttribute('approximate', 'tanh')]),
      node('MatMul', ['u2', 'linear2.weight'], ['v0']),
      node('Add', ['v0', 'linear2.bias'], ['v1']),
      node('Add', ['x', 'v1'], ['y']),
    ],
    tensors: [...weightsOf(spec)].map(([name, weight]) =>
      floats(name, weight.shape.length === 2 ? transposed(weight) : weight),
    ),
  }
}

function node(operator: string, inputs: string[], outputs: string[], attributes: Uint8Array[] = []): Uint8Array {
  return message(
    ...inputs.map((name) => text(1, name)),
    ...outputs.map((name) => text(2, name)),
    text(4, operator),
    ...attributes.map((attribute) => bytes(5, attribute)),
  )
}

const ATTRIBUTE = { float: 1, int: 2, string: 3, ints: 7 }

function floatAttribute(name: string, value: number): Uint8Array {
  return message(text(1, name), tag(2, 5), new Uint8Array(Float32Array.of(value).buffer), integer(20, ATTRIBUTE.float))
}

function intAttribute(name: string, value: number): Uint8Array {
  return message(text(1, name), integer(3, value), integer(20, ATTRIBUTE.int))
}

function textAttribute(name: string, value: string): Uint8Array {
  return message(text(1, name), text(4, value), integer(20, ATTRIBUTE.string))
}

function intsAttribute(name: string, values: number[]): Uint8Array {
  return message(text(1, name), packed(8, values), integer(20, ATTRIBUTE.ints))
}

/** A tensor of float32 as raw little-endian bytes. */
function floats(name: string, { shape, data }: Weight): Uint8Array {
  const raw = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  return message(packed(1, shape), integer(2, FLOAT), text(8, name), bytes(9, raw))
}

function valueInfo(name: string, shape: number[]): Uint8Array {
  const dimensions = message(...shape.map((size) => bytes(1, message(integer(1, size)))))
  return message(text(1, name), bytes(2, message(bytes(1, message(integer(1, FLOAT), bytes(2, dimensions))))))
}

// The wire format: a tag (field and kind) before each value.

function message(...parts: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

function varint(value: number): Uint8Array {
  const out: number[] = []
  let rest = value
  while (rest > 127) {
    out.push((rest % 128) | 128)
    rest = Math.floor(rest / 128)
  }
  return Uint8Array.of(...out, rest)
}

function tag(field: number, kind: number): Uint8Array {
  return varint(field * 8 + kind)
}

function integer(field: number, value: number): Uint8Array {
  return message(tag(field, 0), varint(value))
}

function bytes(field: number, value: Uint8Array): Uint8Array {
  return message(tag(field, 2), varint(value.length), value)
}

function text(field: number, value: string): Uint8Array {
  return bytes(field, new TextEncoder().encode(value))
}

function packed(field: number, values: readonly number[]): Uint8Array {
  return bytes(field, message(...values.map(varint)))
}
