// Pickles, read as data: a machine of the opcodes that build plain values. It calls nothing; what a pickle wants called is handed to its caller, by name.
import type { QuarterturnError } from '../../errors.js'

/** A class or function that a pickle names. */
export class Global {
  constructor(readonly name: string) {}
}

export interface PickleReader {
  /** Whether a global may be named at all; others are refused there. */
  knows(name: string): boolean
  /** What stands for a global that is not called but handed on, such as a dtype. */
  type(name: string): object | undefined
  /** What a call of a global gives. */
  call(name: string, args: readonly unknown[]): unknown
  /** What stands for something outside the pickle. */
  persistent(id: unknown): unknown
  fail(why: string): QuarterturnError
}

/** A dictionary, its keys being what the pickle says. */
export type PickleDict = Map<unknown, unknown>

const MARK = Symbol('mark')
const LARGEST_INTEGER_BYTES = 8
/** The most containers and calls of one pickle: some hundred thousand tensors. */
const MOST_OBJECTS = 1_000_000

/** The opcodes by byte (Python's pickle protocols 0 to 5), those that are read here. */
const names: Readonly<Record<number, string>> = {
  40: 'MARK', 41: 'EMPTY_TUPLE', 46: 'STOP', 48: 'POP', 49: 'POP_MARK', 50: 'DUP', 66: 'BINBYTES', 67: 'SHORT_BINBYTES',
  71: 'BINFLOAT', 74: 'BININT', 75: 'BININT1', 77: 'BININT2', 78: 'NONE', 81: 'BINPERSID', 82: 'REDUCE', 85: 'SHORT_BINSTRING',
  88: 'BINUNICODE', 93: 'EMPTY_LIST', 97: 'APPEND', 98: 'BUILD', 99: 'GLOBAL', 100: 'DICT', 101: 'APPENDS', 104: 'BINGET',
  106: 'LONG_BINGET', 108: 'LIST', 113: 'BINPUT', 114: 'LONG_BINPUT', 115: 'SETITEM', 116: 'TUPLE', 117: 'SETITEMS',
  125: 'EMPTY_DICT', 128: 'PROTO', 133: 'TUPLE1', 134: 'TUPLE2', 135: 'TUPLE3', 136: 'NEWTRUE', 137: 'NEWFALSE', 138: 'LONG1',
  139: 'LONG4', 140: 'SHORT_BINUNICODE', 141: 'BINUNICODE8', 143: 'EMPTY_SET', 144: 'ADDITEMS', 145: 'FROZENSET',
  147: 'STACK_GLOBAL', 148: 'MEMOIZE', 149: 'FRAME',
} // biome-ignore format: a table

/** Opcodes that make objects of classes, which is what is not done here. */
const refused: Readonly<Record<number, string>> = {
  79: 'OBJ',
  105: 'INST',
  129: 'NEWOBJ',
  146: 'NEWOBJ_EX',
  130: 'EXT1',
  131: 'EXT2',
  132: 'EXT4',
}

/**
 * The value that a pickle describes: null, booleans, numbers (bigint beyond 2⁵³), strings, bytes, arrays for lists and tuples and sets, Maps for
 * dictionaries, and what the reader makes of globals and persistent ids. Each opcode takes at least one byte and makes at most one value, and there are at
 * most a million containers and calls: memory is bounded by the length of the pickle.
 */
export function unpickle(bytes: Buffer, reader: PickleReader): unknown {
  return new Machine(bytes, reader).run()
}

class Machine {
  readonly #bytes: Buffer
  readonly #reader: PickleReader
  readonly #memo = new Map<number, unknown>()
  #stack: unknown[] = []
  #at = 0
  /** Where the opcode in hand stands, for errors. */
  #opcode = 0
  #objects = 0

  constructor(bytes: Buffer, reader: PickleReader) {
    this.#bytes = bytes
    this.#reader = reader
  }

  run(): unknown {
    for (;;) {
      this.#opcode = this.#at
      const code = this.#take(1).readUInt8()
      const name = names[code]
      if (name === 'STOP') return this.#pop()
      if (name === undefined) {
        const known = refused[code]
        throw this.#error(
          known === undefined
            ? `0x${code.toString(16)} is not an opcode that is read`
            : `it makes an object of a class (${known}), and objects are never made`,
        )
      }
      this.#step(name)
    }
  }

  #step(name: string): void {
    const stack = this.#stack
    switch (name) {
      case 'PROTO': {
        const version = this.#take(1).readUInt8()
        if (version > 5) throw this.#error(`protocol ${version} is not read`)
        return
      }
      case 'FRAME':
        this.#take(8)
        return
      case 'MARK':
        stack.push(MARK)
        return
      case 'POP':
        this.#popAny()
        return
      case 'POP_MARK':
        this.#toMark()
        return
      case 'DUP':
        stack.push(this.#top())
        return
      case 'NONE':
        stack.push(null)
        return
      case 'NEWTRUE':
        stack.push(true)
        return
      case 'NEWFALSE':
        stack.push(false)
        return
      case 'BININT':
        stack.push(this.#take(4).readInt32LE())
        return
      case 'BININT1':
        stack.push(this.#take(1).readUInt8())
        return
      case 'BININT2':
        stack.push(this.#take(2).readUInt16LE())
        return
      case 'LONG1':
        stack.push(this.#integer(this.#take(1).readUInt8()))
        return
      case 'LONG4':
        stack.push(this.#integer(this.#take(4).readUInt32LE()))
        return
      case 'BINFLOAT':
        stack.push(this.#take(8).readDoubleBE())
        return
      case 'SHORT_BINUNICODE':
        stack.push(this.#take(this.#take(1).readUInt8()).toString('utf8'))
        return
      case 'BINUNICODE':
        stack.push(this.#take(this.#take(4).readUInt32LE()).toString('utf8'))
        return
      case 'BINUNICODE8':
        stack.push(this.#take(Number(this.#take(8).readBigUInt64LE())).toString('utf8'))
        return
      case 'SHORT_BINSTRING':
        stack.push(this.#take(this.#take(1).readUInt8()).toString('latin1'))
        return
      case 'SHORT_BINBYTES':
        stack.push(this.#take(this.#take(1).readUInt8()))
        return
      case 'BINBYTES':
        stack.push(this.#take(this.#take(4).readUInt32LE()))
        return
      case 'EMPTY_TUPLE':
      case 'EMPTY_LIST':
      case 'EMPTY_SET':
        this.#count()
        stack.push([])
        return
      case 'EMPTY_DICT':
        this.#count()
        stack.push(new Map())
        return
      case 'TUPLE':
      case 'LIST':
      case 'FROZENSET':
        this.#count()
        stack.push(this.#toMark())
        return
      case 'TUPLE1':
      case 'TUPLE2':
      case 'TUPLE3':
        this.#count()
        stack.push(this.#popMany(Number(name.at(-1))))
        return
      case 'DICT': {
        this.#count()
        const items = this.#toMark()
        const dict: PickleDict = new Map()
        this.#fill(dict, items)
        stack.push(dict)
        return
      }
      case 'APPEND': {
        const item = this.#pop()
        this.#list().push(item)
        return
      }
      case 'APPENDS':
      case 'ADDITEMS': {
        const items = this.#toMark()
        const list = this.#list()
        for (const item of items) list.push(item)
        return
      }
      case 'SETITEM': {
        const pair = this.#popMany(2)
        this.#fill(this.#dict(), pair)
        return
      }
      case 'SETITEMS': {
        const items = this.#toMark()
        this.#fill(this.#dict(), items)
        return
      }
      case 'BINPUT':
        this.#memo.set(this.#take(1).readUInt8(), this.#top())
        return
      case 'LONG_BINPUT':
        this.#memo.set(this.#take(4).readUInt32LE(), this.#top())
        return
      case 'MEMOIZE':
        this.#memo.set(this.#memo.size, this.#top())
        return
      case 'BINGET':
        stack.push(this.#remembered(this.#take(1).readUInt8()))
        return
      case 'LONG_BINGET':
        stack.push(this.#remembered(this.#take(4).readUInt32LE()))
        return
      case 'GLOBAL':
        stack.push(this.#global(`${this.#line()}.${this.#line()}`))
        return
      case 'STACK_GLOBAL': {
        const [module, attribute] = this.#popMany(2)
        stack.push(this.#global(`${String(module)}.${String(attribute)}`))
        return
      }
      case 'BINPERSID':
        this.#count()
        stack.push(this.#reader.persistent(this.#pop()))
        return
      case 'REDUCE': {
        this.#count()
        const [callee, args] = this.#popMany(2)
        if (!(callee instanceof Global) || !Array.isArray(args)) throw this.#error('it calls what cannot be called')
        stack.push(this.#reader.call(callee.name, args))
        return
      }
      case 'BUILD':
        // Attributes of an object, such as an OrderedDict's `_metadata`: of no use here.
        this.#pop()
        this.#dict()
        return
    }
  }

  #count(): void {
    if (++this.#objects > MOST_OBJECTS) throw this.#error(`it makes more than ${MOST_OBJECTS} objects`)
  }

  #global(name: string): object {
    if (this.#reader.knows(name)) return this.#reader.type(name) ?? new Global(name)
    throw this.#error(`it needs ${name}, and nothing but tensors and plain containers is read`)
  }

  #fill(dict: PickleDict, items: readonly unknown[]): void {
    if (items.length % 2 !== 0) throw this.#error('a key has no value')
    for (let i = 0; i < items.length; i += 2) dict.set(items[i], items[i + 1])
  }

  #integer(length: number): number | bigint {
    if (length > LARGEST_INTEGER_BYTES) throw this.#error(`an integer of ${length} bytes is beyond 64 bits`)
    const bytes = this.#take(length)
    let value = 0n
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] as number)
    value = BigInt.asIntN(8 * length, value)
    return Number.isSafeInteger(Number(value)) ? Number(value) : value
  }

  #take(length: number): Buffer {
    if (length > this.#bytes.length - this.#at) throw this.#error('it ends in the middle')
    const taken = this.#bytes.subarray(this.#at, this.#at + length)
    this.#at += length
    return taken
  }

  #line(): string {
    const end = this.#bytes.indexOf(10, this.#at)
    if (end < 0) throw this.#error('it ends in the middle')
    const line = this.#take(end - this.#at).toString('utf8')
    this.#at++
    return line
  }

  #remembered(key: number): unknown {
    if (!this.#memo.has(key)) throw this.#error(`it refers to value ${key}, which it never made`)
    return this.#memo.get(key)
  }

  #popAny(): unknown {
    if (this.#stack.length === 0) throw this.#error('it takes a value that is not there')
    return this.#stack.pop()
  }

  #pop(): unknown {
    const value = this.#popAny()
    if (value === MARK) throw this.#error('it takes a value that is not there')
    return value
  }

  #popMany(count: number): unknown[] {
    return Array.from({ length: count }, () => this.#pop()).reverse()
  }

  #toMark(): unknown[] {
    const mark = this.#stack.lastIndexOf(MARK)
    if (mark < 0) throw this.#error('it takes a value that is not there')
    const items = this.#stack.splice(mark + 1)
    this.#stack.pop()
    return items
  }

  #top(): unknown {
    const value = this.#stack.at(-1)
    if (value === undefined || value === MARK) throw this.#error('it takes a value that is not there')
    return value
  }

  #list(): unknown[] {
    const value = this.#top()
    if (!Array.isArray(value)) throw this.#error('it appends to what is not a list')
    return value
  }

  #dict(): PickleDict {
    const value = this.#top()
    if (!(value instanceof Map)) throw this.#error('it gives items or attributes to what is not a dictionary')
    return value
  }

  #error(why: string): QuarterturnError {
    return this.#reader.fail(`the pickle, at byte ${this.#opcode}: ${why}`)
  }
}
