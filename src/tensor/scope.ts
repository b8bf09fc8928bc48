// Scopes: temporaries made in a function are freed at its end.
import { ArgumentError } from '../errors.js'
import { told } from '../told.js'
import { inScope } from './lifetime.js'
import { withGrad } from './record.js'
import { tensorsIn } from './tree.js'

/**
 * Runs a synchronous function and frees the tensors it made, but for those in its result (also within arrays, Maps and plain objects).
 * Variables are never freed. Nothing needs a scope; it only saves the collector work.
 */
export function scope<T>(fn: () => T): T {
  return inScope(() => synchronous(fn, 'scope'), tensorsIn)
}

/** Runs a synchronous function whose operations take no part in gradients. */
export function noGrad<T>(fn: () => T): T {
  return withGrad(false, () => synchronous(fn, 'noGrad'))
}

/** Calls `fn`, which must not be async: what it would do after an await would happen outside. */
export function synchronous<T>(fn: () => T, op: string): T {
  if (typeof fn !== 'function') {
    const [expected, got] = ['a function', told(fn)]
    throw new ArgumentError(`${op}: needs ${expected}, got ${got}`, { op, expected, got })
  }
  const result = fn()
  if (result instanceof Promise) {
    result.catch(() => {})
    throw new ArgumentError(`${op}: the function must be synchronous; await outside of it`, {
      op,
      expected: 'a synchronous function',
      got: 'a Promise',
    })
  }
  return result
}
