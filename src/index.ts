// Everything that a user imports.
export * from './errors.js'
export * from './tensor/index.js'
