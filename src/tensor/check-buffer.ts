// Buffers that are given to be copied. Needs nothing of the addon: what the JavaScript path shares with the library uses it too.
import { ArgumentError } from '../errors.js'

/** A buffer must be readable now and stay as it is while it is copied. */
export function checkBuffer(data: ArrayBufferView, op = 'tensor'): void {
  const { buffer } = data
  const refuse = (what: string): never => {
    throw new ArgumentError(`${op}: ${what}; pass a copy made with slice()`, { op, got: what })
  }
  if (!ArrayBuffer.isView(data)) refuse('this is no typed array')
  if (typeof SharedArrayBuffer !== 'undefined' && buffer instanceof SharedArrayBuffer)
    refuse('a shared buffer may change while it is read')
  if ((buffer as ArrayBuffer & { resizable?: boolean }).resizable) refuse('a resizable buffer may change its length')
  if (isDetached(buffer as ArrayBuffer)) refuse('the buffer is detached')
}

function isDetached(buffer: ArrayBuffer & { detached?: boolean }): boolean {
  if (buffer.detached !== undefined) return buffer.detached
  try {
    // Before Node 21 a detached buffer shows only by refusing a view.
    new Uint8Array(buffer)
    return false
  } catch {
    return true
  }
}
