// Diagnostics: how a stream and its gradients pass along either axis, as numbers.
export { type Carry, type CarryStep, carry, carryHalfLife, directPath, halfLife, mixingMatrix } from './carry.js'
export { type GradientNorms, gradientNorms, jacobian, type Spectrum, spectrum } from './jacobian.js'
export { kendallTau, lesioned, shuffled, withoutSteps } from './lesion.js'
export { type SerialSteps, serialSteps } from './serial.js'
export { type Trace, traceDepth, traceModules, traceTime } from './trace.js'
