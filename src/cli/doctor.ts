// quarterturn doctor: whether everything is in place, and what it is.
import { styleText } from 'node:util'
import type { Command } from './command.js'

interface Finding {
  name: string
  ok: boolean
  text: string
}

export const doctor: Command = {
  summary: 'check the installation: addon, libtorch, threads, devices, a computation',
  positionals: '',
  options: { json: { type: 'boolean' } },
  describe: { json: 'one JSON object' },

  async run(args, terminal) {
    const findings = await examine()
    const ok = findings.every((finding) => finding.ok)
    if (args.values.json === true) {
      terminal.out(`${JSON.stringify({ ok, findings })}\n`)
      return ok ? 0 : 1
    }
    const mark = (good: boolean) =>
      terminal.color ? styleText(good ? 'green' : 'red', good ? '✓' : '✗') : good ? 'ok  ' : 'FAIL'
    const width = Math.max(...findings.map(({ name }) => name.length))
    for (const finding of findings) terminal.out(`${mark(finding.ok)} ${finding.name.padEnd(width)}  ${finding.text}\n`)
    if (!ok) terminal.err('quarterturn: something is missing: see the lines marked above\n')
    return ok ? 0 : 1
  },
}

async function examine(): Promise<Finding[]> {
  const findings: Finding[] = [
    { name: 'node', ok: true, text: `${process.version} on ${process.platform}-${process.arch}` },
  ]
  try {
    const { native } = await import('../native.js')
    const { libtorch, threads, cuda, cudaDevices, capability } = native().info()
    findings.push(
      { name: 'libtorch', ok: true, text: `${libtorch}, ${capability}` },
      { name: 'threads', ok: threads >= 1, text: String(threads) },
      { name: 'cuda', ok: true, text: cuda ? `${cudaDevices} device(s)` : 'none in use: the CPU computes' },
    )
  } catch (error) {
    findings.push({ name: 'addon', ok: false, text: messageOf(error) })
    return findings
  }
  findings.push(await compute())
  return findings
}

/** A product and its gradient: d Σ(A·A) / dA = rows of column sums + columns of row sums. */
async function compute(): Promise<Finding> {
  try {
    const { grad, tensor, Variable } = await import('../tensor/index.js')
    const a = new Variable(
      tensor([
        [1, 2],
        [3, 4],
      ]),
    )
    const found = await grad(a.matmul(a).sum(), [a]).get(a).data()
    const right = [7, 11, 9, 13].every((value, i) => Number(found[i]) === value)
    return {
      name: 'compute',
      ok: right,
      text: right ? 'a product and its gradient are right' : `the gradient of a product is wrong: ${found.join(', ')}`,
    }
  } catch (error) {
    return { name: 'compute', ok: false, text: messageOf(error) }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
