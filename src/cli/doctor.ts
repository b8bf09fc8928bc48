// quarterturn doctor: whether everything is in place, and what it is. Works where the addon cannot be loaded, and says then what was tried.
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { dirname, join } from 'node:path'
import { styleText } from 'node:util'
import { cacheFolder } from '../loader/cache.js'
import { thisMachine } from '../loader/machine.js'
import type { Command } from './command.js'

interface Finding {
  name: string
  ok: boolean
  text: string
}

export const doctor: Command = {
  summary: 'check the installation: machine, addon, libtorch, kernels, threads, devices, a computation',
  positionals: '',
  options: { json: { type: 'boolean' } },
  describe: { json: 'one JSON object' },
  notes: 'The exit code is 0 where everything works, and 1 otherwise.',

  async run(args, terminal) {
    const findings = await examine()
    const ok = findings.every((finding) => finding.ok)
    if (args.values.json === true) {
      terminal.out(`${JSON.stringify({ ok, findings })}\n`)
      return ok ? 0 : 1
    }
    const mark = (good: boolean) =>
      terminal.color ? styleText(good ? 'green' : 'red', good ? '✓' : '✗') : good ? 'ok  ' : 'FAIL'
    const width = Math.max(...findings.map(({ name }) => name.length))
    for (const { name, ok: good, text } of findings) {
      terminal.out(`${mark(good)} ${name.padEnd(width)}  ${text.replaceAll('\n', '\n     ')}\n`)
    }
    if (!ok) terminal.err('quarterturn: something is missing: see the lines marked above\n')
    return ok ? 0 : 1
  },
}

async function examine(): Promise<Finding[]> {
  return [...machine(), ...(await nativePart()), writing()]
}

function machine(): Finding[] {
  const { platform, arch, glibc } = thisMachine()
  return [
    { name: 'platform', ok: true, text: `${platform}-${arch}${glibc === undefined ? '' : `, glibc ${glibc}`}` },
    { name: 'node', ok: supported(process.versions.node), text: `${process.version}, ${process.execPath}` },
    { name: 'cpu', ok: true, text: `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}; ${features()}` },
  ]
}

/** `engines` of the package: ^20.19 || ^22.13 || >=24. */
function supported(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major >= 24 || (major === 22 && minor >= 13) || (major === 20 && minor >= 19)
}

/** What the kernels can be chosen by. */
const FEATURES = ['avx2', 'fma', 'avx512f', 'avx512vl', 'avx512dq', 'avx512bw', 'avx512_bf16', 'amx_tile']

function features(): string {
  const path = '/proc/cpuinfo'
  if (!existsSync(path)) return 'features unknown'
  const flags = new Set((/^flags\s*:(.*)$/m.exec(readFileSync(path, 'utf8'))?.[1] ?? '').split(' '))
  return FEATURES.filter((feature) => flags.has(feature)).join(' ') || 'none of the vector features in use'
}

async function nativePart(): Promise<Finding[]> {
  const { loadedNative, native } = await import('../native.js')
  try {
    const { addon, libtorch } = loadedNative()
    const info = native().info()
    const where = libtorch === undefined ? 'which the addon was built with' : `${libtorch.library} (${libtorch.from})`
    const forced = process.env.QUARTERTURN_ISA
    const isa = `${info.isa}${forced === undefined ? '' : ` (QUARTERTURN_ISA=${forced})`}`
    return [
      { name: 'addon', ok: true, text: `${addon.path} (${addon.from})` },
      { name: 'libtorch', ok: true, text: `${info.libtorch}, ${where}` },
      { name: 'kernels', ok: true, text: `${isa}; those of libtorch: ${info.capability}` },
      { name: 'threads', ok: info.threads >= 1, text: String(info.threads) },
      cuda(info),
      cudaKernels(native().cudaKernels()),
      await computing(),
    ]
  } catch (error) {
    return [{ name: 'addon', ok: false, text: messageOf(error) }, cuda(undefined)]
  }
}

function cuda(info: { cuda: boolean; cudaDevices: number } | undefined): Finding {
  const driver = nvidiaDriver()
  const asked = process.env.QUARTERTURN_CUDA === '1'
  const devices = info?.cuda ? `${info.cudaDevices} device(s) in use` : 'none in use: the CPU computes'
  const advice =
    driver === undefined || info?.cuda
      ? ''
      : asked
        ? '; CUDA was asked for and reaches no device'
        : '; to use it: npx quarterturn cuda install, then QUARTERTURN_CUDA=1'
  return {
    name: 'cuda',
    ok: !asked || info?.cuda === true,
    text: `${devices}; ${driver ?? 'no NVIDIA driver'}${advice}`,
  }
}

/** Whether our kernels run on CUDA. Where they do not, nothing is wrong: operations of libtorch compute the same there. */
function cudaKernels({ ready, text }: { ready: boolean; text: string }): Finding {
  const own = 'lstm, gru, rnn, scans, highway and residual norm in float32 and bfloat16'
  const otherwise = 'operations of libtorch compute everything on CUDA'
  return { name: 'cuda kernels', ok: true, text: ready ? `${text}: ${own}` : `not in use: ${text}; ${otherwise}` }
}

/** The driver and the devices as NVIDIA's own tool gives them. */
function nvidiaDriver(): string | undefined {
  const query = ['--query-gpu=name,driver_version', '--format=csv,noheader']
  const { status, stdout } = spawnSync('nvidia-smi', query, { encoding: 'utf8', timeout: 5_000 })
  if (status === 0) return `NVIDIA driver: ${stdout.trim().split('\n').join('; ')}`
  const path = '/proc/driver/nvidia/version'
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n', 1)[0] : undefined
}

async function computing(): Promise<Finding> {
  const start = performance.now()
  const { selfTest } = await import('./self-test.js')
  const { checks, wrong } = await selfTest()
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  const text = wrong.length === 0 ? `${checks.join(', ')} are right (${seconds} s)` : wrong.join('\n')
  return { name: 'compute', ok: wrong.length === 0, text }
}

/** Whether the cache folder can be written: a file is made in it and removed. Only fetching needs it. */
function writing(): Finding {
  const folder = cacheFolder()
  const name = 'cache'
  try {
    if (!existsSync(folder)) {
      let parent = dirname(folder)
      while (!existsSync(parent)) parent = dirname(parent)
      accessSync(parent, constants.W_OK)
      return { name, ok: true, text: `${folder} does not exist yet, and can be made` }
    }
    const file = join(folder, `doctor-${process.pid}`)
    writeFileSync(file, 'a test of quarterturn doctor\n')
    rmSync(file)
    return { name, ok: true, text: `${folder} can be written` }
  } catch (error) {
    return {
      name,
      ok: false,
      text: `${messageOf(error)}\nTo mend it: QUARTERTURN_CACHE names a folder that can be written`,
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
