//! From staged items to records, in a sandbox.

pub mod emit;
pub mod parse;
