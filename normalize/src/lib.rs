//! From staged items to records, in a sandbox.

pub mod emit;
#[cfg(test)]
mod evidence;
pub mod find;
pub mod parse;
