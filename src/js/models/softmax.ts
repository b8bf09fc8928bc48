// Probabilities from logits, in float64.

export function softmax(logits: ArrayLike<number>): number[] {
  const values = Array.from(logits)
  const high = Math.max(...values)
  const powers = values.map((value) => Math.exp(value - high))
  const total = powers.reduce((sum, power) => sum + power, 0)
  return powers.map((power) => power / total)
}
