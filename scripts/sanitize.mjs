// npm run sanitize: the kernels' tests under AddressSanitizer, which runs AVX-512 too, and their safe parts under Miri; both need a nightly toolchain.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { main, must, root, Stop, say } from './lib/run.mjs'

const TARGET = 'x86_64-unknown-linux-gnu'
/** What Miri can run: no vector intrinsics, and small enough for a machine that is a thousand times slower. */
const SAFE = ['math', 'parallel', 'pool', 'team', 'a_wrong_size_is_refused']

await main(async () => {
  const nightly = output('rustc', ['+nightly', '--print', 'sysroot'])
  if (nightly === undefined) throw new Stop('This needs a nightly toolchain: rustup toolchain install nightly')

  const runtime = join(nightly, 'lib/rustlib', TARGET, 'lib/librustc-nightly_rt.asan.a')
  if (existsSync(runtime)) {
    const args = ['test', '-p', 'quarterturn-kernels', '--release', '--lib', '--target', TARGET]
    await must('cargo', ['+nightly', ...args, '--target-dir', join(root, 'target/asan')], {
      env: { RUSTFLAGS: '-Zsanitizer=address' },
    })
  } else {
    say('AddressSanitizer left out: this toolchain has no runtime for it')
  }

  if (output('cargo', ['+nightly', 'miri', '--version']) === undefined) {
    say('Miri left out: rustup component add miri --toolchain nightly')
    return
  }
  const args = ['miri', 'test', '-p', 'quarterturn-kernels', '--lib', '--target-dir', join(root, 'target/miri')]
  await must('cargo', ['+nightly', ...args, '--', ...SAFE], { env: { QUARTERTURN_ISA: 'portable' } })
})

/** What a program says, if it runs at all. */
function output(command, args) {
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8' })
  return status === 0 ? stdout.trim() : undefined
}
