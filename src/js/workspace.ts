// Memory that is kept between steps: nothing is allocated while shapes stay the same.

/** Float32 memory that grows as need be. What was in it stays only while the size stays the same. */
export class Workspace {
  #store: Float32Array = new Float32Array(0)
  #view: Float32Array = this.#store

  /** `size` elements, of any content. */
  take(size: number): Float32Array {
    if (this.#view.length === size) return this.#view
    if (this.#store.length < size) this.#store = new Float32Array(size)
    this.#view = this.#store.subarray(0, size)
    return this.#view
  }

  /** At least `size` elements, of any content: for sizes that change from call to call, where a view of each would be an object more. */
  room(size: number): Float32Array {
    if (this.#store.length < size) this.#store = new Float32Array(size)
    return this.#store
  }

  /** `size` zeros. */
  zeros(size: number): Float32Array {
    return this.take(size).fill(0)
  }
}

/** Scratch of one call: all layers share it, since none calls another while it holds some. */
export const scratch = { left: new Workspace(), right: new Workspace() } as const
