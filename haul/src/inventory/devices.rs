//! Which files and folders are a device each, by what is in them.

use super::parts::{self, Joined};
use anyhow::{Context, Result};
use ingest::{Listed, survey};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A device that was found.
pub struct Device {
    /// Path from the root; of several parts the first.
    pub path: String,
    /// Whether it is a folder.
    pub folder: bool,
    /// What it is.
    pub container: String,
    /// `phone`, `computer` or `unknown`.
    pub kind: &'static str,
    /// Names of its parts.
    pub parts: Vec<String>,
    /// Its files' paths from the root, with their sizes.
    pub content: Vec<(String, u64)>,
    /// How many files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What the technician should know.
    pub notes: Vec<String>,
    /// Place in the list of the device with the same bytes.
    pub same_as: Option<usize>,
}

/// What was found.
pub struct Found {
    /// Devices in path order.
    pub devices: Vec<Device>,
    /// What is no device, and why.
    pub others: Vec<(String, &'static str)>,
}

/// Names of folders at the top of a phone's or computer's file system.
const PHONE_ROOTS: [&str; 11] =
    ["data", "sdcard", "private", "dcim", "android", "apps", "shared", "whatsapp", "storage", "system", "userdata"];
const COMPUTER_ROOTS: [&str; 6] = ["users", "windows", "program files", "documents and settings", "home", "etc"];
/// Endings of notes that tools leave beside an image.
const NOTES: [&str; 14] =
    ["txt", "pdf", "log", "csv", "xml", "html", "json", "md5", "sha1", "sha256", "ufd", "ufdx", "toml", "docx"];

/// Folders: names of what is in them.
#[derive(Default)]
struct Folder {
    folders: BTreeSet<String>,
    files: BTreeMap<String, u64>,
}

/// Finds the devices below a folder.
pub fn find(root: &Path) -> Result<Found> {
    let listed = survey(root).with_context(|| format!("cannot list {}", root.display()))?;
    let mut found = Found { devices: Vec::new(), others: Vec::new() };
    let mut tree: BTreeMap<String, Folder> = BTreeMap::from([(String::new(), Folder::default())]);
    for Listed { path, size, folder } in &listed {
        let Ok(path) = std::str::from_utf8(path) else {
            found.others.push((String::from_utf8_lossy(path).into_owned(), "its name is not UTF-8"));
            continue;
        };
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = tree.entry(parent.to_owned()).or_default();
        if *folder {
            parent.folders.insert(name.to_owned());
            tree.entry(path.to_owned()).or_default();
        } else {
            parent.files.insert(name.to_owned(), size.unwrap_or(0));
        }
    }
    visit(root, "", &tree, &mut found);
    found.devices.sort_by(|a, b| a.path.cmp(&b.path));
    found.others.sort();
    Ok(found)
}

fn visit(root: &Path, path: &str, tree: &BTreeMap<String, Folder>, found: &mut Found) {
    let Some(folder) = tree.get(path) else { return };
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
    if !path.is_empty()
        && let Some((container, kind)) = whole(folder)
    {
        found.devices.push(gather(path, container, kind, tree));
        return;
    }
    let names: Vec<String> = folder.files.keys().cloned().collect();
    let (mut devices, mut others) = (Vec::new(), Vec::new());
    for joined in parts::join(&names) {
        match container(&root.join(below(&joined.first)), &joined) {
            Some((container, note)) => devices.push(file(&below(""), joined, container, note, folder)),
            None => others.push(joined.first),
        }
    }
    // Files that no tool leaves beside an image: the folder is what somebody copied from one device.
    if !path.is_empty() && devices.is_empty() && others.iter().any(|name| !is_note(name)) {
        found.devices.push(gather(path, "directory", "unknown", tree));
        return;
    }
    found.devices.extend(devices);
    found.others.extend(others.iter().map(|name| (below(name), "no container")));
    folder.folders.iter().for_each(|name| visit(root, &below(name), tree, found));
}

fn is_note(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, ending)| NOTES.contains(&ending.to_ascii_lowercase().as_str()))
}

/// What a folder is, if all of it is one device.
fn whole(folder: &Folder) -> Option<(&'static str, &'static str)> {
    let lists = ["Manifest.plist", "Info.plist", "Status.plist"];
    if folder.files.contains_key("Manifest.db") && lists.iter().any(|name| folder.files.contains_key(*name)) {
        return Some(("itunes_backup", "phone"));
    }
    let has = |roots: &[&str]| folder.folders.iter().any(|name| roots.contains(&name.to_ascii_lowercase().as_str()));
    if has(&COMPUTER_ROOTS) && !has(&["data", "private", "sdcard"]) {
        return Some(("directory", "computer"));
    }
    has(&PHONE_ROOTS).then_some(("directory", "phone"))
}

/// A folder with all that is below it.
fn gather(path: &str, container: &str, kind: &'static str, tree: &BTreeMap<String, Folder>) -> Device {
    let prefix = format!("{path}/");
    let inside = tree.range(path.to_owned()..).filter(|(folder, _)| *folder == path || folder.starts_with(&prefix));
    // Other names can lie between a folder and what is below it (`a b` between `a` and `a/c`); all begin with the path.
    let inside = inside.take_while(|(folder, _)| folder.starts_with(path));
    let mut content: Vec<(String, u64)> = inside
        .flat_map(|(folder, entry)| entry.files.iter().map(move |(name, size)| (format!("{folder}/{name}"), *size)))
        .collect();
    content.sort();
    device(path.to_owned(), true, container.to_owned(), kind, vec![path.to_owned()], content)
}

/// A file, or several parts of one.
fn file(folder_path: &str, joined: Joined, container: String, note: Option<String>, folder: &Folder) -> Device {
    let size = |name: &String| folder.files.get(name).copied().unwrap_or(0);
    let content = joined.parts.iter().map(|name| (format!("{folder_path}{name}"), size(name))).collect();
    let kind = if ["android_backup", "ufdr"].contains(&container.as_str()) { "phone" } else { "unknown" };
    let mut device = device(format!("{folder_path}{}", joined.first), false, container, kind, joined.parts, content);
    device.notes = note.into_iter().collect();
    match joined.missing.as_slice() {
        [] => {}
        [one] => device.notes.push(format!("part {one} is missing")),
        [first, ..] => device.notes.push(format!("{} parts are missing, the first is {first}", joined.missing.len())),
    }
    device
}

fn device(
    path: String,
    folder: bool,
    container: String,
    kind: &'static str,
    parts: Vec<String>,
    content: Vec<(String, u64)>,
) -> Device {
    let (files, bytes) = (content.len() as u64, content.iter().fold(0u64, |sum, (_, size)| sum.saturating_add(*size)));
    Device { path, folder, container, kind, parts, content, files, bytes, notes: Vec::new(), same_as: None }
}

/// What a file is: by what ingest opens, else by its first bytes; `None` if it is no container.
fn container(path: &Path, joined: &Joined) -> Option<(String, Option<String>)> {
    let name = joined.first.to_ascii_lowercase();
    match ingest::container_of(path) {
        Ok(guess) => {
            if guess.container.as_deref() == Some("zip") && name.ends_with(".ufdr") {
                return Some(("ufdr".to_owned(), guess.note));
            }
            let image = image(&guess.head).map(str::to_owned);
            let parts = joined.parts.len() > 1 || name.ends_with(".001");
            let raw = parts || [".dd", ".raw", ".img"].iter().any(|ending| name.ends_with(ending));
            guess.container.or(image).or(raw.then(|| "raw".to_owned())).map(|container| (container, guess.note))
        }
        Err(error) => Some(("unreadable".to_owned(), Some(error.kind().to_string()))),
    }
}

/// Images and archives by their first bytes.
fn image(head: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    let known: &[(usize, &[u8], &str)] = &[
        (0, b"EVF2\r\n\x81\0", "ex01"),
        (0, b"EVF\t\r\n\xff\0", "ewf"),
        (0, b"LVF\t\r\n\xff\0", "ewf"),
        (0, b"QFI\xfb", "qcow2"),
        (0, b"KDMV", "vmdk"),
        (0, b"# Disk DescriptorFile", "vmdk"),
        (0, b"vhdxfile", "vhdx"),
        (0, b"conectix", "vhd"),
        (64, b"\x7f\x10\xda\xbe", "vdi"),
        (0, b"7z\xbc\xaf\x27\x1c", "7z"),
        (0, b"Rar!\x1a\x07", "rar"),
        (3, b"NTFS    ", "raw"),
        (3, b"EXFAT   ", "raw"),
        (3, b"-FVE-FS-", "raw"),
        (0, b"LUKS\xba\xbe", "raw"),
        (512, b"EFI PART", "raw"),
        (1080, b"\x53\xef", "raw"),
        (32, b"NXSB", "raw"),
        (1024, b"H+", "raw"),
        (1024, b"HX", "raw"),
        (32769, b"CD001", "raw"),
    ];
    known.iter().find(|(offset, magic, _)| at(*offset, magic)).map(|(_, _, name)| *name)
}
