// dist/*.js: src bundled into a few files, because a hundred small modules take Node three times as long to import.
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { root, Stop } from './run.mjs'

/**
 * Bundles src/index.ts, src/cli/main.ts and the processes of `quarterturn bench`; what several use is in a chunk of its own, so that there is one of
 * everything. And src/js, by itself: a page loads that one file.
 */
export async function bundle() {
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  await write(
    { index: 'src/index.ts', 'cli/main': 'src/cli/main.ts', 'cli/bench-child': 'src/cli/bench/child.ts' },
    'node',
  )
  await write({ 'js/index': 'src/js/index.ts' }, 'browser')
}

async function write(input, platform) {
  const { rolldown } = await import('rolldown')
  const { peerDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const build = await rolldown({
    cwd: root,
    input,
    platform,
    // Nothing but Node's own modules is imported at run time, and the optional packages where their user has them.
    external: [/^node:/, ...Object.keys(peerDependencies)],
    transform: { target: 'es2022' },
    onLog(level, log) {
      if (level !== 'debug' && level !== 'info') throw new Stop(`bundling: ${log.message}`)
    },
  })
  await build.write({
    dir: 'dist',
    format: 'esm',
    sourcemap: true,
    // Names of classes are seen in messages and summaries.
    keepNames: true,
    minify: false,
    entryFileNames: '[name].js',
    chunkFileNames: '[name].js',
  })
  await build.close()
}
