//! Ingest over whole exhibits: trees and archives, well made and hostile.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on stops")]

mod android;
mod archives;
mod backup;
mod bombs;
mod corpus;
mod formats;
mod images;
mod pack;
mod phone;
mod trees;
mod world;
