//! `haul inventory`: proposes the exhibits of a raid. The technician edits what is proposed; nothing is decided here.

mod devices;
mod duplicates;
mod parts;

use crate::cli;
use anyhow::{Context, Result, bail};
use devices::Device;
use model::text::escape;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

/// Writes a manifest of what lies below a folder.
pub fn inventory(arguments: &cli::Inventory) -> Result<u8> {
    let root = fs::canonicalize(&arguments.folder).with_context(|| format!("cannot open {}", arguments.folder.display()))?;
    let folder = arguments.out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = fs::canonicalize(folder).with_context(|| format!("cannot open {}", folder.display()))?;
    if folder.starts_with(&root) {
        bail!("{} lies inside the evidence: nothing is written there", arguments.out.display());
    }
    if arguments.out.exists() {
        bail!("{} is there already: it may have been edited", arguments.out.display());
    }
    let mut found = devices::find(&root)?;
    duplicates::mark(&root, &mut found.devices)?;
    let text = manifest(&root, &found)?;
    fs::write(&arguments.out, text).with_context(|| format!("cannot write {}", arguments.out.display()))?;
    let copies = found.devices.iter().filter(|device| device.same_as.is_some()).count();
    let mut out = std::io::stdout().lock();
    let (exhibits, others) = (found.devices.len() - copies, found.others.len());
    writeln!(out, "{exhibits} exhibits, {copies} duplicates, {others} files that are none: {}", arguments.out.display())?;
    Ok(0)
}

/// The manifest as text: one entry a device, the likeliest values filled in.
fn manifest(root: &Path, found: &devices::Found) -> Result<String> {
    let root = root.to_str().with_context(|| format!("{} is not UTF-8", root.display()))?;
    let mut text = String::from(
        "# Proposed by `haul inventory`. Edit numbers, kinds and owners; then: haul run THIS --case LABEL --out DIR\n",
    );
    let mut numbers = BTreeSet::new();
    let mut given = Vec::new();
    for device in &found.devices {
        given.push(number(device, &mut numbers));
    }
    for (device, number) in found.devices.iter().zip(&given) {
        text.push_str("\n[[exhibit]]\n");
        let mut put = |key: &str, value: &str| writeln!(text, "{key} = {}", toml::Value::from(value));
        put("number", number)?;
        put("owner", "")?;
        put("kind", device.kind)?;
        put("path", &format!("{root}/{}", device.path))?;
        put("container", &device.container)?;
        if let Some(original) = device.same_as.and_then(|at| given.get(at)) {
            put("same_as", original)?;
        }
        if device.parts.len() > 1 {
            let parts: Vec<toml::Value> = device.parts.iter().map(|part| toml::Value::from(part.as_str())).collect();
            writeln!(text, "parts = {}", toml::Value::Array(parts))?;
        }
        writeln!(text, "# {} files, {} bytes", device.files, device.bytes)?;
        for note in &device.notes {
            writeln!(text, "# {}", escape(note))?;
        }
    }
    for (path, why) in &found.others {
        writeln!(text, "\n# not proposed: {} ({why})", escape(path))?;
    }
    Ok(text)
}

/// A number that no other exhibit has: the evidence's name, without what names its format.
fn number(device: &Device, taken: &mut BTreeSet<String>) -> String {
    let name = device.path.rsplit('/').next().unwrap_or(&device.path);
    let stem = if device.folder { name } else { parts::stem(name) };
    let mut number = stem.to_owned();
    let mut count = 1;
    while !taken.insert(export::file_stem(&number)) {
        count += 1;
        number = format!("{stem}-{count}");
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventoried(make: impl FnOnce(&Path)) -> (String, toml::Table) {
        let folder = tempfile::tempdir().unwrap();
        let (raid, out) = (folder.path().join("raid"), folder.path().join("raid.toml"));
        fs::create_dir(&raid).unwrap();
        make(&raid);
        inventory(&cli::Inventory { folder: raid, out: out.clone() }).unwrap();
        let text = fs::read_to_string(out).unwrap();
        let table = text.parse().unwrap();
        (text, table)
    }

    fn put(root: &Path, path: &str, content: &[u8]) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn column<'t>(table: &'t toml::Table, key: &str) -> Vec<&'t str> {
        let exhibits = table["exhibit"].as_array().unwrap();
        exhibits.iter().map(|exhibit| exhibit.get(key).and_then(|value| value.as_str()).unwrap_or("-")).collect()
    }

    #[test]
    fn one_entry_a_device() {
        let (text, table) = inventoried(|raid| {
            put(raid, "phones/A1/data/data/com.whatsapp/databases/msgstore.db", b"SQLite format 3\0");
            put(raid, "phones/A1/sdcard/x.jpg", b"jpg");
            put(raid, "phones/A2/Manifest.db", b"SQLite format 3\0");
            put(raid, "phones/A2/Info.plist", b"<plist/>");
            put(raid, "phones/A2/3d/3d00", b"blob");
            put(raid, "phones/A3.ab", b"ANDROID BACKUP\n5\n0\nnone\n");
            put(raid, "computers/PC1.001", &[0; 512]);
            put(raid, "computers/PC1.002", b"more");
            put(raid, "computers/PC1.004", b"more still");
            put(raid, "computers/PC1.txt", b"acquired by somebody");
            put(raid, "photos of the room.pdf", b"%PDF");
        });
        assert_eq!(column(&table, "number"), ["PC1", "A1", "A2", "A3"]);
        assert_eq!(column(&table, "container"), ["raw", "directory", "itunes_backup", "android_backup"]);
        assert_eq!(column(&table, "kind"), ["unknown", "phone", "phone", "phone"]);
        assert!(text.contains("# part .003 is missing") && text.contains("# not proposed: photos of the room.pdf"), "{text}");
    }

    #[test]
    fn duplicates_are_known_by_their_bytes() {
        let (_, table) = inventoried(|raid| {
            put(raid, "first.ab", b"ANDROID BACKUP\n5\n0\nnone\nsame");
            put(raid, "copy/second.ab", b"ANDROID BACKUP\n5\n0\nnone\nsame");
            put(raid, "third.ab", b"ANDROID BACKUP\n5\n0\nnone\nSAME");
            put(raid, "x/data/file", b"1");
            put(raid, "y/data/file", b"1");
            put(raid, "z/data/file", b"2");
        });
        let pairs: Vec<_> = column(&table, "number").into_iter().zip(column(&table, "same_as")).collect();
        assert_eq!(pairs, [("second", "-"), ("first", "second"), ("third", "-"), ("x", "-"), ("y", "x"), ("z", "-")]);
    }

    #[test]
    fn nothing_is_written_into_the_evidence_or_over_an_edited_list() {
        let folder = tempfile::tempdir().unwrap();
        let inside = cli::Inventory { folder: folder.path().to_owned(), out: folder.path().join("raid.toml") };
        assert!(inventory(&inside).is_err());
        let other = tempfile::tempdir().unwrap();
        let again = cli::Inventory { folder: folder.path().to_owned(), out: other.path().join("raid.toml") };
        inventory(&again).unwrap();
        assert!(inventory(&again).is_err());
    }
}
