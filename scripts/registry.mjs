// npm run publish:local: packs the three packages, publishes them to a registry on the loopback device, and keeps it running until interrupted.
// For programs: `--json` prints one line about it on stdout and stops when stdin ends; `--built` builds nothing.
import { join } from 'node:path'
import { installTools, NODES, nodeBinary } from './lib/install-tools.mjs'
import { publishAll, startRegistry } from './lib/registry.mjs'
import { main, root, say } from './lib/run.mjs'
import { packAll } from './pack.mjs'

await main(async () => {
  const packages = await packAll({ built: process.argv.includes('--built') })
  const tools = await installTools()
  const storage = join(root, 'build', 'registry')
  const registry = await startRegistry(tools, storage)
  try {
    await publishAll(packages, registry, tools, storage)
    if (process.argv.includes('--json')) {
      const nodes = Object.fromEntries(Object.keys(NODES).map((major) => [major, nodeBinary(tools, major)]))
      const places = packages.map(({ name, folder, tarball }) => ({ name, folder, tarball }))
      process.stdout.write(`${JSON.stringify({ url: registry.url, tools, nodes, packages: places })}\n`)
      process.stdin.resume()
    } else {
      say(`published. In an empty folder: npm install quarterturn --registry ${registry.url}`)
    }
    await new Promise((resolve) => {
      for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, resolve)
      process.stdin.once('end', resolve)
    })
  } finally {
    registry.stop()
  }
})
