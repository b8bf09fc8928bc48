// Tables, datasets and loaders.

export type { Augmentation } from './augmentation.js'
export type { DistantWindows } from './distant-windows.js'
export { DistantRows, type FieldData, type Pass, type Row, Rows, type Selection } from './field.js'
export { type FileRows, openRows, type RowLayout } from './file-rows.js'
export type { ColumnarOptions } from './gathered.js'
export { type ImageFolder, type ImageFolderOptions, type ImageRows, imageFolder } from './image-folder.js'
export { type Lines, type LinesState, readJsonLines, readLines } from './lines.js'
export { type Batch, type Fields, Loader, type LoaderOptions, type LoaderState } from './loader.js'
export { type PackedSequences, type PackOptions, packSequences } from './pack.js'
export { type Pca, type PcaOptions, pca } from './pca.js'
export { readArrow } from './read-arrow.js'
export { type CsvOptions, readCsv } from './read-csv.js'
export { readIdx } from './read-idx.js'
export { type ReadImageOptions, readImage } from './read-image.js'
export { type AlignedFiles, type ReadPairsOptions, readPairs, type TextPair, type TextPairs } from './read-pairs.js'
export { readParquet } from './read-parquet.js'
export { readUcr, readUcrSplit, type UcrOptions, type UcrSeries, type UcrSplit } from './read-ucr.js'
export { Scaling, type ScalingData, type ScalingKind } from './scaling.js'
export type { ByteStream, Source } from './source.js'
export { type PairSplit, type SplitPairsOptions, splitPairs } from './split-pairs.js'
export {
  classWeights,
  type RandomShares,
  type Shares,
  type Split,
  splitByGroup,
  splitByHash,
  splitRows,
  splitStratified,
} from './splits.js'
export {
  type Sample,
  type SampleSource,
  type StatefulSource,
  type StreamLoader,
  type StreamOptions,
  type StreamState,
  stream,
} from './stream.js'
export { type ColumnData, type ColumnType, type Filling, Table } from './table.js'
export type { Parts, WindowOptions } from './window-cuts.js'
export type { WindowLoader } from './window-loader.js'
export { type Series, Windows, windows } from './windows.js'
