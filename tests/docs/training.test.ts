// The blocks of docs/training.md are one program that does what the page says.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import ts from 'typescript'
import { expect, onTestFinished, test } from 'vitest'
import { runModule } from '../child.js'

test('the program of docs/training.md trains, measures, predicts, saves and goes on', async () => {
  const root = mkdtempSync(join(tmpdir(), 'quarterturn-'))
  onTestFinished(() => rmSync(root, { recursive: true }))
  const text = readFileSync(new URL('../../docs/training.md', import.meta.url), 'utf8')
  const program = [...text.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code).join('\n')
  const folder = join(root, 'net')
  expect(program).toContain("'runs/net'")
  const { outputText } = ts.transpileModule(program.replaceAll("'runs/net'", JSON.stringify(folder)), {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
  })
  const { code, stdout, stderr } = await runModule(outputText)
  expect([code, stderr.replace(/^epoch .*\n/gm, '')]).toEqual([0, ''])
  expect(Number(/accuracy: ([\d.]+)/.exec(stdout)?.[1])).toBeGreaterThan(0.85)
  expect(stdout).toMatch(/0\.5\n3\n/)
  expect(stdout.match(/^\[ \d+, 2 \]$/gm)).toHaveLength(4)
  expect(stdout).toMatch(/[\d.]+ true\n$/)
  expect(readdirSync(folder)).toEqual(
    expect.arrayContaining(['checkpoint-000000075.safetensors', 'epochs.csv', 'events.jsonl', 'run.json']),
  )
  expect(readFileSync(join(folder, 'epochs.csv'), 'utf8').trimEnd().split('\n')).toHaveLength(6)
})
