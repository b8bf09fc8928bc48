// Plots as inline SVG: bars on a logarithmic axis with whiskers at the quartiles, and curves of the loss.
import { digits } from './report.js'

export type Row = { name: string; id: string } & ({ q1: number; median: number; q3: number } | { why: string })

const WIDTH = 360
const ROW = 38
const AXIS = 24

/** Text above, bar beneath, so that the whole width is the bar's, on a phone too. The axis begins at a power of ten. */
export function bars(rows: readonly Row[], format: (value: number) => string, { floor = 0 } = {}): string {
  const values = rows.flatMap((row) => ('median' in row ? [row.q1, row.q3].map((value) => Math.max(value, floor)) : []))
  const scale = logScale(values, 0, WIDTH)
  const bottom = rows.length * ROW
  const grid = scale.ticks.map((tick) => {
    const x = fixed(Math.min(WIDTH - 0.5, Math.max(0.5, scale.at(tick))))
    const anchor = scale.at(tick) < 20 ? 'start' : scale.at(tick) > WIDTH - 22 ? 'end' : 'middle'
    return `<line class="grid" x1="${x}" x2="${x}" y1="4" y2="${bottom}"/><text class="tick" x="${x}" y="${bottom + 16}" text-anchor="${anchor}">${escaped(format(tick))}</text>`
  })
  const marks = rows.map((row, i) => {
    const y = i * ROW
    const name = `<text class="name${row.id === 'native' ? ' own' : ''}" x="0" y="${y + 15}">${escaped(row.name)}</text>`
    if (!('median' in row))
      return `<g class="c-${row.id}">${name}<text class="why" x="0" y="${y + 30}">${escaped(shorten(row.why))}</text></g>`
    const end = Math.max(3, scale.at(Math.max(row.median, floor)))
    const value = `<text class="value" x="${WIDTH}" y="${y + 15}" text-anchor="end">${escaped(row.median < floor ? `< ${format(floor)}` : format(row.median))}</text>`
    const [left, right] = [row.q1, row.q3].map((each) => scale.at(Math.max(each, floor))) as [number, number]
    const middle = y + 26
    const whisker =
      right - left < 2
        ? ''
        : `<path class="whisker" d="M${fixed(left)} ${middle}H${fixed(right)}M${fixed(left)} ${middle - 4}v8M${fixed(right)} ${middle - 4}v8"/>`
    return `<g class="c-${row.id}"><title>${escaped(`${row.name}: ${format(row.median)}, quartiles ${format(row.q1)} and ${format(row.q3)}`)}</title>${name}${value}<rect class="bar" x="0" y="${y + 21}" width="${fixed(end)}" height="10" rx="2"/>${whisker}</g>`
  })
  const said = rows.map((row) => `${row.name}: ${'median' in row ? format(row.median) : row.why}`).join('; ')
  return svg(bottom + AXIS, said, [...grid, ...marks])
}

export interface Curve {
  name: string
  id: string
  points: readonly (readonly [seconds: number, loss: number])[]
}

/** Loss against time, which is logarithmic: equal distances are equal ratios. */
export function curves(lines: readonly Curve[], target: number): string {
  const height = 250
  const [left, top] = [30, 10]
  const all = lines.flatMap(({ points }) => points)
  const x = logScale(
    all.map(([seconds]) => seconds),
    left,
    WIDTH - 6,
  )
  const highest = Math.max(...all.map(([, loss]) => loss), target)
  const y = (loss: number) => top + (height - top) * (1 - loss / (1.05 * highest))
  const grid = x.ticks.map((tick) => {
    const place = x.at(tick)
    return `<line class="grid" x1="${fixed(place)}" x2="${fixed(place)}" y1="${top}" y2="${height}"/><text class="tick" x="${fixed(place)}" y="${height + 16}" text-anchor="${place > WIDTH - 20 ? 'end' : 'middle'}">${digits(tick)} s</text>`
  })
  for (let loss = 0; loss <= highest; loss += 0.5)
    grid.push(
      `<line class="grid" x1="${left}" x2="${WIDTH - 6}" y1="${fixed(y(loss))}" y2="${fixed(y(loss))}"/><text class="tick" x="${left - 6}" y="${fixed(y(loss) + 4)}" text-anchor="end">${loss}</text>`,
    )
  const aim = `<line class="aim" x1="${left}" x2="${WIDTH - 6}" y1="${fixed(y(target))}" y2="${fixed(y(target))}"/>`
  const paths = lines.map(({ id, name, points }) => {
    const path = points.map(([seconds, loss]) => `${fixed(x.at(seconds))} ${fixed(y(loss))}`).join('L')
    const [seconds, loss] = points[points.length - 1] as readonly [number, number]
    return `<g class="c-${id}"><title>${escaped(name)}</title><path class="curve" d="M${path}"/><circle class="dot" cx="${fixed(x.at(seconds))}" cy="${fixed(y(loss))}" r="4"/></g>`
  })
  // The curves end apart from each other along the axis, and so stand their names in the order in which they end.
  const order = [...lines].sort((a, b) => endOf(a) - endOf(b))
  const legend = order.map(({ id, name }, i) => {
    const [column, line] = [i % 2, Math.floor(i / 2)]
    const [px, py] = [left + column * 165, height + 40 + line * 20]
    return `<g class="c-${id}"><circle class="dot" cx="${px + 5}" cy="${py - 4}" r="5"/><text class="name" x="${px + 16}" y="${py}">${escaped(name)}</text></g>`
  })
  const said = order.map((line) => `${line.name} after ${digits(endOf(line))} s`).join('; ')
  return svg(height + 34 + 20 * Math.ceil(lines.length / 2), `The loss is reached by ${said}`, [
    ...grid,
    aim,
    ...paths,
    ...legend,
  ])
}

function endOf({ points }: Curve): number {
  return points[points.length - 1]?.[0] ?? 0
}

/** From the power of ten below the smallest to a little above the largest; ticks at powers of ten, more where there are few. */
function logScale(values: readonly number[], from: number, to: number) {
  const positive = values.filter((value) => value > 0)
  const [least, most] = positive.length === 0 ? [1, 10] : [Math.min(...positive), Math.max(...positive)]
  const low = Math.floor(Math.log10(least) - 0.05)
  const high = Math.max(Math.log10(most) + 0.06, low + 1)
  const at = (value: number) => from + ((Math.log10(value) - low) / (high - low)) * (to - from)
  const decades = Array.from({ length: Math.floor(high) - low + 1 }, (_, i) => 10 ** (low + i))
  const finer = decades.flatMap((tick) => [tick, 3 * tick]).filter((tick) => Math.log10(tick) <= high)
  // Labels need room: those of every third as much as well, if the decades are wide.
  const ticks = (to - from) / (high - low) > 140 ? finer : decades
  return { at, ticks }
}

function svg(height: number, label: string, parts: readonly string[]): string {
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(label)}">${parts.join('')}</svg>`
}

function shorten(text: string): string {
  return text.length > 52 ? `${text.slice(0, 51)}…` : text
}

function fixed(value: number): string {
  return value.toFixed(1)
}

/** For text and attributes of HTML. */
export function escaped(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;')
}
