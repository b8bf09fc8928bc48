// A client that measures a server of translations: how long answers take, asked for at intervals, and how many there are a second.
import { Agent, request } from 'node:http'
import { setTimeout } from 'node:timers/promises'

/** Milliseconds from when a request was due, so that a busy event loop counts too, to the end of its answer. */
export interface Latency {
  requests: number
  median: number
  quartiles: [number, number]
  p99: number
  max: number
  /** Answers per second when `clients` ask again as soon as they are answered. */
  perSecond: number
}

export interface MeasureOptions {
  texts: readonly string[]
  /** Of each of the two measurements. */
  seconds: number
  /** Milliseconds from request to request, whether the one before is answered or not. */
  interval: number
  /** @default 4 */
  clients?: number
  signal?: AbortSignal
}

export async function measure(url: string, options: MeasureOptions): Promise<Latency> {
  const { texts, seconds, interval, clients = 4, signal } = options
  const agent = new Agent({ keepAlive: true })
  try {
    const ask = (i: number, due: number): Promise<number> => timed(url, texts[i % texts.length] as string, agent, due)
    const begin = performance.now()
    const answers: Promise<number>[] = []
    for (let next = begin; next < begin + 1000 * seconds; next += interval) {
      await setTimeout(Math.max(0, next - performance.now()), undefined, { ...(signal && { signal }) })
      const answer = ask(answers.length, next)
      answer.catch(() => {}) // told when all are waited for
      answers.push(answer)
    }
    const times = (await Promise.all(answers)).sort((a, b) => a - b)
    return { ...summary(times), perSecond: await busy(ask, seconds, clients, signal) }
  } finally {
    agent.destroy()
  }
}

async function busy(
  ask: (i: number, due: number) => Promise<number>,
  seconds: number,
  clients: number,
  signal?: AbortSignal,
): Promise<number> {
  const begin = performance.now()
  let answered = 0
  const client = async (): Promise<void> => {
    while (performance.now() < begin + 1000 * seconds) {
      signal?.throwIfAborted()
      await ask(answered, performance.now())
      answered++
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
  return (1000 * answered) / (performance.now() - begin)
}

/** Of sorted times. */
export function summary(times: readonly number[]): Omit<Latency, 'perSecond'> {
  const at = (share: number): number => times[Math.ceil(share * times.length) - 1] ?? Number.NaN
  return { requests: times.length, median: at(0.5), quartiles: [at(0.25), at(0.75)], p99: at(0.99), max: at(1) }
}

/** How long one answer takes, from when it is due. @throws Error for an answer that is no translation. */
function timed(url: string, text: string, agent: Agent, due: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { method: 'POST', agent }, (response) => {
      let content = ''
      response.setEncoding('utf8').on('data', (piece: string) => {
        content += piece
      })
      response.on('error', reject).on('end', () => {
        if (response.statusCode === 200) resolve(performance.now() - due)
        else reject(new Error(`${response.statusCode}: ${content}`))
      })
    })
    asked.on('error', reject).end(JSON.stringify({ text }))
  })
}
