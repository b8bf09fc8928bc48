// The charts of result pages: where points are drawn, what is written at the axes, what is refused.
import { ArgumentError } from 'quarterturn'
import { expect, test } from 'vitest'
import { type Line, lineChart } from '../../examples/chart/line-chart.js'

const plain = { title: 'a', x: { label: 'x' }, y: { label: 'y' } }
const both = { title: 'a', x: { label: 'x', log: true }, y: { label: 'y', log: true } }
const line = (name: string, points: readonly (readonly [number, number])[]): Line => ({
  name,
  points: points.map(([x, y]) => ({ x, y })),
})
const lineIn = (svg: string): number[][] =>
  (/class="line" d="M([^"]+)"/.exec(svg)?.[1] ?? '').split('L').map((point) => point.split(' ').map(Number))
const ticksOf = (svg: string, anchor: string): string[] =>
  [...svg.matchAll(new RegExp(`class="soft" [^>]*text-anchor="${anchor}">([^<]*)<`, 'g'))].map(([, tick = '']) => tick)

test('a power law is straight on logarithmic axes: equal ratios, equal distances', () => {
  const svg = lineChart(
    [
      line(
        'x²',
        [1, 2, 4, 8, 16].map((x) => [x, 3 * x * x]),
      ),
    ],
    both,
  )
  const points = lineIn(svg)
  for (const [k, [x, y]] of points.entries()) {
    if (k === 0) continue
    const [before, first] = [points[k - 1] as number[], points[1] as number[]]
    expect((x as number) - (before[0] as number)).toBeCloseTo((first[0] as number) - (points[0]?.[0] as number), 0)
    expect((y as number) - (before[1] as number)).toBeCloseTo((first[1] as number) - (points[0]?.[1] as number), 0)
  }
  expect(ticksOf(svg, 'middle')).toEqual(['1', '2', '5', '10'])
  expect(ticksOf(svg, 'end')).toEqual(['3', '10', '30', '100', '300'])
})

test('a point lies at its numbers between the ticks of linear axes', () => {
  const svg = lineChart(
    [
      line('a', [
        [0, -1],
        [5, 0],
        [10, 1],
      ]),
    ],
    plain,
  )
  const [a, b, c] = lineIn(svg) as [number[], number[], number[]]
  expect(b[0]).toBeCloseTo(((a[0] as number) + (c[0] as number)) / 2, 0)
  expect(b[1]).toBeCloseTo(((a[1] as number) + (c[1] as number)) / 2, 0)
  expect(c[1]).toBeLessThan(a[1] as number)
  expect(ticksOf(svg, 'middle')).toEqual(['0', '2', '4', '6', '8', '10'])
  expect(ticksOf(svg, 'end')).toEqual(['-1', '-0.5', '0', '0.5', '1'])
})

test('ticks are where they are asked for, within the axis', () => {
  const x = { label: 'tokens', log: true, ticks: [8, 64, 512, 4096] }
  const svg = lineChart(
    [
      line('a', [
        [64, 1],
        [512, 2],
      ]),
    ],
    { ...plain, x },
  )
  expect(ticksOf(svg, 'middle')).toEqual(['64', '512'])
})

test('a band lies between low and high, and a curve of many points has no marks', () => {
  const points = [1, 2, 3].map((x) => ({ x, y: x, low: x - 0.5, high: x + 0.5 }))
  const svg = lineChart(
    [
      { name: 'a', points },
      { name: 'none yet', points: [] },
    ],
    plain,
  )
  expect(/class="band" d="M([^"]+)z"/.exec(svg)?.[1]?.split('L')).toHaveLength(6)
  expect(svg.match(/class="mark"/g)).toHaveLength(3 + 2)
  const curve = lineChart(
    [
      line(
        'a',
        Array.from({ length: 100 }, (_, i) => [i, i]),
      ),
    ],
    plain,
  )
  expect(curve.match(/class="mark"/g)).toHaveLength(1)
  expect(lineIn(curve)).toHaveLength(100)
})

test('names are text, never markup', () => {
  const svg = lineChart([line('<b> & "c"', [[1, 1]])], { ...plain, title: '</text><script>' })
  expect(svg).toContain('&lt;b&gt; &amp; &quot;c&quot;')
  expect(svg).not.toMatch(/<script|<b>/)
})

test('what cannot be drawn is refused', () => {
  expect(() => lineChart([], plain)).toThrow(ArgumentError)
  expect(() =>
    lineChart(
      Array.from('abcdefg', (name) => line(name, [[1, 1]])),
      plain,
    ),
  ).toThrow(/six lines/)
  expect(() => lineChart([line('a', [[1, Number.NaN]])], plain)).toThrow(/y needs finite numbers/)
  expect(() => lineChart([line('a', [[0, 1]])], both)).toThrow(/x needs numbers > 0/)
})
