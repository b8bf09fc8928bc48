// Packages that are loaded only where a function needs them; a user who does not call it need not have them.
import { PackageError } from '../errors.js'

/**
 * A package by what imports it: `optional('sharp', op, () => import('sharp'))`, so that bundlers and type checkers see the name.
 *
 * @throws PackageError (`ERR_PACKAGE`) where it is not installed, or cannot be loaded.
 */
export async function optional<T>(name: string, op: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    const absent = code === 'ERR_MODULE_NOT_FOUND' && message.includes(`'${name}'`)
    const why = absent ? 'is not installed' : `cannot be loaded (${message.split('\n', 1)[0]})`
    throw new PackageError(`${op}: the optional package ${name} ${why}: npm i ${name}`, {
      op,
      expected: `npm i ${name}`,
      got: absent ? 'not installed' : message,
      cause,
    })
  }
}
