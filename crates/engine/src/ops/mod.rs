//! The operations by family. Each function turns a `Call` into its outputs and knows nothing of slots or lanes.
pub mod attention;
pub mod composed;
pub mod control;
pub mod convolution;
pub mod create;
pub mod elementwise;
pub mod gradient;
pub mod linalg;
pub mod loss;
pub mod nn;
pub mod optimizer;
pub mod random;
pub mod recurrent;
pub mod reduce;
pub mod select;
pub mod shape;
mod step;
