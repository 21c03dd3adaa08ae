//! Why a child was lost, in words that are the same on every machine, and what is published instead of its unit.

use super::account::failed;
use super::child::EXIT_PANIC;
use model::{Body, Code, Problem, Stage, WorkUnit};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// How a child was lost on a unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Death {
    /// We killed it: the unit took longer than it may.
    Late,
    /// It stopped, or we killed it: the unit gave more than it may.
    Over,
    /// We killed it: it said what no honest child says.
    Lied(&'static str),
    /// It ended by itself.
    Ended {
        /// How.
        status: ExitStatus,
        /// The first bytes of its standard error: words of the Rust runtime, or whatever a hostile parser wrote.
        said: Vec<u8>,
    },
}

/// What the Rust runtime says when an allocation is refused (`std::alloc::handle_alloc_error`).
const REFUSED_ALLOCATION: &[u8] = b"memory allocation of ";

/// What it says when the stack ends (`std::sys::pal::unix::stack_overflow`).
const STACK_OVERFLOW: &[u8] = b"has overflowed its stack";

impl Death {
    /// Whether somebody outside may have ended the child: a service manager that stops everything, the kernel out of memory, a
    /// crash test. That says nothing of the unit. (A hostile parser can signal itself, so the supervisor counts these too.)
    pub fn is_from_outside(&self) -> bool {
        let Death::Ended { status, .. } = self else { return false };
        matches!(status.signal(), Some(libc::SIGTERM | libc::SIGINT | libc::SIGHUP | libc::SIGQUIT | libc::SIGKILL))
    }

    /// The problem code and its detail. No signal or exit code that depends on the host is named unless it is the cause.
    pub fn problem(&self) -> (Code, String) {
        match self {
            Death::Late => (Code::Timeout, "the parser used up its time".to_owned()),
            Death::Over => (Code::CapOutput, "the parser used up its output".to_owned()),
            Death::Lied(what) => (Code::ParserLied, format!("the parser sent {what}")),
            Death::Ended { status, said } => ended(*status, said),
        }
    }

    /// What is published of a unit whose child was lost twice: its items as failed, and one problem that says why.
    pub fn quarantine(&self, unit: &WorkUnit) -> Vec<Body> {
        let (code, detail) = self.problem();
        let item = &unit.primary.item;
        let problem = Problem { exhibit: item.exhibit, item: Some(item.id), stage: Stage::Normalize, code, detail };
        let mut bodies = vec![Body::Problem(problem)];
        bodies.extend(failed(unit, code.name(), 1));
        bodies
    }
}

fn ended(status: ExitStatus, said: &[u8]) -> (Code, String) {
    let contains = |words: &[u8]| said.windows(words.len()).any(|window| window == words);
    let died = |how: &str| (Code::ParserDied, format!("the parser died: {how}"));
    match status.signal() {
        Some(libc::SIGXCPU) => Death::Late.problem(),
        Some(libc::SIGXFSZ) => Death::Over.problem(),
        Some(libc::SIGABRT) if contains(REFUSED_ALLOCATION) => (Code::CapMemory, "the parser used up its memory".to_owned()),
        // A stack that ends is an abort where the runtime sees it and a fault where it does not.
        Some(libc::SIGABRT) if contains(STACK_OVERFLOW) => died("stack overflow or invalid memory access"),
        Some(libc::SIGSEGV | libc::SIGBUS) => died("stack overflow or invalid memory access"),
        Some(libc::SIGABRT) => died("aborted"),
        Some(libc::SIGSYS) => died("forbidden system call"),
        Some(libc::SIGILL | libc::SIGTRAP | libc::SIGFPE) => died("invalid instruction"),
        Some(_) => died("killed by a signal"),
        None if status.code() == Some(EXIT_PANIC) => died("panic"),
        None => died("exited before its time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(number: i32, said: &str) -> Code {
        Death::Ended { status: ExitStatus::from_raw(number), said: said.as_bytes().to_vec() }.problem().0
    }

    #[test]
    fn causes_have_their_codes() {
        assert_eq!(signal(libc::SIGXCPU, ""), Code::Timeout);
        assert_eq!(signal(libc::SIGABRT, "memory allocation of 17179869184 bytes failed\n"), Code::CapMemory);
        assert_eq!(signal(libc::SIGABRT, "\nthread 'main' has overflowed its stack\n"), Code::ParserDied);
        assert_eq!(signal(libc::SIGSEGV, ""), Code::ParserDied);
        assert_eq!(signal(libc::SIGKILL, ""), Code::ParserDied);
        assert_eq!(signal(EXIT_PANIC << 8, ""), Code::ParserDied);
        assert_eq!(Death::Late.problem().0, Code::Timeout);
        assert_eq!(Death::Over.problem().0, Code::CapOutput);
        assert_eq!(Death::Lied("x").problem().0, Code::ParserLied);
    }

    #[test]
    fn a_signal_from_outside_is_told_from_a_death() {
        let ended = |raw| Death::Ended { status: ExitStatus::from_raw(raw), said: Vec::new() }.is_from_outside();
        assert!(ended(libc::SIGTERM) && ended(libc::SIGKILL) && ended(libc::SIGINT));
        assert!(!ended(libc::SIGSEGV) && !ended(libc::SIGABRT) && !ended(EXIT_PANIC << 8) && !Death::Late.is_from_outside());
    }

    #[test]
    fn a_stack_overflow_reads_the_same_whoever_saw_it() {
        let seen = Death::Ended { status: ExitStatus::from_raw(libc::SIGABRT), said: STACK_OVERFLOW.to_vec() };
        let unseen = Death::Ended { status: ExitStatus::from_raw(libc::SIGSEGV), said: Vec::new() };
        assert_eq!(seen.problem(), unseen.problem());
    }

    #[test]
    fn what_a_child_wrote_never_reaches_the_detail() {
        let hostile = Death::Ended { status: ExitStatus::from_raw(libc::SIGABRT), said: b"\x1b[31mpid 4711 /tmp/x".to_vec() };
        assert_eq!(hostile.problem().1, "the parser died: aborted");
    }
}
