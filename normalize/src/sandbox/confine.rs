//! How a process locks itself in, for good: limits, capabilities, Landlock, seccomp.
//!
//! Nothing here can be undone by the process itself, and every step is done by the child alone, before it has seen a byte of
//! evidence. Sources: landlock(7), seccomp(2), capabilities(7), getrlimit(2).

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// The Landlock generations we know and ask for, oldest first: files, renaming between folders, truncation, TCP, device ioctls,
/// signals and abstract sockets.
const GENERATIONS: [(u8, ABI); 6] = [(1, ABI::V1), (2, ABI::V2), (3, ABI::V3), (4, ABI::V4), (5, ABI::V5), (6, ABI::V6)];

/// Bytes of stack: the same on every host, so that a deep document overflows (or not) everywhere alike.
const STACK_BYTES: u64 = 8 << 20;

/// Open files: three of ours, a database, its companions and temporary ones.
const OPEN_FILES: u64 = 32;

/// What this kernel offers for locking a parser in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Support {
    /// Generation of Landlock (its ABI, as far as we use it), 0 for none.
    pub landlock: u8,
    /// Whether system calls can be filtered.
    pub seccomp: bool,
}

impl Support {
    /// Whether parsers can be confined as they must be: files by Landlock, all else by seccomp. What later generations of
    /// Landlock add (TCP, signals) the system-call filter forbids too.
    pub fn full(self) -> bool {
        self.landlock >= 1 && self.seccomp
    }
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.landlock {
            0 => write!(f, "no Landlock")?,
            generation => write!(f, "Landlock {generation}")?,
        }
        f.write_str(if self.seccomp { ", seccomp" } else { ", no seccomp" })
    }
}

/// Asks the kernel what it offers; changes nothing.
pub fn support() -> Support {
    let landlock = GENERATIONS.iter().rev().find(|(_, abi)| rules(*abi, CompatLevel::HardRequirement).is_ok());
    // PR_GET_SECCOMP answers 0 outside of any filter and fails on a kernel without.
    let seccomp = rustix::thread::secure_computing_mode().is_ok() && super::filter::program().is_ok();
    Support { landlock: landlock.map_or(0, |(generation, _)| *generation), seccomp }
}

/// The rights that are taken from the process unless a rule gives them back.
fn rules(abi: ABI, level: CompatLevel) -> Result<Ruleset, landlock::RulesetError> {
    let mut ruleset = Ruleset::default().set_compatibility(level).handle_access(AccessFs::from_all(abi))?;
    let net = AccessNet::from_all(abi);
    if !net.is_empty() {
        ruleset = ruleset.handle_access(net)?;
    }
    let scope = Scope::from_all(abi);
    if !scope.is_empty() {
        ruleset = ruleset.scope(scope)?;
    }
    Ok(ruleset)
}

/// Why a process could not lock itself in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A limit, capability or inherited descriptor.
    #[error("{what}: {source}")]
    Limit {
        /// What was to be set.
        what: &'static str,
        /// The kernel's answer.
        source: rustix::io::Errno,
    },
    /// Landlock.
    #[error("landlock: {0}")]
    Landlock(String),
    /// The system-call filter.
    #[error("seccomp: {0}")]
    Seccomp(String),
}

/// Locks the calling process in: it keeps its three standard streams and one folder. `memory_bytes` is its address space; the
/// limits that depend on the item (processor time, file size) are set by the supervisor before each one. With `weak` it goes
/// on where the kernel offers too little. Returns what was enforced.
pub fn enter(folder: &Path, memory_bytes: u64, weak: bool) -> Result<Support, Error> {
    match close_inherited() {
        Err(_) if weak => {}
        outcome => outcome?,
    }
    let limit = |what: &'static str| move |source| Error::Limit { what, source };
    drop_capabilities().map_err(limit("capabilities"))?;
    // After the capabilities: a change of credentials would clear it.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(limit("parent death signal"))?;
    rustix::thread::set_no_new_privs(true).map_err(limit("no new privileges"))?;
    for (resource, bytes, what) in [
        (Resource::As, memory_bytes, "address space"),
        (Resource::Stack, STACK_BYTES, "stack"),
        (Resource::Nofile, OPEN_FILES, "open files"),
        (Resource::Nproc, 0, "processes"),
        (Resource::Core, 0, "core dump"),
    ] {
        set_limit(resource, bytes).map_err(limit(what))?;
    }
    let landlock = match landlock(folder) {
        Ok(generation) => generation,
        Err(_) if weak => 0,
        Err(error) => return Err(error),
    };
    let seccomp = match super::filter::apply() {
        Ok(()) => true,
        Err(_) if weak => false,
        Err(reason) => return Err(Error::Seccomp(reason)),
    };
    Ok(Support { landlock, seccomp })
}

/// Sets a limit, soft and hard, no higher than the hard limit that is there already.
fn set_limit(resource: Resource, value: u64) -> rustix::io::Result<()> {
    let hard = rustix::process::getrlimit(resource).maximum;
    let value = hard.map_or(value, |hard| hard.min(value));
    setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
}

/// Gives up every capability: a supervisor that runs as root must not have a child that can do what root can.
fn drop_capabilities() -> rustix::io::Result<()> {
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}

/// Closes every descriptor above the standard streams: a library of the supervisor may have opened one without close-on-exec.
#[allow(unsafe_code, reason = "no safe interface closes descriptors that nobody owns")]
fn close_inherited() -> Result<(), Error> {
    // SAFETY: the child calls this before it has opened anything, so nothing in this process owns a descriptor above 2.
    let outcome = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) };
    if outcome == 0 {
        return Ok(());
    }
    let raw = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    Err(Error::Limit { what: "inherited descriptors", source: rustix::io::Errno::from_raw_os_error(raw) })
}

/// Takes every right to the file system, TCP, signals and abstract sockets, except to read, write, create and remove plain
/// files in `folder`. Returns the generation in force.
fn landlock(folder: &Path) -> Result<u8, Error> {
    let refuse = |error: &dyn fmt::Display| Error::Landlock(error.to_string());
    let (generation, abi) = GENERATIONS
        .into_iter()
        .rev()
        .find(|(_, abi)| rules(*abi, CompatLevel::HardRequirement).is_ok())
        .ok_or_else(|| Error::Landlock("not offered by this kernel".to_owned()))?;
    let mut allowed = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::ReadDir | AccessFs::MakeReg | AccessFs::RemoveFile;
    if generation >= 3 {
        allowed |= AccessFs::Truncate;
    }
    let here = PathFd::new(folder).map_err(|error| refuse(&error))?;
    let status = rules(abi, CompatLevel::HardRequirement)
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.add_rule(PathBeneath::new(here, allowed)))
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(|error| refuse(&error))?;
    if status.ruleset == RulesetStatus::FullyEnforced { Ok(generation) } else { Err(Error::Landlock("not enforced".to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn support_is_full_only_with_both() {
        let full = |landlock, seccomp| Support { landlock, seccomp }.full();
        assert!(full(1, true) && full(6, true));
        assert!(!full(0, true) && !full(6, false) && !full(0, false));
    }

    #[test]
    fn support_reads_well() {
        assert_eq!(Support { landlock: 6, seccomp: true }.to_string(), "Landlock 6, seccomp");
        assert_eq!(Support { landlock: 0, seccomp: false }.to_string(), "no Landlock, no seccomp");
    }
}
