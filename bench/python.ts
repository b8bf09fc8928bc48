// The opponents' Python: a cached environment with torch 2.11.0, made at first use.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

const VERSION = '2.11.0'

/**
 * Installed without their own dependencies: torch, what `import torch` imports, and those CUDA libraries without which it does not load
 * (torch's list also has triton, cusolver, nvrtc and nvtx, which nothing here needs).
 */
const REQUIREMENTS = [
  `torch==${VERSION}`,
  ...[
    'filelock',
    'fsspec',
    'jinja2',
    'markupsafe',
    'mpmath',
    'networkx',
    'numpy',
    'safetensors',
    'sympy',
    'typing-extensions',
  ],
  ...[
    'nvidia-cuda-runtime==13.0.96',
    'nvidia-cuda-cupti==13.0.85',
    'nvidia-cublas==13.1.0.3',
    'nvidia-cufft==12.0.0.61',
  ],
  ...['nvidia-cufile==1.15.1.6', 'nvidia-curand==10.4.0.35', 'nvidia-cusparse==12.6.3.3', 'nvidia-nvjitlink==13.0.88'],
  ...[
    'nvidia-cudnn-cu13==9.19.0.56',
    'nvidia-cusparselt-cu13==0.8.0',
    'nvidia-nccl-cu13==2.28.9',
    'nvidia-nvshmem-cu13==3.4.5',
  ],
]

let found: Promise<string> | undefined

/** The interpreter: `QUARTERTURN_PYTHON` if set, else the cached environment, made now if need be (2 GB to download, 3.6 GB kept). */
export function pythonWithTorch(): Promise<string> {
  found ??= find()
  return found
}

/** Adds packages to the cached environment, pinned and without their own dependencies. One that `QUARTERTURN_PYTHON` names is left as it is. */
export async function withPackages(packages: readonly string[]): Promise<void> {
  const interpreter = await pythonWithTorch()
  if (interpreter === process.env.QUARTERTURN_PYTHON) return
  await must(interpreter, [
    ...['-m', 'pip', 'install', '--quiet', '--no-deps', '--no-cache-dir', '--disable-pip-version-check'],
    ...packages,
  ])
}

async function find(): Promise<string> {
  const given = process.env.QUARTERTURN_PYTHON
  if (given !== undefined && given !== '') return given
  const cache =
    process.env.QUARTERTURN_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'quarterturn')
  const folder = join(cache, `python-torch-${VERSION}`)
  const interpreter = join(folder, 'bin', 'python')
  const marker = join(folder, '.complete')
  if (existsSync(marker)) return interpreter

  process.stderr.write(`making a Python with torch ${VERSION} in ${folder} (2 GB to download, once)\n`)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(cache, { recursive: true })
  await must(process.env.PYTHON || 'python3', ['-m', 'venv', folder])
  await must(interpreter, [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--no-deps',
    '--no-cache-dir',
    '--disable-pip-version-check',
    ...REQUIREMENTS,
  ])
  await must(interpreter, [
    '-c',
    `import torch; assert torch.__version__.startswith("${VERSION}"); torch.ones(2, requires_grad=True).sum().backward()`,
  ])
  writeFileSync(marker, '')
  return interpreter
}

async function must(command: string, args: string[]): Promise<void> {
  const code = await new Promise<number | null>((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 2, 2] })
    child.on('error', reject)
    child.on('exit', resolve)
  })
  if (code !== 0) throw new Error(`${command} ${args.slice(0, 3).join(' ')} … failed with exit code ${String(code)}`)
}
