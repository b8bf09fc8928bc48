// The command line in process: what it reads given as pieces of bytes, what it writes as text.
import { run } from '../../src/cli/run.js'

type Pieces = Iterable<Uint8Array | string> | AsyncIterable<Uint8Array | string>

export async function cliWith(input: Pieces, ...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const [out, err]: [string[], string[]] = [[], []]
  const code = await run(argv, {
    out: (text) => out.push(text),
    err: (text) => err.push(text),
    input,
    color: false,
  })
  return { code, out: out.join(''), err: err.join('') }
}
