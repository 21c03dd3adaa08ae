//! Evidence is never changed: no system call of a run opens, creates, renames or touches anything below it for writing.

#![allow(clippy::unwrap_used)]

use std::process::Command;
use tests::command::{binary, expect_code};
use tests::evidence::{self, Size};
use tests::snapshot;

/// System calls that change what a path names, by the path.
const CHANGING: &[&str] = &[
    "creat",
    "mkdir",
    "mkdirat",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "rmdir",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "truncate",
    "chmod",
    "fchmodat",
    "chown",
    "lchown",
    "fchownat",
    "utime",
    "utimes",
    "utimensat",
    "futimesat",
    "mknod",
    "mknodat",
    "setxattr",
    "lsetxattr",
    "removexattr",
    "lremovexattr",
];

/// System calls that change what a file descriptor names: `strace -y` prints its path.
const CHANGING_BY_DESCRIPTOR: &[&str] =
    &["ftruncate", "fallocate", "fchmod", "fchown", "fsetxattr", "write", "pwrite64", "writev"];

#[test]
fn a_run_opens_nothing_of_the_evidence_for_writing() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = folder.path().join("evidence");
    evidence::make(&evidence, Size { sms: 500, telegram: 300, pictures: 20 }, 3);
    let before = snapshot::take(&evidence);
    let log = folder.path().join("strace.log");
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-qq", "-s", "4096", "-e"]);
    command.arg(format!("trace=open,openat,openat2,{},{}", CHANGING.join(","), CHANGING_BY_DESCRIPTOR.join(",")));
    command.arg("-o").arg(&log).arg(binary("haul")).arg("run").arg(&evidence);
    command.args(["--case", "TEST", "--exhibit", "1", "--out"]).arg(folder.path().join("out"));
    command.env("HAUL_KEY", folder.path().join("key"));
    expect_code(&mut command, 0);
    let text = std::fs::read_to_string(&log).unwrap();
    let root = evidence.to_str().unwrap();
    let below: Vec<_> = text.lines().filter(|line| line.contains(root)).collect();
    assert!(below.iter().any(|line| line.contains("O_RDONLY")), "the evidence was not even read:\n{text}");
    let writing: Vec<_> = below.into_iter().filter(|line| writes(line)).collect();
    assert!(writing.is_empty(), "{writing:#?}");
    assert_eq!(snapshot::difference(&before, &snapshot::take(&evidence)), None);
}

/// Whether a line of strace is a call that could change what it names.
fn writes(line: &str) -> bool {
    let call = line.split_whitespace().nth(1).unwrap_or("");
    let name = call.split('(').next().unwrap_or("");
    if name.starts_with("open") {
        return ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND"].iter().any(|flag| line.contains(flag));
    }
    if CHANGING_BY_DESCRIPTOR.contains(&name) {
        // Only the descriptor counts; a path among the written bytes (the run record's) does not.
        return line.split(['<', '>']).nth(1).is_some_and(|path| path.contains("/evidence"));
    }
    CHANGING.contains(&name)
}
