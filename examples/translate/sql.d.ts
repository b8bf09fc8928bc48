// What is used of npm `sql.js`, which comes without types: SQLite as WebAssembly.
declare module 'sql.js' {
  export type Value = number | string | Uint8Array | null

  export interface Statement {
    bind(values: readonly Value[]): boolean
    step(): boolean
    get(): Value[]
    free(): boolean
  }

  export interface Database {
    run(sql: string, values?: readonly Value[]): Database
    prepare(sql: string): Statement
    export(): Uint8Array
    close(): void
  }

  const initialise: () => Promise<{ Database: new (content?: Uint8Array) => Database }>
  // biome-ignore lint/style/noDefaultExport: it is a CommonJS module
  export default initialise
}
