//! Five containers, one in the other: a disk of a computer as E01, NTFS on it, a zip there, in it the disk of an emulator as VMDK,
//! ext4 on that, and in it a messenger's database. Made with the tools that make such things; read back to the byte.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use tests::command::{binary, expect_code, haul_run};

/// Runs a program of the system in a folder.
fn tool(folder: &Path, line: &str) {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap());
    let output = command.args(words).current_dir(folder).env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").output();
    let output = output.unwrap_or_else(|error| panic!("{line}: {error}; scripts/packages test installs it"));
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes `disk.E01` in a folder, and leaves what it is made of beside it.
fn chain(folder: &Path) {
    let databases = folder.join("data/data/com.whatsapp/databases");
    fs::create_dir_all(&databases).unwrap();
    let sql = tests::root().join("tests/fixtures/whatsapp_android/groups_and_lids/input.sql");
    let made = Command::new("sqlite3").arg(databases.join("msgstore.db")).stdin(fs::File::open(sql).unwrap()).status();
    assert!(made.unwrap().success());
    tool(folder, "mke2fs -q -t ext4 -d data -F ext4.raw 4M");
    tool(folder, "qemu-img convert -f raw -O vmdk ext4.raw android.vmdk");
    tool(folder, "zip -q phone.zip android.vmdk");
    fs::write(folder.join("ntfs.raw"), vec![0; 8 << 20]).unwrap();
    tool(folder, "mkntfs -q -F -f ntfs.raw");
    tool(folder, "ntfscp -q ntfs.raw phone.zip phone.zip");
    tool(folder, "ewfacquire -u -q -c deflate:fast -f encase6 -t disk ntfs.raw");
}

/// A line `lies at bytes A to B, packed of PATH (layer)` of `haul explain`, taken apart.
struct Stretch {
    bytes: std::ops::Range<usize>,
    packed: bool,
    path: String,
}

fn stretches(words: &str) -> Vec<Stretch> {
    let lines = words.lines().filter_map(|line| line.strip_prefix("lies at bytes "));
    let lines = lines.map(|line| {
        let (range, path) = line.split_once(" of ").unwrap();
        let (start, end) = range.strip_suffix(", packed").unwrap_or(range).split_once(" to ").unwrap();
        let bytes = start.parse().unwrap()..end.parse().unwrap();
        Stretch { bytes, packed: range.ends_with(", packed"), path: path.to_owned() }
    });
    lines.collect()
}

#[test]
fn a_chain_five_deep_is_walked_to_the_message_and_back_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    chain(root);
    let out = root.join("out");
    expect_code(&mut haul_run(&root.join("disk.E01"), &out, &root.join("key")), 0);
    let bundle = out.join("1.sqlite");
    let connection = export::open_read_only(&bundle).unwrap();
    let path: String = connection
        .query_row("SELECT path FROM item WHERE id = (SELECT item_id FROM message LIMIT 1)", [], |row| row.get(0))
        .unwrap();
    assert_eq!(path, "phone.zip/android.vmdk/data/com.whatsapp/databases/msgstore.db");
    // As many as sqlite3 counts in the database that went in.
    let database = root.join("data/data/com.whatsapp/databases/msgstore.db");
    let rows = expect_code(Command::new("sqlite3").arg(&database).arg("SELECT count(*) FROM message"), 0);
    let rows: i64 = String::from_utf8(rows.stdout).unwrap().trim().parse().unwrap();
    let live = "SELECT count(*) FROM message WHERE state = 'live' AND row_table = 'message'";
    let found: i64 = connection.query_row(live, [], |row| row.get(0)).unwrap();
    let rejected = "SELECT coalesce(sum(rejected), 0) FROM ledger WHERE row_table = 'message' AND record_kind = 'message'";
    let rejected: i64 = connection.query_row(rejected, [], |row| row.get(0)).unwrap();
    assert!(found > 2);
    assert_eq!(found + rejected, rows);
    let (id, text): (String, String) = connection
        .query_row("SELECT lower(hex(id)), text FROM message WHERE length(text) > 5 ORDER BY row_id LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    let words = expect_code(Command::new(binary("haul")).arg("explain").arg(&bundle).arg(&id), 0);
    let words = String::from_utf8(words.stdout).unwrap();
    let file = |name: &str| fs::read(root.join(name)).unwrap();
    let stretches = stretches(&words);
    let at = |ending: &str| {
        stretches.iter().find(|stretch| stretch.path.ends_with(ending)).unwrap_or_else(|| panic!("no {ending} in {words}"))
    };
    // The row's cell, where it lies on the disk of the emulator, and in that disk's file.
    let cell = &fs::read(&database).unwrap()[at("msgstore.db").bytes.clone()];
    assert!(cell.windows(text.len()).any(|window| window == text.as_bytes()), "{words}");
    assert_eq!(&file("ext4.raw")[at("android.vmdk (disk)").bytes.clone()], cell);
    assert_eq!(&file("android.vmdk")[at("android.vmdk").bytes.clone()], cell);
    // The packed member of the zip gives that file.
    let member = at("phone.zip");
    assert!(member.packed);
    let mut unpacked = Vec::new();
    flate2::read::DeflateDecoder::new(&file("phone.zip")[member.bytes.clone()]).read_to_end(&mut unpacked).unwrap();
    assert!(unpacked == file("android.vmdk"));
    // Its first byte on the disk of the computer, and the packed chunk of the E01 that this byte comes out of.
    let (disk, chunk) = (at("disk.E01 (disk)"), at("disk.E01"));
    assert!(chunk.packed && !disk.packed);
    assert_eq!(file("ntfs.raw")[disk.bytes.start..][..64], file("phone.zip")[member.bytes.start..][..64]);
    let mut unpacked = Vec::new();
    flate2::read::ZlibDecoder::new(&file("disk.E01")[chunk.bytes.clone()]).read_to_end(&mut unpacked).unwrap();
    let chunk_start = disk.bytes.start / unpacked.len() * unpacked.len();
    assert!(unpacked == file("ntfs.raw")[chunk_start..][..unpacked.len()]);
    assert!(stretches.last().is_some_and(|last| last.path == "disk.E01"), "it ends in the evidence");
}
