//! The sandbox against a hostile parser: this program is its own parser child, and does what the content of a unit says.
//!
//! It has no test harness because a child must be the program itself, locked in before anything else runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on stops")]

mod deaths;
mod escapes;
mod evil;
mod neighbours;
mod world;

use std::process::ExitCode;

/// A test: its name and what it does.
type Test = (&'static str, fn());

fn main() -> ExitCode {
    normalize::sandbox::child::enter_with(evil::prepare);
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let tests = [escapes::TESTS, deaths::TESTS, neighbours::TESTS].concat();
    let mut failed = 0;
    for (name, test) in tests.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|word| name.contains(word))) {
        let outcome = std::panic::catch_unwind(test);
        eprintln!("test sandbox::{name} ... {}", if outcome.is_ok() { "ok" } else { "FAILED" });
        failed += usize::from(outcome.is_err());
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
