//! The run record: what happened when, where and with which settings. It lies beside the bundle as one JSON line an event,
//! is only ever appended to, and is no part of the sealed content.

use serde_json::{Map, Value};
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// The run record of one exhibit.
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    /// The record beside a bundle: `<exhibit>.sqlite` → `<exhibit>.run.jsonl`.
    pub fn beside(bundle: &Path) -> Journal {
        Journal { path: bundle.with_extension("run.jsonl") }
    }

    /// Appends an event; `time` (UTC), `host` and `haul` (version) are added.
    pub fn append(&self, event: &str, details: Value) -> io::Result<()> {
        let mut line = Map::new();
        line.insert("event".into(), event.into());
        line.insert("time".into(), now().into());
        line.insert("host".into(), host().into());
        line.insert("haul".into(), env!("CARGO_PKG_VERSION").into());
        if let Value::Object(details) = details {
            line.extend(details);
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        // One write: a crash leaves a whole line or none.
        file.write_all(format!("{}\n", Value::Object(line)).as_bytes())?;
        file.sync_data()
    }

    /// The last event of that name; `None` if there is none. A torn last line is passed over.
    pub fn last(&self, event: &str) -> io::Result<Option<Value>> {
        let file = match std::fs::File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut found = None;
        for line in BufReader::new(file).lines() {
            if let Ok(value) = serde_json::from_str::<Value>(&line?)
                && value["event"] == event
            {
                found = Some(value);
            }
        }
        Ok(found)
    }
}

/// Now, as RFC 3339 UTC. The only clock in Haul: it never reaches sealed content.
fn now() -> String {
    jiff::Timestamp::now().to_string()
}

/// The name of this machine.
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_event_counts_and_torn_lines_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::beside(&folder.path().join("x.sqlite"));
        assert!(journal.last("started").unwrap().is_none());
        journal.append("started", serde_json::json!({"n": 1})).unwrap();
        journal.append("started", serde_json::json!({"n": 2})).unwrap();
        let mut file = OpenOptions::new().append(true).open(folder.path().join("x.run.jsonl")).unwrap();
        file.write_all(b"{\"event\":\"started\",\"n\"").unwrap();
        assert_eq!(journal.last("started").unwrap().unwrap()["n"], 2);
    }
}
