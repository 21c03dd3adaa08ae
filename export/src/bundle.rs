//! The format of a bundle: tables, row digests, tree, checkpoint. `docs/bundle-format.md` says the same in words.

pub mod checkpoint;
pub mod digest;
mod lanes;
pub mod open;
pub mod pages;
pub mod record;
pub mod row;
pub mod schema;
pub mod tree;
pub mod value;
