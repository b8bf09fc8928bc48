// residual/reversible: what a training step keeps with 100 reversible blocks, in per cent of what it keeps with 10, peak resident memory less that before.
import { writeFileSync } from 'node:fs'
import { grad, memory, nn, scope } from 'quarterturn'
import { options, peakMegabytes, residentMegabytes, serve, spread } from './common.js'

const [B, C, SIZE] = [64, 16, 32]

options()
const branch = () =>
  new nn.Sequential(new nn.BatchNorm2d(C), new nn.ReLU(), new nn.Conv2d(C, C, 3, { padding: 1, bias: false }))

async function peak(count: number): Promise<number> {
  const net = new nn.Reversible(Array.from({ length: count }, () => ({ f: branch(), g: branch() })))
  const parameters = net.parameters()
  const x = spread([B, 2 * C, SIZE, SIZE], 1, 1)
  const step = async (): Promise<void> => {
    const [first] = scope(() => [...grad(net.forward(x).square().mean(), parameters)].map(([, value]) => value.sum()))
    await first?.item()
  }
  await step()
  memory.trim()
  const before = residentMegabytes()
  // Linux: the peak is counted anew from here.
  writeFileSync('/proc/self/clear_refs', '5')
  await step()
  return peakMegabytes() - before
}

await serve({ measure: async () => (100 * (await peak(100))) / (await peak(10)) })
