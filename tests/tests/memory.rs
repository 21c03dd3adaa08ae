//! Memory is bounded by configuration, whatever the evidence holds.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use tests::command::haul_run;
use tests::evidence::{self, Size};

/// Highest resident bytes that `haul` and all its parser processes may take together: the bound.
const BOUND_BYTES: u64 = 400 << 20;

/// Resident bytes of a process and of its children, from `/proc`.
fn resident(process: u32) -> u64 {
    let of = |process: &str| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        line.and_then(|line| line.split_whitespace().nth(1)).map_or(0, |number| number.parse::<u64>().unwrap() << 10)
    };
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    let mut all = of(&process.to_string()) + children.split_whitespace().map(of).sum::<u64>();
    // Workers' children belong to the thread that started them.
    for task in fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten() {
        if task.file_name().to_str() != Some(&process.to_string()) {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all += children.split_whitespace().map(of).sum::<u64>();
        }
    }
    all
}

/// Gigabytes of zeros in a few megabytes of zip, a JSON document and a database far larger than any buffer.
fn large(root: &Path) {
    evidence::make(root, Size { sms: 60_000, telegram: 150_000, pictures: 10 }, 4);
    let mut writer = zip::ZipWriter::new(fs::File::create_new(root.join("zeros.zip")).unwrap());
    writer.start_file("zeros", zip::write::SimpleFileOptions::default().large_file(true)).unwrap();
    let zeros = vec![0; 1 << 20];
    (0..1024).for_each(|_| writer.write_all(&zeros).unwrap());
    writer.finish().unwrap();
}

#[test]
fn large_evidence_stays_within_the_bound() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("evidence");
    large(&root);
    let mut command = haul_run(&root, &folder.path().join("out"), &folder.path().join("key"));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut peak = 0;
    let status = loop {
        peak = peak.max(resident(child.id()));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
    };
    assert!(status.success(), "{status}");
    assert!(peak > 0 && peak < BOUND_BYTES, "{} MB at the peak", peak >> 20);
}
