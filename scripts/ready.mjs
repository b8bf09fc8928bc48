// npm run ready: everything that must hold before a change goes in, cheapest first.
import { main, run, say } from './lib/run.mjs'

await main(async () => {
  for (const script of ['check', 'lint', 'test', 'docs']) {
    say(`\nnpm run ${script}`)
    const code = await run('npm', ['run', '--silent', script])
    if (code !== 0) return code
  }
  return 0
})
