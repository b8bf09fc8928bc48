// The public face of text.
export { type Answer, type ErrorRates, editDistance, errorRates } from './edit-distance.js'
export { EOS, EOS_ID, PAD, PAD_ID, UNK, Vocabulary } from './vocabulary.js'
export { characters, joinWords, words } from './words.js'
