// A registry on this machine alone: verdaccio on the loopback device, with nothing behind it but what is published to it.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { nodeBinary } from './install-tools.mjs'
import { must, Stop, say } from './run.mjs'

/** Starts it over the packages in `storage`; returns its address and how to stop it. Stop it: it would outlive this process. */
export async function startRegistry(tools, storage) {
  mkdirSync(storage, { recursive: true })
  const port = await freePort()
  const config = join(storage, `config-${port}.yaml`)
  // JSON is YAML. No uplinks: what is not published here does not exist.
  const settings = {
    storage: join(storage, 'packages'),
    packages: { '**': { access: '$all', publish: '$all', unpublish: '$all' } },
    auth: { htpasswd: { file: join(storage, 'htpasswd') } },
    max_body_size: '500mb',
    log: { type: 'stdout', format: 'json', level: 'error' },
  }
  writeFileSync(config, JSON.stringify(settings))
  const program = join(tools, 'node_modules/verdaccio/bin/verdaccio')
  // A major of Node that verdaccio supports, whichever runs this.
  const child = spawn(nodeBinary(tools, 22), [program, '--config', config, '--listen', `127.0.0.1:${port}`], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const url = `http://127.0.0.1:${port}`
  const stop = () => {
    child.kill('SIGTERM')
    rmSync(config, { force: true })
  }
  process.once('exit', stop)
  await answering(url, child)
  return { url, stop }
}

async function answering(url, child) {
  const end = Date.now() + 60_000
  while (Date.now() < end) {
    if (child.exitCode !== null) throw new Stop(`the registry ended with exit code ${child.exitCode}`)
    const answer = await fetch(`${url}/-/ping`).catch(() => undefined)
    if (answer?.ok) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  child.kill('SIGKILL')
  throw new Stop('the registry did not answer within a minute')
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

/** Publishes what `packAll` returned, dependencies first; what is there already, with the same content, is left. */
export async function publishAll(packages, { url }, tools, storage) {
  const npm = join(tools, 'node_modules/npm/bin/npm-cli.js')
  const settings = join(storage, 'npmrc')
  // The registry asks for some token, not for a certain one.
  writeFileSync(settings, `registry=${url}/\n${url.replace('http:', '')}/:_authToken=anyone\n`)
  for (const { name, tarball, print } of packages) {
    const stamp = join(storage, `${name.replace(/[@/]/g, '-')}.published`)
    if (existsSync(stamp) && readFileSync(stamp, 'utf8') === print) continue
    say(`publishing ${name} on ${url}`)
    rmSync(join(storage, 'packages', name), { recursive: true, force: true })
    const args = [npm, 'publish', tarball, '--userconfig', settings, '--silent', '--access', 'public']
    await must(nodeBinary(tools, 24), args, { cwd: storage, quiet: true })
    writeFileSync(stamp, print)
  }
}
