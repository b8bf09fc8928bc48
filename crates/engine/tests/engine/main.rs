//! The engine from outside, as TypeScript uses it: streams in, replies out.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
mod client;
mod lanes;
mod order;
mod programs;
