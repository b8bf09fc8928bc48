// Every block of code in the guides is type-checked and run, in its order; what a comment after → says is compared.
import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import * as quarterturn from 'quarterturn'
import * as js from 'quarterturn/js'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const guides = join(root, 'docs/guides')
const python = join(
  process.env.QUARTERTURN_CACHE ?? join(homedir(), '.cache/quarterturn'),
  'python-torch-2.11.0/bin/python',
)

interface Block {
  language: string
  code: string
}

const blocksOf = (name: string): Block[] =>
  [...readFileSync(join(guides, name), 'utf8').matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, language, code]) => ({
    language: language as string,
    code: code as string,
  }))

/** `expression // → value` becomes a comparison. */
const compared = (code: string): string => code.replace(/^(\S.*?) \/\/ → (.*)$/gm, ';same($1, $2)')

const typescript = (name: string): string =>
  blocksOf(name)
    .filter(({ language }) => language === 'ts')
    .map(({ code }) => compared(code))
    .join('\n')

const names = readdirSync(guides).filter((name) => name !== 'README.md')

describe('guides', () => {
  let folder: string
  const before = process.cwd()
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'quarterturn-guides-'))
    process.chdir(folder)
  })
  afterAll(async () => {
    process.chdir(before)
    await rm(folder, { recursive: true })
  })

  test('the list names them all, and every block is of a language that is run, or a command', () => {
    const list = readFileSync(join(guides, 'README.md'), 'utf8')
    expect(names.length).toBeGreaterThan(5)
    for (const name of names) {
      expect(list).toContain(`(${name})`)
      expect(blocksOf(name).length).toBeGreaterThan(0)
      for (const { language } of blocksOf(name)) expect(['ts', 'python', 'sh']).toContain(language)
    }
  })

  test('their types are right', () => {
    const files = new Map(names.map((name) => [join(root, `tests/docs/${name}.ts`), typescript(name)]))
    const options: ts.CompilerOptions = {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.NodeNext,
      lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
      types: ['node'],
      typeRoots: [join(root, 'node_modules/@types')],
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      paths: { quarterturn: [join(root, 'src/index.ts')], 'quarterturn/js': [join(root, 'src/js/index.ts')] },
    }
    const host = ts.createCompilerHost(options)
    const { getSourceFile, fileExists, readFile } = host
    const declared = 'declare function same<T>(actual: T, expected: unknown): void\n'
    host.fileExists = (path) => files.has(path) || fileExists(path)
    host.readFile = (path) => files.get(path) ?? readFile(path)
    host.getSourceFile = (path, version) => {
      const text = files.get(path)
      return text === undefined ? getSourceFile(path, version) : ts.createSourceFile(path, declared + text, version)
    }
    const program = ts.createProgram([...files.keys()], options, host)
    const wrong = [...files.keys()].flatMap((path) => {
      const source = program.getSourceFile(path) as ts.SourceFile
      return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map((found) => {
        const { line } = source.getLineAndCharacterOfPosition(found.start ?? 0)
        const [file] = path.split('/').slice(-1)
        return `${file}: ${source.text.split('\n')[line]}: ${ts.flattenDiagnosticMessageText(found.messageText, ' ')}`
      })
    })
    expect(wrong).toEqual([])
  }, 120_000)

  test.for(names.filter((name) => typescript(name) !== ''))('%s', { timeout: 60_000 }, async (name, { skip }) => {
    const blocks = blocksOf(name)
    const needsPython = blocks.some(({ language }) => language === 'python')
    if (needsPython && !existsSync(python)) return skip('PyTorch is not here')
    for (const { language, code } of blocks) {
      if (language === 'python') await promisify(execFile)(python, ['-c', code])
    }
    const code = typescript(name)
      .replace(/^import \{([^}]*)\} from 'quarterturn'$/m, (_, list: string) => {
        return `const { ${list.replace(/\btype \w+,?/g, '')} } = quarterturn`
      })
      .replace("import * as js from 'quarterturn/js'", "const js = await load('quarterturn/js')")
      .replace(/^import (\{[^}]*\}) from '(node:[\w/]+)'$/gm, "const $1 = await load('$2')")
    const plain = ts.transpileModule(code, {
      compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
    })
    let comparisons = 0
    const same = (actual: unknown, expected: unknown): void => {
      comparisons++
      expect(actual).toEqual(expected)
    }
    const train = {
      ...quarterturn.train,
      fit: (model: never, data: never, options: object) =>
        quarterturn.train.fit(model, data, { ...options, progress: false }),
    }
    const written: unknown[] = []
    const console = { log: (...values: unknown[]) => written.push(values) }
    const body = `'use strict'; return (async () => { ${plain.outputText} })()`
    const load = (module: string): unknown => (module === 'quarterturn/js' ? js : import(module))
    await new Function('quarterturn', 'same', 'console', 'load', body)({ ...quarterturn, train }, same, console, load)
    expect(comparisons).toBe(code.match(/^;same\(/gm)?.length ?? 0)
    expect(comparisons).toBeGreaterThan(0)
  })
})
