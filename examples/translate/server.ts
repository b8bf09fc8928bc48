// A translator behind HTTP: POST /translate with {"text": …, "beam": …}. It decodes ahead of whatever the process trains, and stops when nobody waits for the answer.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type models, QuarterturnError } from 'quarterturn'

export interface ServeOptions {
  /** @default 0: any that is free */
  port?: number
  /** Hypotheses, where a request does not say how many. @default 1 */
  beam?: number
  /** Bytes of a request: more are refused. @default 4096 */
  most?: number
  /** Seconds after which a translation is given up. @default 10 */
  patience?: number
}

export interface Served {
  url: string
  /** Requests so far: answered, refused for what they asked, and given up because the client had gone or the time was up. */
  counts: { answered: number; refused: number; aborted: number }
  close(): Promise<void>
}

/** An answer that is no translation. */
class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message)
  }
}

/** What the client asked that cannot be done, as against what went wrong here. */
const ASKED = ['ERR_ARGUMENT', 'ERR_RANGE']

/** Listens on this machine alone. */
export async function serve(translator: models.Translator, options: ServeOptions = {}): Promise<Served> {
  const { port = 0, beam = 1, most = 4096, patience = 10 } = options
  const counts = { answered: 0, refused: 0, aborted: 0 }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    try {
      const asked = await question(request, most)
      const signal = AbortSignal.any([gone.signal, AbortSignal.timeout(1000 * patience)])
      const { text, alternatives, coverage } = await translator.translate(asked.text, {
        beam: asked.beam ?? beam,
        signal,
      })
      const all = alternatives.map(({ text, logProbability }) => ({ text, logProbability }))
      reply(response, 200, { text, coverage, alternatives: all })
      counts.answered++
    } catch (error) {
      if (gone.signal.aborted) counts.aborted++
      else {
        const { status, code, message } = refusal(error, patience)
        if (status === 503) counts.aborted++
        else counts.refused++
        reply(response, status, { code, message })
      }
    }
  }

  const server = createServer((request, response) => void answer(request, response))
  server.listen(port, '127.0.0.1')
  await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/translate`,
    counts,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** What a request asks. @throws Refusal */
async function question(request: IncomingMessage, most: number): Promise<{ text: string; beam?: number }> {
  if (request.url !== '/translate') throw new Refusal(404, 'NOT_FOUND', 'there is /translate, and nothing else')
  if (request.method !== 'POST') throw new Refusal(405, 'METHOD', 'texts are sent by POST')
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length
    if (bytes > most) throw new Refusal(413, 'TOO_LONG', `a request may have ${most} bytes`)
    pieces.push(piece)
  }
  const expected = 'expected {"text": "…"} in UTF-8, with "beam" if need be'
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(pieces)))
  } catch (error) {
    throw new Refusal(400, 'JSON', `${expected}: ${(error as Error).message}`)
  }
  const { text, beam } = (json ?? {}) as { text?: unknown; beam?: unknown }
  if (typeof text !== 'string') throw new Refusal(400, 'TEXT', expected)
  return { text, ...(beam !== undefined && { beam: beam as number }) } // translate looks at the beam
}

function refusal(error: unknown, patience: number): Refusal {
  if (error instanceof Refusal) return error
  if (!(error instanceof QuarterturnError)) return new Refusal(500, 'INTERNAL', 'something went wrong here')
  if (error.code === 'ERR_ABORTED') return new Refusal(503, error.code, `no translation within ${patience} seconds`)
  return new Refusal(ASKED.includes(error.code) ? 400 : 500, error.code, error.message)
}

function reply(response: ServerResponse, status: number, content: object): void {
  // Of a request that was not read to its end the rest is of no use.
  const headers = { 'content-type': 'application/json; charset=utf-8', ...(status === 413 && { connection: 'close' }) }
  response.writeHead(status, headers).end(`${JSON.stringify(content)}\n`)
}
