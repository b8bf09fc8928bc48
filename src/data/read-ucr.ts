// readUcr and readUcrSplit: labelled series of the UCR and UEA archives, as they are published for training and for the test.
import { stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ArgumentError, DataError, OutOfMemoryError } from '../errors.js'
import { told } from '../told.js'
import { list, object } from './check.js'
import { fileError, notASource, type Source } from './source.js'
import { type ParsedSeries, parseUcr } from './ucr-text.js'

export interface UcrOptions {
  /** The classes in the order of their numbers (default: as `@classLabel` names them; without it those of the file, or of both files, sorted). */
  classes?: readonly string[]
  /** (x − mean)/std of each dimension of each series by itself, std over T; zeros where it is constant. @default false */
  normalize?: boolean
  /** What becomes of missing values (`?`, `NaN`): an error, NaN, or the straight line between their neighbours. @default 'error' */
  missing?: 'error' | 'keep' | 'interpolate'
  /** What fills series up to the longest. Needed where they differ in length. */
  padding?: number
}

/** Labelled series: fields of a `Loader`. */
export interface UcrSeries {
  /** Series, their dimensions and steps of time: [N, C, T]. */
  readonly series: { readonly data: Float32Array; readonly shape: [number, number, number] }
  /** The place of each series' class among `classes`. */
  readonly labels: Int32Array
  readonly classes: readonly string[]
  /** Steps of each series before what fills it up. */
  readonly lengths: Int32Array
}

/** The parts of a data set as its archive publishes them. */
export interface UcrSplit {
  readonly train: UcrSeries
  readonly test: UcrSeries
}

/**
 * The labelled series of a `.ts` file (series of one dimension or several, `:` between them, the class at the end) or of a `.tsv` file (the class, then the values; NaN at
 * the end means that a series is shorter). Which of the two it is shows in the first line.
 *
 * ```ts
 * const file = new TextEncoder().encode('@univariate true\n@classLabel true up down\n@data\n1,2,3:up\n3,2,1:down\n')
 * const { series, labels, classes } = await data.readUcr(file)
 * console.log(series.shape, labels, classes)   // [ 2, 1, 3 ] Int32Array(2) [ 0, 1 ] [ 'up', 'down' ]
 * ```
 *
 * Source: the formats of timeseriesclassification.com. Time stamps and targets that are no classes are not read. Differs from aeon's `load_from_ts_file`: numbers of
 * classes, one array, and series of different lengths only with `padding`.
 *
 * @throws DataError (`ERR_DATA`) with the line that makes no sense or has a missing value; FileError (`ERR_IO`) where the file cannot be read; ArgumentError for series of
 * different lengths without `padding`.
 */
export async function readUcr(source: Source, options: UcrOptions = {}): Promise<UcrSeries> {
  const op = 'readUcr'
  const checked = check(options, op)
  const parsed = await parseUcr(source, checked, op)
  const classes = checked.classes ?? parsed.classes ?? sorted([parsed])
  return assemble(parsed, classes, longest([parsed]), checked, op)
}

/**
 * The official split of a data set: `NAME_TRAIN` and `NAME_TEST` (`.ts`, else `.tsv`) in the folder NAME, or beside one another for a path that ends in NAME. Both
 * parts have the same classes and the same T.
 *
 * ```ts
 * for (const part of ['TRAIN', 'TEST']) await writeFile(`Steps_${part}.tsv`, '1\t0.5\t1.5\n2\t1.5\t0.5\n')
 * const { train, test } = await data.readUcrSplit('Steps', { normalize: true })
 * console.log(train.series.data, test.classes)   // Float32Array(4) [ -1, 1, 1, -1 ] [ '1', '2' ]
 * ```
 *
 * @throws as `readUcr`; FileError (`ERR_IO`) where one of the files is not there.
 */
export async function readUcrSplit(path: string | URL, options: UcrOptions = {}): Promise<UcrSplit> {
  const op = 'readUcrSplit'
  const checked = check(options, op)
  const [trainFile, testFile] = await partsOf(path, op)
  const train = await parseUcr(trainFile, checked, op)
  const test = await parseUcr(testFile, checked, op)
  if (train.dimensions !== test.dimensions) {
    const [expected, got] = [`${train.dimensions} dimensions`, `${test.dimensions}`]
    throw new DataError(`${op}: ${testFile}: series must have ${expected} as in training, got ${got}`, {
      op,
      expected,
      got,
    })
  }
  const classes = checked.classes ?? train.classes ?? sorted([train, test])
  const steps = longest([train, test])
  return {
    train: assemble(train, classes, steps, checked, op),
    test: assemble(test, classes, steps, checked, op),
  }
}

type Checked = Required<Omit<UcrOptions, 'classes' | 'padding'>> & Pick<UcrOptions, 'padding'> & { classes?: string[] }

function check(options: UcrOptions, op: string): Checked {
  const { classes, normalize = false, missing = 'error', padding } = object(options, 'options', op)
  const wrong = (name: string, expected: string, value: unknown) =>
    new ArgumentError(`${op}: ${name} must be ${expected}, got ${told(value)}`, { op, expected, got: told(value) })
  if (typeof normalize !== 'boolean') throw wrong('normalize', 'true or false', normalize)
  if (!['error', 'keep', 'interpolate'].includes(missing))
    throw wrong('missing', "'error', 'keep' or 'interpolate'", missing)
  if (padding !== undefined && typeof padding !== 'number') throw wrong('padding', 'a number', padding)
  const rest = { normalize, missing, ...(padding !== undefined && { padding }) }
  if (classes === undefined) return rest
  const names = Array.from(list(classes, 'classes', op))
  const odd = names.find((name, i) => typeof name !== 'string' || names.indexOf(name) !== i)
  if (names.length === 0 || odd !== undefined) throw wrong('classes', 'names, each once', odd ?? names)
  return { ...rest, classes: names }
}

async function partsOf(path: string | URL, op: string): Promise<[string, string]> {
  const isPath = (path instanceof URL && path.protocol === 'file:') || (typeof path === 'string' && path !== '')
  if (!isPath || String(path).includes('\0')) throw notASource(path, op)
  const absolute = path instanceof URL ? fileURLToPath(path) : resolve(path)
  const isFolder = await stat(absolute).then(
    (found) => found.isDirectory(),
    () => false,
  )
  const folder = isFolder ? absolute : dirname(absolute)
  const find = async (part: string): Promise<string> => {
    const stem = join(folder, `${basename(absolute)}_${part}`)
    for (const file of [`${stem}.ts`, `${stem}.tsv`]) if (await stat(file).catch(() => undefined)) return file
    throw fileError(`${stem}.ts`, { code: 'ENOENT' }, op)
  }
  return [await find('TRAIN'), await find('TEST')]
}

function longest(parts: readonly ParsedSeries[]): number {
  return parts.reduce((most, { lengths }) => lengths.reduce((a, b) => Math.max(a, b), most), 0)
}

/** The classes that occur: as numbers where all are, else by code units. */
function sorted(parts: readonly ParsedSeries[]): string[] {
  const names = [...new Set(parts.flatMap(({ labels }) => labels))]
  const numbers = names.every((name) => Number.isFinite(Number(name)))
  return numbers ? names.sort((a, b) => Number(a) - Number(b)) : names.sort()
}

/** The rectangle of all series, [N, C, T]. */
function assemble(
  { labels, lines, lengths, values, dimensions, where }: ParsedSeries,
  classes: readonly string[],
  steps: number,
  { padding, normalize }: Checked,
  op: string,
): UcrSeries {
  const short = lengths.findIndex((length) => length !== steps)
  if (short >= 0 && padding === undefined) {
    throw new ArgumentError(
      `${op}: ${where}series differ in length (${lengths[short]} and ${steps} steps); say what fills the rest: padding: 0`,
      { op, expected: 'padding', got: 'none' },
    )
  }
  const places = new Map(classes.map((name, k) => [name, k]))
  let data: Float32Array
  try {
    data = new Float32Array(labels.length * dimensions * steps)
  } catch (cause) {
    const size = `${labels.length} × ${dimensions} × ${steps}`
    throw new OutOfMemoryError(`${op}: ${where}no memory holds ${size} numbers`, { op, cause })
  }
  if (short >= 0) data.fill(padding as number)
  let from = 0
  const numbers = labels.map((label, n) => {
    const length = lengths[n] as number
    for (let c = 0; c < dimensions; c++, from += length) {
      const own = values.subarray(from, from + length)
      if (normalize) standardise(own)
      data.set(own, (n * dimensions + c) * steps)
    }
    const place = places.get(label)
    if (place !== undefined) return place
    const line = lines[n] as number
    const expected = classes.join(', ')
    throw new DataError(`${op}: ${where}line ${line}: ${told(label)} is none of the classes ${told(expected)}`, {
      op,
      line,
      expected,
      got: label,
    })
  })
  return {
    series: { data, shape: [labels.length, dimensions, steps] },
    labels: Int32Array.from(numbers),
    classes,
    lengths: Int32Array.from(lengths),
  }
}

/** (x − mean)/std in place, over the values that are there. */
function standardise(x: Float64Array): void {
  const there = x.filter((value) => !Number.isNaN(value))
  const mean = there.reduce((sum, value) => sum + value, 0) / there.length
  const std = Math.sqrt(there.reduce((sum, value) => sum + (value - mean) ** 2, 0) / there.length)
  // A constant series has a std of rounding alone.
  const constant = !(std > 1e-12 * Math.abs(mean)) || std === 0
  for (let t = 0; t < x.length; t++) x[t] = constant && !Number.isNaN(x[t]) ? 0 : ((x[t] as number) - mean) / std
}
