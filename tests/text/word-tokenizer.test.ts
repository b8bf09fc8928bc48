// Texts come back from their symbols, whatever they are; symbols are those that a reader of English and French expects.
import fc from 'fast-check'
import { text } from 'quarterturn'
import { describe, expect, it } from 'vitest'

const { normalize, WordTokenizer } = text

/** Every kind of string: of any code units, lone surrogates too; and of what the rules speak of. */
const anything = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 30 }).map((units) => String.fromCharCode(...units)),
  fc
    .array(
      fc.constantFrom(
        ...[
          "l'",
          'qu’',
          'été',
          'e\u0301',
          "n't",
          "'s",
          '-il',
          '-t-il',
          '«',
          '»',
          '“',
          '`',
          '￭',
          '■',
          '\u00a0',
          '\u202f',
          ' ',
          '\t',
        ],
        ...[
          '.',
          '...',
          ',',
          '3',
          '3.5',
          '-',
          "'",
          'dit',
          'DON',
          '東',
          '\u00ad',
          '\ufeff',
          '\u0301',
          '<EOS>',
          'İ',
          'ß',
          'Σ',
          '\u037e',
        ],
      ),
      { maxLength: 20 },
    )
    .map((pieces) => pieces.join('')),
)
const tokenizers = [undefined, 'en', 'fr'].flatMap((language) =>
  [false, true].map((lowercase) => new WordTokenizer({ language: language as text.Language, lowercase })),
)

describe('normalize', () => {
  it('is its own end: a second time changes nothing', () => {
    fc.assert(
      fc.property(anything, (string) => {
        const once = normalize(string)
        expect(normalize(once)).toBe(once)
        expect(once).toBe(once.normalize('NFC'))
        expect(once).not.toMatch(/^ | $| {2}|[\t\n\u00a0]/)
      }),
      { numRuns: 2000 },
    )
  })

  it.each([
    ['L’e\u0301té\u00a0!', "L'été !"],
    ['“so” „so‟ ‘it’ `x´', `"so" "so" 'it' 'x'`],
    ['  a\r\n\u2003b\u3000', 'a b'],
    ['soft\u00adhyphen\u200b\ufeff', 'softhyphen'],
    ['a\ud800b', 'a\ufffdb'],
    ['«\u202fmot\u202f»', '« mot »'],
    ['a￭b', 'a■b'],
  ])('%j', (given, expected) => expect(normalize(given)).toBe(expected))
})

describe('WordTokenizer', () => {
  it('gives every text back', () => {
    for (const tokenizer of tokenizers) {
      fc.assert(
        fc.property(anything, (string) => {
          const symbols = tokenizer.tokenize(string)
          expect(tokenizer.detokenize(symbols)).toBe(tokenizer.normalize(string))
          expect(symbols.some((symbol) => symbol === '' || /\s/.test(symbol))).toBe(false)
          for (const special of [text.PAD, text.EOS, text.UNK]) expect(symbols).not.toContain(special)
        }),
        { numRuns: 700 },
      )
      for (const string of ['', ' ', 'a￭', "'", "n't", "l'", '-il']) {
        expect(tokenizer.detokenize(tokenizer.tokenize(string))).toBe(tokenizer.normalize(string))
      }
    }
  })

  it.each([
    ['en', "I don't know; it's 3,000.50 (or so)...", "I do ￭n't know ￭; it ￭'s 3,000.50 (￭ or so ￭) ￭..."],
    ['en', 'well-known', 'well-known'],
    ['en', "the dogs' bones", "the dogs ￭' bones"],
    ['fr', 'L’eau d’abord, dit-il.', "L'￭ eau d'￭ abord ￭, dit ￭-il ￭."],
    ['fr', "Qu'a-t-il vu aujourd'hui ?", "Qu'￭ a ￭-t-il vu aujourd'hui ?"],
    ['fr', "lorsqu'elle vint, « donne-moi ! »", "lorsqu'￭ elle vint ￭, « donne ￭-moi ! »"],
    ['fr', 'peut-être «mot»', 'peut-être «￭ mot ￭»'],
    [undefined, "don't l'eau dit-il", "don't l'eau dit-il"],
  ] as const)('%s: %s', (language, given, expected) => {
    const tokenizer = new WordTokenizer(language === undefined ? {} : { language })
    expect(tokenizer.tokenize(given).join(' ')).toBe(expected)
  })

  it('words are the same symbols wherever they stand', () => {
    const tokenizer = new WordTokenizer({ language: 'fr' })
    for (const around of ['roi', '«roi»', 'le roi, oui', '(roi)', "l'roi."])
      expect(tokenizer.tokenize(around)).toContain('roi')
  })

  it('puts together what a model wrote, marks in odd places and <UNK> included', () => {
    expect(new WordTokenizer().detokenize(['￭,', 'le', '<UNK>', "l'￭"])).toBe(", le <UNK> l'")
  })

  it('refuses other languages', () => {
    expect(() => new WordTokenizer({ language: 'de' as never })).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT' }),
    )
    expect(() => new WordTokenizer({ lowercase: 1 as never })).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT' }),
    )
  })
})
