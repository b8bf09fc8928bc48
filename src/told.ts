// What an error message says of a value that may be anything: never throws, and never runs the caller's code twice.

/** A short text for any value: `3`, `[1, 2]`, `'mean'`, `a Map`, `something`. */
export function told(value: unknown): string {
  try {
    if (typeof value === 'string') return value.length > 80 ? `${value.slice(0, 80)}…` : value
    if (typeof value === 'function') return value.name === '' ? 'a function' : `the function ${value.name}`
    if (typeof value !== 'object' || value === null) return String(value)
    if (Array.isArray(value)) return `[${value.slice(0, 8).map(told).join(', ')}${value.length > 8 ? ', …' : ''}]`
    const kind = (value as object).constructor?.name
    return kind === undefined || kind === 'Object' ? 'an object' : `a ${kind}`
  } catch {
    return 'something' // a proxy or getter that throws
  }
}
