//! Finding observables in evidence outside of records: the cells and free space of SQLite files, never through SQLite.

pub mod cells;
pub mod free;
pub mod journal;
pub mod pages;
pub mod payload;
pub mod row;
pub mod sighted;
pub mod tree;
