// The program in the README does what the README says.
import { readFileSync } from 'node:fs'
import ts from 'typescript'
import { expect, test } from 'vitest'
import { runModule } from '../child.js'

test('the ten lines of the README train a model', async () => {
  const text = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  const [, program = ''] = /```ts\n([\s\S]*?)```/.exec(text) ?? []
  const { outputText } = ts.transpileModule(program, {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
  })
  const { code, stdout, stderr } = await runModule(outputText)
  expect(code).toBe(0)
  const losses = [...stderr.matchAll(/loss (\S+)/g)].map(([, loss]) => Number(loss))
  expect(losses).toHaveLength(10)
  expect(losses[9]).toBeLessThan(1e-3)
  expect(stdout).toMatch(/epoch: \d+/)
})
