// A growing buffer of words: the stream that docs/protocol.md describes, written entry by entry.

export class Words {
  #words = new Float64Array(1024)
  #length = 0
  /** Entries written. */
  entries = 0

  get length(): number {
    return this.#length
  }

  /** Appends one entry. `inputs` may hold 0 for an absent one. */
  entry(code: number, inputs: readonly number[], outputs: readonly number[], attributes: readonly number[]): void {
    const needed = this.#length + 4 + inputs.length + outputs.length + attributes.length
    if (needed > this.#words.length) this.#grow(needed)
    const words = this.#words
    let at = this.#length
    words[at++] = code
    words[at++] = inputs.length
    for (let i = 0; i < inputs.length; i++) words[at++] = inputs[i] as number
    words[at++] = outputs.length
    for (let i = 0; i < outputs.length; i++) words[at++] = outputs[i] as number
    words[at++] = attributes.length
    for (let i = 0; i < attributes.length; i++) words[at++] = attributes[i] as number
    this.#length = at
    this.entries++
  }

  /** The words so far: a view, valid until the next write. */
  view(): Float64Array {
    return this.#words.subarray(0, this.#length)
  }

  clear(): void {
    this.#length = 0
    this.entries = 0
  }

  #grow(needed: number): void {
    const wider = new Float64Array(Math.max(needed, this.#words.length * 2))
    wider.set(this.view())
    this.#words = wider
  }
}
