// Our CUDA kernels against cuDNN, and against the speed of a copy. Without a device every case says so. Goals are provisional until a first table.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Absent, type RatioCase } from '../case.js'
import { trainingDuel } from '../duel.js'

const ADDON =
  process.env.QUARTERTURN_ADDON ??
  fileURLToPath(new URL(`../../../quarterturn.${process.platform}-${process.arch}-gnu.node`, import.meta.url))

const TIME = 1024
const BATCHES = [16, 32, 64, 128]
const WIDTHS = [256, 512, 768, 1024, 2048]
const MODES = ['inference', 'train'] as const
const GOALS = { lstm: 1.3, gru: 2, scan: 0.8 }

function needDevice(): void {
  if (!existsSync('/dev/nvidiactl')) throw new Absent('no device')
}

interface Row {
  op: keyof typeof GOALS
  dtype: 'bfloat16' | 'float32'
  sizes: number[]
  mode: (typeof MODES)[number]
  layers?: number
}

function against({ op, dtype, sizes, mode, layers = 1 }: Row): RatioCase {
  const name = `${op}${layers > 1 ? layers : ''}`
  return {
    id: `cuda/${name}/${dtype}/${sizes.join('x')}/${mode}`,
    kind: 'ratio',
    unit: 'ms',
    rounds: 5,
    goal: GOALS[op],
    opponent:
      op === 'scan'
        ? 'a copy of as many bytes'
        : `cuDNN, ${dtype === 'float32' ? 'TF32' : 'the better of float16 and bfloat16'}`,
    async start(context) {
      needDevice()
      const peer = await context.python('cuda', { op, dtype, sizes, layers, train: mode === 'train', addon: ADDON })
      return {
        check: async () => {
          await peer.value({ check: true })
        },
        ours: () => peer.value({ time: 'ours' }),
        theirs: () => peer.value({ time: 'theirs' }),
        close: () => peer.close(),
      }
    },
  }
}

const dense = (['lstm', 'gru'] as const).flatMap((op) =>
  ([1, 2] as const).flatMap((layers) =>
    (['bfloat16', 'float32'] as const).flatMap((dtype) =>
      WIDTHS.flatMap((hidden) =>
        BATCHES.flatMap((batch) =>
          MODES.map((mode) => against({ op, dtype, sizes: [TIME, batch, hidden], mode, layers })),
        ),
      ),
    ),
  ),
)

const SCANS = [
  [1024, 16, 1024],
  [1024, 64, 2048],
  [65536, 8, 1536],
  [4096, 1, 256],
]
const scans = SCANS.flatMap((sizes) =>
  (['bfloat16', 'float32'] as const).flatMap((dtype) =>
    MODES.map((mode) => against({ op: 'scan', dtype, sizes, mode })),
  ),
)

/** Whole training steps, of the models of train/lm and seq2seq/train. */
const steps = [
  ['lm', 'language-model', 'language_model'],
  ['seq2seq', 'seq2seq', 'seq2seq'],
].map(
  ([name, ours, theirs]): RatioCase => ({
    id: `cuda/step/${name}`,
    kind: 'ratio',
    unit: 'ms',
    goal: 1,
    opponent: 'PyTorch 2.11 eager, AdamW(fused=True)',
    async start(context) {
      needDevice()
      const options = { device: 'cuda' }
      const peers = [
        await context.ours(ours as string, options),
        await context.python(theirs as string, options),
      ] as const
      return trainingDuel(...peers, { steps: 20, tolerance: 1e-3 })
    },
  }),
)

export const cases = [...dense, ...scans, ...steps]
