// The command line in process: help, exit codes, messages, what goes to which stream, and a saved model that pronounces.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { manualSeed, models, text } from 'quarterturn'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cliWith } from './terminal.js'

const cli = (...argv: string[]) => cliWith([], ...argv)

let folder: string
let model: models.EncoderDecoder
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quarterturn-cli-'))
  manualSeed(5)
  model = new models.EncoderDecoder({
    source: new text.Vocabulary([..."abc'"]),
    target: new text.Vocabulary(['AA', 'B', 'K', 'S', 'Z']),
    width: 16,
    initRange: 1,
  })
  await model.save(join(folder, 'model'))
})
afterAll(() => rm(folder, { recursive: true }))

describe('help and usage', () => {
  it.each([[['--help']], [['-h']], [['help']]])('%j lists the commands on stdout', async (argv) => {
    const { code, out, err } = await cli(...argv)
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toMatch(/pronounce MODEL-FOLDER WORD/)
    expect(out).toMatch(/translate MODEL-FOLDER \[TEXT\.\.\.\]/)
    expect(out).toMatch(/doctor/)
  })

  it('shows the same on stderr, with exit code 2, where no command is given', async () => {
    const { code, out, err } = await cli()
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err).toBe((await cli('--help')).out)
  })

  it.each([[['pronounce', '--help']], [['help', 'translate']], [['--help', 'translate']]])(
    '%j explains its options',
    async (argv) => {
      const { code, out } = await cli(...argv)
      expect(code).toBe(0)
      expect(out).toMatch(/--beam VALUE, -b/)
      expect(out).not.toMatch(/undefined/)
    },
  )

  it('prints the version of package.json', async () => {
    const { version } = (await import('../../package.json', { with: { type: 'json' } })).default
    expect(await cli('--version')).toEqual({ code: 0, out: `${version}\n`, err: '' })
  })

  it.each([
    [['pronouce'], /no command pronouce; did you mean pronounce\?/],
    [['toString'], /no command toString/],
    [['--frobnicate'], /no option --frobnicate/],
    [['pronounce'], /name the folder of a model/],
    [['pronounce', 'x'], /name at least one word/],
    [['translate'], /translate: name the folder of a model, then texts/],
    [['translate', '--beam', '0', 'x', 'y'], /--beam must be a whole number ≥ 1, got 0/],
    [['pronounce', '--bean', '3', 'x', 'y'], /Unknown option '--bean'/],
    [['pronounce', '--beam', 'wide', 'x', 'y'], /--beam must be a whole number ≥ 1, got wide/],
    [['doctor', '--json=maybe'], /json/],
  ])('%j is wrong usage: exit code 2 and one message without a stack', async (argv, message) => {
    const { code, out, err } = await cli(...argv)
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err).toMatch(message)
    expect(err).toMatch(/^quarterturn: /)
    expect(err).not.toMatch(/\n {4}at /)
  })
})

describe('pronounce', () => {
  it('gives each word its line, in the order given, whatever its case', async () => {
    const { code, out } = await cli('pronounce', join(folder, 'model'), 'cab', 'A', '--beam', '3')
    const [cab, a] = await model.eval().decode([[...'cab'], ['a']], { beam: 3 })
    expect(code).toBe(0)
    expect(out).toBe(`cab  ${cab![0]!.symbols.join(' ')}\nA    ${a![0]!.symbols.join(' ')}\n`)
  })

  it('--json gives one object per word with every hypothesis', async () => {
    const { out } = await cli('pronounce', '--json', '-b', '2', join(folder, 'model'), 'cab', 'bac')
    const lines = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    const found = await model.eval().decode(
      ['cab', 'bac'].map((word) => [...word]),
      { beam: 2 },
    )
    expect(lines).toEqual(
      ['cab', 'bac'].map((word, i) => ({
        word,
        pronunciations: found[i]!.map(({ symbols, logProbability, ended }) => ({
          phonemes: symbols,
          logProbability,
          ended,
        })),
      })),
    )
  })

  it('--all shows probabilities that fall', async () => {
    const { out } = await cli('pronounce', '--all', join(folder, 'model'), 'cab')
    const shares = [...out.matchAll(/ ([\d.]+) %/g)].map(([, share]) => Number(share))
    expect(shares).toHaveLength(4)
    expect(shares).toEqual([...shares].sort((a, b) => b - a))
  })

  it.each([
    ['a folder that is not there', () => ['none', 'cab'], 1, /none.config\.json: there is no such file.*ERR_IO/],
    [
      'a letter that the model does not know',
      () => ['model', 'cabé'],
      1,
      /"é" in "cabé" is not among the letters that the model knows: a b c '/,
    ],
    ['an empty word', () => ['model', ''], 2, /a word is empty/],
    ['a beam that is too wide', () => ['model', 'cab', '--beam', '99'], 2, /--beam must be at most 6/],
  ])('%s: exit code and message', async (_, args, expected, message) => {
    const [name, ...rest] = args()
    const { code, out, err } = await cli('pronounce', join(folder, name!), ...rest)
    expect({ code, out }).toEqual({ code: expected, out: '' })
    expect(err).toMatch(message)
    expect(err.trimEnd().split('\n').length).toBeLessThanOrEqual(2)
  })

  it('a damaged model is named', async () => {
    await model.save(join(folder, 'damaged'))
    await writeFile(join(folder, 'damaged', 'config.json'), '{')
    const { code, err } = await cli('pronounce', join(folder, 'damaged'), 'cab')
    expect(code).toBe(1)
    expect(err).toMatch(/config\.json is damaged: it is not JSON \(ERR_CHECKPOINT\)/)
  })
})

describe('doctor', () => {
  it('finds everything in place and computes', async () => {
    const { code, out, err } = await cli('doctor')
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toMatch(/ok {3}libtorch +2\.11/)
    expect(out).toMatch(/ok {3}compute +a product and its gradient, .* are right/)
  })

  it('--json gives one object', async () => {
    const { ok, findings } = JSON.parse((await cli('doctor', '--json')).out)
    expect(ok).toBe(true)
    expect(findings.map(({ name }: { name: string }) => name)).toEqual([
      ...[
        'platform',
        'node',
        'cpu',
        'addon',
        'libtorch',
        'kernels',
        'threads',
        'cuda',
        'cuda kernels',
        'compute',
        'cache',
      ],
    ])
  })
})
