// The public face of models.
export type { Classified, ClassifierLoaderOptions, ClassifierOptions, LabelledBatch } from './classifier.js'
export type { ColumnInput } from './features.js'
export { Forecaster, type ForecasterOptions, type Steps, type WindowBatch } from './forecaster.js'
export {
  type GenerateOptions,
  type LanguageLoaderOptions,
  LanguageModel,
  type LanguageModelOptions,
  type NextSymbol,
  type Unit,
} from './language-model.js'
export * from './residual/index.js'
export type { Moments } from './scale.js'
export {
  type Found,
  type SampleOptions,
  type SearchOptions,
  type SearchProblem,
  type StepResult,
  search,
} from './search.js'
export * from './seq2seq/index.js'
export {
  type LabelledSeries,
  SequenceClassifier,
  type SequenceClassifierOptions,
  type Series,
} from './sequence-classifier.js'
export { type LabelledRows, TabularClassifier, type TabularClassifierOptions } from './tabular-classifier.js'
export type { TabularLoaderOptions, TabularSizes } from './tabular-network.js'
export { type RowBatch, TabularRegressor, type TabularRegressorOptions } from './tabular-regressor.js'
export {
  type LabelledText,
  TextClassifier,
  type TextClassifierOptions,
  type VocabularyOptions,
} from './text-classifier.js'
export type { LearntCodecOptions } from './translator/codecs.js'
export {
  type TranslateOptions,
  type Translation,
  Translator,
  type TranslatorOptions,
  type TranslatorScores,
  type WrittenText,
} from './translator/translator.js'
