// The process of a contender, as the command sees it: it is asked, and whatever it does, there is an answer in time.
import { type ChildProcess, fork } from 'node:child_process'
import { type Answer, type Reply, type Request, Unable } from './contender.js'

/** A contender crashed, hung, or said that something went wrong: the message is for the table. */
export class Broken extends Error {
  override name = 'Broken'
}

export class ContenderProcess {
  readonly #child: ChildProcess
  #said = ''
  #settle: ((reply: Reply) => void) | undefined
  #ended: string | undefined

  constructor(module: URL, node: string) {
    this.#child = fork(module, { execPath: node, execArgv: [], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-4000)
    })
    this.#child.on('message', (reply: Reply) => this.#answer(reply))
    this.#child.on('error', (error) => this.#end(error.message))
    this.#child.on('close', (code, signal) => {
      const last = this.#said
        .trimEnd()
        .split('\n')
        .findLast((line) => /error|abort|fail|out of memory/i.test(line))
      const how = signal === null ? `ended with exit code ${String(code)}` : `was ended by ${signal}`
      this.#end(last === undefined ? how : `${how}: ${last.trim().slice(0, 120)}`)
    })
  }

  /**
   * @throws Unable where the contender says that it cannot do it; Broken where it failed, ended, or took longer than `ms`. After that it is gone.
   */
  async ask<R extends Request>(request: R, ms: number): Promise<Answer<R>> {
    if (this.#ended !== undefined) throw new Broken(this.#ended)
    const timer = setTimeout(() => {
      this.#end(`no answer within ${Math.round(ms / 1000)} s`)
      this.close()
    }, ms)
    const reply = await new Promise<Reply>((resolve) => {
      this.#settle = resolve
      this.#child.send(request, (error) => {
        if (error !== null) this.#end(error.message)
      })
    })
    clearTimeout(timer)
    if ('ok' in reply) return reply.ok as Answer<R>
    if ('unable' in reply) throw new Unable(reply.unable)
    throw new Broken(firstLine(reply.error))
  }

  close(): void {
    this.#child.kill('SIGKILL')
  }

  #answer(reply: Reply): void {
    this.#settle?.(reply)
    this.#settle = undefined
  }

  #end(why: string): void {
    this.#ended ??= why
    this.#answer({ error: this.#ended })
  }
}

function firstLine(text: string): string {
  return (text.split('\n')[0] ?? '').slice(0, 160)
}
