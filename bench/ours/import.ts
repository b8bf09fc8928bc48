// engine/import: what a fresh process waits for, in ms: `part` "import" for the import itself, "run" for the first operation after it.
const begin = performance.now()
const { ones } = await import('quarterturn')
const imported = performance.now()
await ones([1]).neg().item()
const ran = performance.now()

const { part } = JSON.parse(process.argv[2] ?? '{}') as { part?: string }
const { serve } = await import('./common.js')
await serve({ measure: async () => (part === 'run' ? ran - imported : imported - begin) })
