// Datasets and loaders.
export type { FieldData, Row } from './field.js'
export { type Batch, type Fields, Loader, type LoaderOptions, type LoaderState } from './loader.js'
