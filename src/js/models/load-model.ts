// loadModel: a saved model, wherever its files lie.
import { ArgumentError } from '../../errors.js'
import type { Vocabulary } from '../../text/vocabulary.js'
import type { Module } from '../module.js'
import { SequenceClassifier, TextClassifier } from './classifier.js'
import { EncoderDecoder } from './encoder-decoder.js'
import { type ReadFile, readFolder } from './folder.js'
import { Forecaster } from './forecaster.js'
import { LanguageModel } from './language-model.js'
import { TabularRegressor } from './tabular-regressor.js'

/** What `loadModel` may give. */
export interface Models {
  EncoderDecoder: EncoderDecoder
  Forecaster: Forecaster
  LanguageModel: LanguageModel
  SequenceClassifier: SequenceClassifier
  TabularRegressor: TabularRegressor
  TextClassifier: TextClassifier
}

const vocabularies: { readonly [K in keyof Models]: readonly string[] } = {
  EncoderDecoder: ['source', 'target'],
  Forecaster: [],
  LanguageModel: ['vocabulary'],
  SequenceClassifier: [],
  TabularRegressor: [],
  TextClassifier: ['vocabulary'],
}

const make: { readonly [K in keyof Models]: (folder: { config: never; words: readonly Vocabulary[] }) => Models[K] } = {
  EncoderDecoder: ({ config, words: [source, target] }) =>
    new EncoderDecoder(config, source as Vocabulary, target as Vocabulary),
  Forecaster: ({ config }) => new Forecaster(config),
  LanguageModel: ({ config, words: [vocabulary] }) => new LanguageModel(config, vocabulary as Vocabulary),
  SequenceClassifier: ({ config }) => new SequenceClassifier(config),
  TabularRegressor: ({ config }) => new TabularRegressor(config),
  TextClassifier: ({ config, words: [vocabulary] }) => new TextClassifier(config, vocabulary as Vocabulary),
}

/**
 * A model that `save` of `quarterturn` wrote, to run it where no addon can be loaded: its `predict` (`decode` of an EncoderDecoder) gives what the
 * native one gives, at once instead of a promise. `read` gives the bytes of a file of its folder.
 *
 * @throws CheckpointError (`ERR_CHECKPOINT`) where a file is damaged, of another kind or of another model; ArgumentError (`ERR_ARGUMENT`) for a kind
 * that is none of these; whatever `read` throws.
 *
 * @example
 * const model = await js.loadModel('Forecaster', (name) => fetch(`waves/${name}`).then((answer) => answer.arrayBuffer()))
 * const forecast = model.predict(steps)
 */
export async function loadModel<K extends keyof Models>(kind: K, read: ReadFile): Promise<Models[K]> {
  if (!Object.hasOwn(vocabularies, kind)) {
    const expected = Object.keys(vocabularies).join(', ')
    throw new ArgumentError(`loadModel: kind must be one of ${expected}, got ${String(kind)}`, {
      op: 'loadModel',
      expected,
      got: String(kind),
    })
  }
  const folder = await readFolder(read, kind, vocabularies[kind])
  const words = Object.values(folder.vocabularies)
  const model = make[kind]({ config: folder.config as never, words })
  const loaded: Module = model
  loaded.loadStateDict(folder.state)
  return model
}
