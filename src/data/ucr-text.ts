// The texts of the UCR and UEA archives: `.ts` with a header, `.tsv` without one; line by line, so that what is wrong is told with its line.
import { DataError } from '../errors.js'
import { told } from '../told.js'
import { strictLines } from './lines.js'
import type { Source } from './source.js'

/** Series as they stand in a file. */
export interface ParsedSeries {
  /** The class of each series, and its line in the file. */
  labels: string[]
  lines: number[]
  /** Steps of each series. */
  lengths: number[]
  /** [C, T] of each series, one after another; NaN where a value is missing. */
  values: Float64Array
  dimensions: number
  /** As the header names them. */
  classes: string[] | undefined
  /** `FILE: ` for messages, or nothing. */
  where: string
}

export interface TextOptions {
  missing: 'error' | 'keep' | 'interpolate'
}

const NUMBER = /^\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*$/i
const MISSING = /^\s*(\?|nan)\s*$/i
const KEYS = [
  ...['problemname', 'timestamps', 'missing', 'univariate', 'dimensions', 'dimension'],
  ...['equallength', 'serieslength', 'classlabel', 'targetlabel', 'data'],
]

/** Reads all series of a file. */
export async function parseUcr(source: Source, options: TextOptions, op: string): Promise<ParsedSeries> {
  const parser = new Parser(source, options, op)
  for await (const line of strictLines(source, op)) parser.take(line)
  return parser.end()
}

class Parser {
  readonly #op: string
  readonly #where: string
  readonly #missing: TextOptions['missing']
  readonly #header = new Map<string, string[]>()
  readonly #labels: string[] = []
  readonly #lines: number[] = []
  readonly #lengths: number[] = []
  #values = new Float64Array(1024)
  #count = 0
  #line = 0
  #dimensions = 0
  /** Undefined before the first line that is no comment. */
  #format: 'header' | 'ts' | 'tsv' | undefined

  constructor(source: Source, { missing }: TextOptions, op: string) {
    this.#op = op
    this.#where = typeof source === 'string' || source instanceof URL ? `${source}: ` : ''
    this.#missing = missing
  }

  take(text: string): void {
    this.#line++
    const line = text.trim()
    if (line === '' || (this.#format !== 'tsv' && /^[#%]/.test(line))) return
    this.#format ??= line.startsWith('@') ? 'header' : 'tsv'
    if (this.#format === 'header') this.#head(line)
    else if (this.#format === 'ts') this.#series(line.split(':'))
    else this.#row(text)
  }

  end(): ParsedSeries {
    if (this.#format === 'header') throw this.#wrong('there is no line @data', '@data')
    if (this.#labels.length === 0) throw this.#wrong('there are no series', 'series')
    return {
      labels: this.#labels,
      lines: this.#lines,
      lengths: this.#lengths,
      values: this.#values.subarray(0, this.#count),
      dimensions: this.#dimensions,
      classes: this.#header.get('classlabel')?.slice(1),
      where: this.#where,
    }
  }

  #head(line: string): void {
    const [word = '', ...values] = line.split(/\s+/)
    const key = word.slice(1).toLowerCase()
    if (!word.startsWith('@') || !KEYS.includes(key)) throw this.#wrong(`${told(word)} is no line of a header`, '@data')
    if (this.#header.has(key)) throw this.#wrong(`there are two lines @${key}`, `one line @${key}`)
    this.#header.set(key, values)
    if (key !== 'data') return
    this.#format = 'ts'
    const says = (name: string) => this.#header.get(name)?.[0]?.toLowerCase()
    if (says('timestamps') === 'true') throw this.#wrong('series with time stamps are not read', '@timeStamps false')
    if (says('targetlabel') === 'true') throw this.#wrong('targets that are no classes are not read', '@classLabel')
    const classes = this.#header.get('classlabel')
    if (says('classlabel') !== 'true' || classes === undefined || classes.length < 2)
      throw this.#wrong('the series have no classes', '@classLabel true NAME …')
    if (new Set(classes.slice(1)).size !== classes.length - 1) throw this.#wrong('a class is named twice', 'classes')
  }

  /** Dimensions of a series, then its class. */
  #series(parts: string[]): void {
    const label = (parts.pop() as string).trim()
    if (parts.length === 0) throw this.#wrong('a series is cut short: there is no `:` before its class', 'VALUES:CLASS')
    if (label === '') throw this.#wrong('the class is missing', 'VALUES:CLASS')
    const announced = this.#header.get('dimensions')?.[0] ?? this.#header.get('dimension')?.[0]
    if (announced !== undefined && Number(announced) !== parts.length) this.#refuseDimensions(announced, parts.length)
    const dimensions = parts.map((part) => this.#numbers(part.split(',')))
    this.#add(label, dimensions)
    const first = this.#lengths[0]
    const length = this.#lengths.at(-1)
    if (this.#header.get('equallength')?.[0]?.toLowerCase() === 'true' && length !== first)
      throw this.#wrong(`a series has ${length} steps, though all should have ${first}`, `${first} steps`)
  }

  /** A class, then values; NaN at the end is beyond the end of the series. */
  #row(text: string): void {
    // Old files begin their lines with spaces; a tab or a comma there follows a class.
    const [label = '', ...cells] = text
      .replace(/^ +/, '')
      .trimEnd()
      .split(/\t|\s*,\s*|\s+/)
    if (label === '') throw this.#wrong('the class is missing', 'CLASS, values')
    while (cells.length > 1 && MISSING.test(cells.at(-1) as string)) cells.pop()
    if (cells.length === 0) throw this.#wrong('a series has no values', 'CLASS, values')
    // 1 and 1.0000000e+00 are one class.
    this.#add(NUMBER.test(label) ? String(Number(label)) : label, [this.#numbers(cells)])
  }

  #numbers(cells: string[]): Float64Array {
    const values = new Float64Array(cells.length)
    let gaps = 0
    for (let t = 0; t < cells.length; t++) {
      const cell = cells[t] as string
      if (NUMBER.test(cell)) values[t] = Number(cell)
      else if (MISSING.test(cell)) {
        values[t] = Number.NaN
        gaps++
      } else throw this.#wrong(`value ${t + 1} is no number: ${JSON.stringify(told(cell))}`, 'a number', cell)
      if (Math.abs(values[t] as number) > 3e38)
        throw this.#wrong(`value ${t + 1} is beyond float32: ${cell}`, 'a number')
    }
    if (gaps === 0) return values
    if (gaps === values.length) throw this.#wrong('all values of a series are missing', 'values')
    if (this.#missing === 'error') {
      const ways = "missing: 'interpolate' fills it, 'keep' gives NaN"
      throw this.#wrong(`value ${values.findIndex(Number.isNaN) + 1} is missing; ${ways}`, 'a number', '?')
    }
    if (this.#missing === 'interpolate') interpolate(values)
    return values
  }

  #add(label: string, dimensions: Float64Array[]): void {
    const { length } = dimensions[0] as Float64Array
    const odd = dimensions.find((values) => values.length !== length)
    if (odd !== undefined)
      throw this.#wrong(`dimensions of a series have ${length} and ${odd.length} steps`, `${length} steps`)
    if (this.#labels.length > 0 && dimensions.length !== this.#dimensions)
      this.#refuseDimensions(this.#dimensions, dimensions.length)
    this.#dimensions = dimensions.length
    this.#labels.push(label)
    this.#lines.push(this.#line)
    this.#lengths.push(length)
    for (const values of dimensions) {
      if (this.#count + length > this.#values.length) {
        const wider = new Float64Array(2 * (this.#count + length))
        wider.set(this.#values)
        this.#values = wider
      }
      this.#values.set(values, this.#count)
      this.#count += length
    }
  }

  #refuseDimensions(expected: number | string, got: number): never {
    throw this.#wrong(`a series has ${got} dimensions, though there should be ${expected}`, `${expected} dimensions`)
  }

  #wrong(what: string, expected: string, got?: string): DataError {
    const text = `${this.#op}: ${this.#where}line ${this.#line}: ${what}`
    return new DataError(text, { op: this.#op, line: this.#line, expected, ...(got !== undefined && { got }) })
  }
}

/** Gaps become the straight line between their neighbours, those at an end the value nearest to them. At least one value is there. */
function interpolate(x: Float64Array): void {
  let before = -1
  for (let t = 0; t <= x.length; t++) {
    if (t < x.length && Number.isNaN(x[t])) continue
    for (let k = before + 1; k < t; k++) {
      const left = x[before] ?? (x[t] as number)
      const right = x[t] ?? left
      x[k] = left + ((right - left) * (k - before)) / (t - before)
    }
    before = t
  }
}
