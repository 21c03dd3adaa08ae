//! A real Kafka broker for tests: `HAUL_KAFKA`, or Apache Kafka's own jars started by `scripts/kafka-test-broker`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A broker that this process started (or borrowed).
pub struct Broker {
    folder: PathBuf,
    /// `host:port`.
    pub address: String,
    borrowed: bool,
}

impl Broker {
    /// Starts a broker whose data lie in `folder`, or borrows the one that `HAUL_KAFKA` names.
    pub fn start(folder: &Path) -> Broker {
        let address = script("start", folder);
        Broker { folder: folder.to_owned(), address, borrowed: std::env::var_os("HAUL_KAFKA").is_some() }
    }

    /// Whether this broker is ours to kill.
    pub fn ours(&self) -> bool {
        !self.borrowed
    }

    /// SIGKILLs the broker and starts it again on the same data and port.
    pub fn kill_and_restart(&self) {
        assert!(self.ours(), "a borrowed broker is not killed");
        script("kill", &self.folder);
        let address = script("start", &self.folder);
        assert_eq!(address, self.address);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.ours() {
            script("stop", &self.folder);
        }
    }
}

fn script(verb: &str, folder: &Path) -> String {
    let script = crate::root().join("scripts/kafka-test-broker");
    let output = Command::new(script).arg(verb).arg(folder).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "kafka-test-broker {verb}: {words}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
