// Cells: a column of text as one block of UTF-8, decoded where it is asked for.

const encoder = new TextEncoder()

/** Texts one after another: cell k ends at `ends[k]`, where the next begins. */
export class Cells {
  readonly length: number
  readonly #bytes: Buffer
  readonly #ends: Uint32Array
  /** Where the first cell begins. */
  readonly #begin: number

  constructor(bytes: Uint8Array, ends: Uint32Array, begin = 0) {
    this.length = ends.length
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#ends = ends
    this.#begin = begin
  }

  static of(texts: readonly string[]): Cells {
    const pieces = texts.map((text) => encoder.encode(text))
    return join(pieces)
  }

  at(row: number): string {
    return this.#bytes.toString('utf8', this.#start(row), this.#ends[row])
  }

  strings(): string[] {
    return Array.from({ length: this.length }, (_, row) => this.at(row))
  }

  isEmpty(row: number): boolean {
    return this.#start(row) === this.#ends[row]
  }

  /** How many are empty. */
  empty(): number {
    let count = 0
    for (let row = 0; row < this.length; row++) if (this.isEmpty(row)) count++
    return count
  }

  subarray(start: number, end: number): Cells {
    return new Cells(this.#bytes, this.#ends.subarray(start, end), start === 0 ? this.#begin : this.#ends[start - 1])
  }

  take(rows: Int32Array): Cells {
    return join(Array.from(rows, (row) => this.#bytes.subarray(this.#start(row), this.#ends[row])))
  }

  #start(row: number): number {
    return row === 0 ? this.#begin : (this.#ends[row - 1] as number)
  }
}

function join(pieces: readonly Uint8Array[]): Cells {
  let end = 0
  const ends = Uint32Array.from(pieces, (piece) => (end += piece.length))
  return new Cells(Buffer.concat(pieces, end), ends)
}
