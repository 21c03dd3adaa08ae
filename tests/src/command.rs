//! Runs Haul's binaries as a user would.

use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A binary of this build: tests and trials lie in the same target folder.
pub fn binary(name: &str) -> PathBuf {
    let mut folder = std::env::current_exe().unwrap();
    while folder.pop() {
        let path = folder.join(name);
        if path.is_file() {
            return path;
        }
    }
    panic!("{name} is not built: cargo build --release --workspace");
}

/// `haul run EVIDENCE --case CASE --out OUT`, with a key of its own.
pub fn haul_run(evidence: &Path, out: &Path, key: &Path) -> Command {
    let mut command = Command::new(binary("haul"));
    command.arg("run").arg(evidence).args(["--case", "TEST", "--exhibit", "1"]).arg("--out").arg(out);
    command.env("HAUL_KEY", key).stdin(Stdio::null());
    command
}

/// Runs a command to its end and panics with its words unless it ends with `code`.
pub fn expect_code(command: &mut Command, code: i32) -> Output {
    let output = command.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{command:?}: {words}");
    output
}

/// SHA-256 of a file, hexadecimal.
pub fn sha256(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
