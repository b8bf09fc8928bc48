// The committed index.d.ts is what the addon really exports: it is generated from the Rust source and never edited.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

function text(path: string): string {
  return readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
}

test('index.d.ts is the one that the build generates (if not: npm run build:addon)', () => {
  expect(text('index.d.ts')).toBe(text('build/index.d.ts'))
})
