// Random numbers for the start of parameters: they depend on the seed and the order of calls alone.

let state = 0

/** From here on parameters start as they did after the last call with this seed. A page that never calls it begins with the seed 0. */
export function manualSeed(seed: number): void {
  state = seed >>> 0
}

/** Uniform on 0 ≤ x < 1, 24 bits: SplitMix in 32 bits (Steele, Lea and Flood 2014), with the mixing constants of MurmurHash3. */
export function random(): number {
  state = (state + 0x9e3779b9) >>> 0
  let z = state
  z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
  z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
  return ((z ^ (z >>> 16)) >>> 8) / 2 ** 24
}

/** Normal with mean 0 and deviation 1 (Box and Muller 1958). */
export function normal(): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
}
