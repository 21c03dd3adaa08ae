//! Ingest over whole exhibits: trees and archives, well made and hostile.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on stops")]

mod android;
mod apple;
mod archives;
mod backup;
mod bombs;
mod containers;
mod corpus;
mod ex01;
mod formats;
mod hostile;
mod images;
mod logical;
mod pack;
mod phone;
mod sealed;
mod seven_zip;
mod trees;
mod ufdr;
mod volumes;
mod world;
