// Line charts as SVG for the pages of results: a file that stands alone, light or dark as its reader has it. Bars are in src/cli/bench/plot.ts.
import { ArgumentError } from 'quarterturn'

export interface Point {
  x: number
  y: number
  /** The ends of an interval around y, drawn as a band. */
  low?: number
  high?: number
}

export interface Line {
  name: string
  /** In ascending x. */
  points: readonly Point[]
}

export interface Axis {
  label: string
  /** Equal distances are equal ratios. @default false */
  log?: boolean
  /** Where numbers stand (default: round ones). */
  ticks?: readonly number[]
}

// Okabe and Ito 2008 as in the pages of the bench, for light and dark: people with any kind of colour vision tell them apart, and shapes do so without colour.
const LIGHT = ['#0067a8', '#d55e00', '#00845f', '#b2568c', '#c98500', '#71767f']
const DARK = ['#4db2ff', '#ff8a3d', '#3ccba0', '#e293c0', '#f0b429', '#a5abb6']
const MARKS = [
  'M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z',
  'M-3.5-3.5h7v7h-7z',
  'M0-4.8 4.6 3.4h-9.2z',
  'M0-5 5 0 0 5-5 0z',
  'M0 4.8 4.6-3.4h-9.2z',
  'M-4-1.5h8v3h-8z',
]
const [WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM] = [720, 440, 62, 18, 54]
const MOST_MARKS = 32 // beyond these a curve is a curve

const hues = (colours: readonly string[]) => colours.map((colour, i) => `.chart .c${i}{--c:${colour}}`).join('')
const STYLE = `.chart{color:#1f2430;font:13px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif}${hues(LIGHT)}
@media (prefers-color-scheme:dark){.chart{color:#e6e8ee}${hues(DARK)}}
.chart text{fill:currentColor}.chart .title{font-size:16px;font-weight:600}.chart .soft{opacity:.72;font-size:12px}.chart .grid{stroke:currentColor;opacity:.14}
.chart .axis{stroke:currentColor;opacity:.5}.chart .line{fill:none;stroke:var(--c);stroke-width:2.2;stroke-linejoin:round}.chart .mark{fill:var(--c)}.chart .band{fill:var(--c);opacity:.16}`

/** @throws ArgumentError for no points, more than six lines (no reader tells them apart), numbers that are not finite, or a number ≤ 0 on a logarithmic axis. */
export function lineChart(lines: readonly Line[], { title, x, y }: { title: string; x: Axis; y: Axis }): string {
  if (lines.length > LIGHT.length) throw new ArgumentError('lineChart: expected six lines at most', { op: 'lineChart' })
  const points = lines.flatMap((line) => line.points)
  const xs = points.map((point) => point.x)
  const ys = points.flatMap((point) => [point.y, point.low ?? point.y, point.high ?? point.y])
  const [legend, rows] = legendOf(lines)
  const top = 62 + 22 * rows
  const across = scale(x, xs, LEFT, WIDTH - RIGHT)
  const up = scale(y, ys, HEIGHT - BOTTOM, top)
  const grid = [
    ...across.ticks.map((tick) => {
      const at = fixed(across.at(tick))
      return `<line class="grid" x1="${at}" x2="${at}" y1="${top}" y2="${HEIGHT - BOTTOM}"/><text class="soft" x="${at}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${told(tick)}</text>`
    }),
    ...up.ticks.map((tick) => {
      const at = up.at(tick)
      return `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${fixed(at)}" y2="${fixed(at)}"/><text class="soft" x="${LEFT - 8}" y="${fixed(at + 4)}" text-anchor="end">${told(tick)}</text>`
    }),
    `<path class="axis" fill="none" d="M${LEFT} ${top}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}"/>`,
    `<text x="${LEFT - 40}" y="${top - 12}">${escaped(y.label)}</text><text x="${WIDTH - RIGHT}" y="${HEIGHT - 12}" text-anchor="end">${escaped(x.label)}</text>`,
  ]
  const curves = lines.map(({ name, points }, i) => {
    if (points.length === 0) return ''
    const path = (pick: (point: Point) => number, which: readonly Point[]) =>
      which.map((point) => `${fixed(across.at(point.x))} ${fixed(up.at(pick(point)))}`).join('L')
    const sure = points.filter(({ low, high }) => low !== undefined && high !== undefined)
    const band =
      sure.length < 2
        ? ''
        : `<path class="band" d="M${path((point) => point.high as number, sure)}L${path((point) => point.low as number, sure.toReversed())}z"/>`
    const marks = points.length > MOST_MARKS ? [] : points.map((point) => mark(i, across.at(point.x), up.at(point.y)))
    return `<g class="c${i}"><title>${escaped(name)}</title>${band}<path class="line" d="M${path((point) => point.y, points)}"/>${marks.join('')}</g>`
  })
  const said = `${title}: ${y.label} against ${x.label} of ${lines.map(({ name }) => name).join(', ')}`
  return `<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(said)}"><style>${STYLE}</style>
<text class="title" x="${LEFT - 40}" y="26">${escaped(title)}</text>
${[...legend, ...grid, ...curves].join('\n')}
</svg>
`
}

/** Names beside their marks, in as many rows as they need. */
function legendOf(lines: readonly Line[]): [string[], number] {
  let [at, row] = [LEFT - 40, 0]
  const parts = lines.map(({ name }, i) => {
    const width = Array.from(name, breadth).reduce((sum, each) => sum + each, 40)
    if (at + width > WIDTH - RIGHT && at > LEFT) [at, row] = [LEFT - 40, row + 1]
    const text = `<g class="c${i}">${mark(i, at + 6, 46 + 22 * row)}<text x="${fixed(at + 17)}" y="${50 + 22 * row}">${escaped(name)}</text></g>`
    at += width
    return text
  })
  return [parts, row + 1]
}

function scale({ label, log = false, ticks }: Axis, values: readonly number[], from: number, to: number) {
  if (values.length === 0 || !values.every((value) => Number.isFinite(value) && (!log || value > 0)))
    throw new ArgumentError(`lineChart: ${label} needs ${log ? 'numbers > 0' : 'finite numbers'}`, { op: 'lineChart' })
  const place = log ? Math.log10 : (value: number) => value
  let [low, high] = [Infinity, -Infinity]
  for (const value of values) [low, high] = [Math.min(low, place(value)), Math.max(high, place(value))]
  if (low === high) [low, high] = [low - 0.5, high + 0.5]
  const room = 0.04 * (high - low)
  // A linear axis that comes near 0 begins there.
  if (!log && low >= 0 && low < 0.35 * high) low = 0
  else low -= room
  high += room
  const shown = (ticks ?? (log ? ratios(low, high) : steps(low, high))).filter(
    (tick) => place(tick) >= low - 1e-9 && place(tick) <= high + 1e-9,
  )
  return { at: (value: number) => from + ((place(value) - low) / (high - low)) * (to - from), ticks: shown }
}

function ratios(low: number, high: number): number[] {
  const digits = high - low > 3 ? [1] : high - low > 1.8 ? [1, 3] : [1, 2, 5]
  const powers = Array.from({ length: Math.ceil(high) - Math.floor(low) + 1 }, (_, k) => 10 ** (Math.floor(low) + k))
  return high - low > 0.8
    ? powers.flatMap((power) => digits.map((digit) => digit * power))
    : steps(10 ** low, 10 ** high)
}

function steps(low: number, high: number): number[] {
  const rough = (high - low) / 7
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 5, 10].find((digit) => digit * power >= rough) as number)
  return Array.from(
    { length: Math.floor(high / step) - Math.ceil(low / step) + 1 },
    (_, k) => (Math.ceil(low / step) + k) * step + 0, // + 0: no −0
  )
}

const mark = (i: number, x: number, y: number) =>
  `<path class="mark" d="${MARKS[i]}" transform="translate(${fixed(x)} ${fixed(y)})"/>`
/** About what a letter of this size takes. */
const breadth = (letter: string) => (/[A-Z\dmw]/.test(letter) ? 8.8 : /[ijlrtf ,.'-]/.test(letter) ? 4.6 : 7.6)
const fixed = (value: number) => Number(value.toFixed(1))
const told = (value: number) =>
  value.toLocaleString('en', { maximumSignificantDigits: 4, notation: Math.abs(value) >= 1e4 ? 'compact' : 'standard' })
const escaped = (text: string) =>
  text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;')
