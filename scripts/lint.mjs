// npm run lint: biome, clippy, rustfmt, dead code, spelling. npm run fmt (`--fix`): formatting and the lints that mend themselves.
import { main, run, runTool, say } from './lib/run.mjs'
import { cargoFlags, emulation, libtorch, packages } from './lib/steps.mjs'

const BIOME = ['check', '--config-path=.config/biome.settings.json']

await main(async () => {
  await packages()
  if (process.argv.includes('--fix')) {
    return (await runTool('biome', [...BIOME, '--write'])) || (await run('cargo', ['fmt', '--all']))
  }
  const env = await libtorch()
  const codes = [
    await runTool('biome', [...BIOME, '--error-on-warnings']),
    await run('cargo', ['fmt', '--all', '--check']),
    await run('cargo', ['clippy', ...cargoFlags(), ...emulation, '--all-targets', '--', '-D', 'warnings'], { env }),
    await runTool('knip', ['--config', '.config/knip.json']),
    await optional('cargo-machete', ['crates'], 'cargo install cargo-machete'),
    await optional('typos', ['--config', '.config/typos.toml'], 'pip install typos'),
  ]
  return codes.find((code) => code !== 0) ?? 0
})

/** A tool that not every machine has. */
async function optional(command, args, remedy) {
  try {
    return await run(command, args)
  } catch {
    say(`${command} is not installed: left out (${remedy})`)
    return 0
  }
}
