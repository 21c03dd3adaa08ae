//! Archives that are odd, broken, encrypted or lie: everything in them is an item or a problem says why not.

use crate::pack::{Header, Member, Sizes, Tar, Zip, crc32, gzip, zip};
use crate::world::{Told, World, sha256};
use model::item::FileTime;
use model::{Code, FileKind, Item, ItemStatus};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

/// An exhibit that is one file.
struct Single {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn single(name: &str, bytes: &[u8]) -> Single {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    Single { _folder: folder, path }
}

/// Takes in an exhibit that is these bytes, and opens everything in it again.
fn take(bytes: &[u8]) -> Told {
    let (world, file) = (World::new(), single("evidence", bytes));
    let told = world.take(&file.path);
    assert_eq!(told.sha256("evidence"), sha256(bytes));
    // Each opening lists the archive again: not for tens of thousands.
    if told.items.len() < 100 {
        told.reopen(&world, &file.path);
    }
    told
}

fn root(told: &Told) -> &Item {
    told.item("evidence")
}

fn raw(item: &Item) -> &[u8] {
    item.path_raw.as_deref().unwrap_or(item.path.as_bytes())
}

/// Codes of the exhibit's own file.
fn codes(told: &Told) -> Vec<Code> {
    told.codes(root(told))
}

/// Names that would harm whoever unpacks them (H05 to H08, H22).
fn names() -> Vec<Vec<u8>> {
    let long = "\u{1f600}".repeat(255).into_bytes();
    let names: [&[u8]; 14] = [
        b"../../etc/passwd",
        b"/etc/passwd",
        b"C:\\Windows\\x",
        b"\\\\server\\share\\x",
        b"new\nline\r",
        b"\x1b]0;title\x07",
        b"\xff\xfe\x80",
        b".",
        b"..",
        b"./a",
        b"a//b",
        "\u{202e}txt.exe".as_bytes(),
        b" ",
        &long,
    ];
    names.iter().map(|name| name.to_vec()).collect()
}

#[test]
fn harmful_names_are_kept_as_data() {
    let mut names = names();
    // An own name in its archive, and one that ends in the middle for whoever reads C strings (H08).
    names.extend([b"nul\0byte".to_vec(), b"evidence".to_vec(), vec![b'n'; 65_000]]);
    let members: Vec<Member> = names.iter().map(|name| Member::stored(name, name)).collect();
    let pax = |tar: Tar, name: &Vec<u8>| tar.pax(&[("path", name)]).file(b"short", name);
    for bytes in [zip(&members), names.iter().fold(Tar::default(), pax).end()] {
        let world = World::new();
        let file = single("box", &bytes);
        let told = world.take(&file.path);
        assert_eq!(told.items.len(), names.len() + 1);
        for name in &names {
            let item = told.items.iter().find(|item| item.parent.is_some() && raw(item) == &name[..]).unwrap();
            assert_eq!((item.status, item.sha256), (item.status, Some(model::Digest::of(name))));
        }
        assert_eq!(told.reopen(&world, &file.path), names.len() + 1);
        assert_eq!(told.problems().count(), 0);
    }
}

#[test]
fn entries_of_one_name_are_all_items() {
    // H12 and H13: twice the same name, and names that some file systems take for one.
    let names = ["a", "a", "A", "\u{e9}", "e\u{301}", "a"];
    let content = |at: usize| format!("content {at}").into_bytes();
    let members: Vec<Member> = names.iter().enumerate().map(|(at, name)| Member::stored(name, &content(at))).collect();
    let tar = names.iter().enumerate().fold(Tar::default(), |tar, (at, name)| tar.file(name, &content(at))).end();
    for bytes in [zip(&members), gzip(&tar), tar] {
        let told = take(&bytes);
        let found: BTreeSet<String> = told.items.iter().map(|item| item.sha256.unwrap().to_string()).collect();
        assert!((0..names.len()).all(|at| found.contains(&sha256(&content(at)))));
        assert_eq!((told.items.len(), told.problems().count()), (names.len() + 1, 0));
    }
}

#[test]
fn links_and_devices_in_archives_are_recorded() {
    // H09 to H11.
    let tar = Tar::default()
        .entry(Header::new(b"l", b'2', 0).link(b"/etc"), b"")
        .file("l/passwd", b"not there")
        .entry(Header::new(b"h", b'1', 0).link(b"/etc/shadow"), b"")
        .entry(Header::new(b"char", b'3', 0), b"")
        .entry(Header::new(b"block", b'4', 0), b"")
        .entry(Header::new(b"fifo", b'6', 0), b"")
        .entry(Header::new(b"d/", b'5', 0), b"")
        .entry(Header::new(b"old/", 0, 0), b"");
    let mut setuid = Header::new(b"su", b'0', 2);
    setuid.put(100, b"0006755\0");
    let told = take(&tar.entry(setuid, b"su").end());
    let kind = |path: &str| (told.item(path).file_kind, told.item(path).status, told.item(path).link_target.as_deref());
    assert_eq!(kind("l"), (FileKind::Symlink, ItemStatus::Skipped, Some("/etc")));
    assert_eq!(kind("h"), (FileKind::Hardlink, ItemStatus::Skipped, Some("/etc/shadow")));
    assert_eq!(kind("char").0, FileKind::CharDevice);
    assert_eq!(kind("block").0, FileKind::BlockDevice);
    assert_eq!(kind("fifo").0, FileKind::Fifo);
    assert_eq!(told.sha256("l/passwd"), sha256(b"not there"));
    assert_eq!((told.sha256("su"), told.item("su").mode), (sha256(b"su"), Some(0o6755)));
    assert_eq!((told.end.as_ref().unwrap().directories, told.problems().count()), (2, 0));

    let mut link = Member::stored("link", b"../../etc/shadow");
    link.mode = 0o120_777;
    let mut fifo = Member::stored("fifo", b"");
    fifo.mode = 0o010_644;
    let told = take(&zip(&[link, fifo, Member::stored("d/", b"")]));
    assert_eq!(told.item("link").link_target.as_deref(), Some("../../etc/shadow"));
    assert_eq!((told.item("link").status, told.item("fifo").file_kind), (ItemStatus::Skipped, FileKind::Fifo));
    assert_eq!(told.end.as_ref().unwrap().directories, 1);
}

#[test]
fn data_where_none_should_be_are_not_lost() {
    // A link, a folder and a device with data, and old writers' sizes without data.
    let address = b"1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2";
    let tar = Tar::default()
        .entry(Header::new(b"h", b'1', 34).link(b"x"), address)
        .entry(Header::new(b"hint", b'5', 4096), b"")
        .entry(Header::new(b"hint-link", b'1', 77).link(b"x"), b"")
        .file("after", b"after");
    let told = take(&tar.clone().end());
    assert_eq!((told.sha256("h"), told.item("h").link_target.as_deref()), (sha256(address), Some("x")));
    assert_eq!((told.sha256("after"), told.item("hint-link").status), (sha256(b"after"), ItemStatus::Skipped));
    assert_eq!(told.problems().count(), 0);

    let told = take(&tar.entry(Header::new(b"d", b'5', 34), address).file("last", b"last").end());
    assert_eq!((codes(&told), told.sha256("last")), (vec![Code::ContainerDamaged], sha256(b"last")));
}

#[test]
fn headers_that_contradict_each_other_are_said_and_the_content_is_read() {
    // H14.
    let lies: [(&str, fn(&mut Member)); 3] = [
        ("name", |member| member.local_name = b"harmless.jpg".to_vec()),
        ("size", |member| member.local_size = 1),
        ("method", |member| member.local_method = 0),
    ];
    for (what, lie) in lies {
        let mut member = Member::deflated("evil.exe", b"content content content");
        lie(&mut member);
        let told = take(&zip(&[member, Member::stored("other", b"other")]));
        assert_eq!(told.codes(told.item("evil.exe")), [Code::HeaderMismatch], "{what}");
        assert!(told.problems().any(|problem| problem.detail.contains(what)));
        assert_eq!(told.sha256("evil.exe"), sha256(b"content content content"));
        assert_eq!(told.outcome("other").1, []);
    }
}

#[test]
fn sizes_and_checksums_that_lie_cost_one_entry() {
    let content = b"content content content";
    let lies: [(fn(&mut Member), Code); 4] = [
        (|member| member.crc ^= 1, Code::ChecksumMismatch),
        (|member| (member.size, member.local_size) = (24, 24), Code::Truncated),
        (|member| (member.size, member.local_size) = (22, 22), Code::HeaderMismatch),
        (|member| (member.method, member.local_method) = (99, 99), Code::Unsupported),
    ];
    for make in [Member::stored, Member::deflated] {
        for (lie, code) in lies {
            let mut member = make("member", content);
            lie(&mut member);
            if member.method == 0 {
                member.packed = member.packed.max(member.size);
            }
            let told = take(&zip(&[member, Member::stored("other", b"other")]));
            let found = told.outcome("member").1;
            assert!(
                found.contains(&code) || code == Code::Truncated && found.contains(&Code::ContainerDamaged),
                "{found:?}, {code:?}"
            );
            assert_eq!(told.outcome("other").1, []);
        }
    }
}

#[test]
fn descriptors_stand_behind_the_data() {
    let content = b"content with a descriptor behind it";
    for signature in [true, false] {
        for mut member in [Member::stored("m", content), Member::deflated("m", content)] {
            member.sizes = Sizes::Behind { signature };
            let bytes = zip(&[member.clone(), Member::stored("after", b"after")]);
            let told = take(&bytes);
            assert_eq!((told.sha256("m"), told.sha256("after")), (sha256(content), sha256(b"after")));
            assert_eq!(told.problems().count(), 0);
            // Without a directory a descriptor is found by its signature; deflated data end by themselves.
            let cut = bytes.len() - 22 - 46 * 2 - 1 - 5;
            let told = take(&bytes[..cut]);
            if signature || member.method == 8 {
                assert!(told.sha256("m") == sha256(content), "{signature} {}", member.method);
            }
            assert!(codes(&told).contains(&Code::Truncated));
        }
    }
}

#[test]
fn many_entries_and_numbers_that_overflow() {
    // H15: more entries than 16 bits count, without zip64; then ends that lie.
    let mut many = Zip::default();
    (0..70_000).for_each(|number| {
        many.add(&Member::stored(format!("{number}"), b""));
    });
    let told = take(&many.end((70_000u32 & 0xffff) as u16, b""));
    assert_eq!((told.items.len(), told.problems().count()), (70_001, 0));

    let mut three = Zip::default();
    (0..3).for_each(|number| {
        three.add(&Member::stored(format!("{number}"), b"x"));
    });
    for (told_entries, rows) in [(1, 3), (9, 9), (0xffff, 0xffff)] {
        let told = take(&three.end(told_entries, b""));
        assert_eq!((told.items.len(), codes(&told)), (4, vec![Code::HeaderMismatch]));
        assert_eq!(told.ledger().next().unwrap().rows_seen, rows);
    }

    // Zip64 values that are nonsense: sizes and offset as large as can be.
    let mut extra = vec![1, 0, 24, 0];
    extra.extend([0xff; 24]);
    let member = Member { extra, size: u32::MAX, packed: u32::MAX, ..Member::stored("huge", b"x") };
    let mut lie = three.clone();
    lie.point(&member, u32::MAX);
    let told = take(&lie.end(4, b""));
    assert_eq!(told.outcome("huge"), (ItemStatus::Skipped, vec![Code::CapRatio]));
    assert!(["0", "1", "2"].iter().all(|path| told.sha256(path) == sha256(b"x")));
}

#[test]
fn what_stands_before_and_behind_an_archive_does_no_harm() {
    let archive = zip(&[Member::stored("a", b"a"), Member::deflated("b", b"bbbbbbbbbb")]);
    let mut tricky = Zip::default();
    tricky.add(&Member::stored("a", b"a"));
    let fake = b"PK\x05\x06\0\0\0\0\x09\0\x09\0\xff\0\0\0\xff\xff\0\0\0\0";
    let variants = [
        ([&archive[..], b"garbage behind"].concat(), 2),
        ([&b"MZ a stub that unpacks "[..], &archive].concat(), 2),
        ([&b"\xff\xd8\xff\xe0 a picture "[..], &archive].concat(), 2),
        (tricky.end(1, fake), 1),
    ];
    for (bytes, members) in variants {
        let told = take(&bytes);
        assert_eq!(told.items.len(), members + 1, "{:?}", &bytes[..4]);
        assert_eq!(told.sha256("a"), sha256(b"a"));
    }
}

fn encrypted(method: zip::AesMode) -> zip::write::SimpleFileOptions {
    zip::write::SimpleFileOptions::default().with_aes_encryption(method, "right")
}

#[test]
fn encrypted_entries_are_locked_or_read() {
    // H16.
    use zip::unstable::write::FileOptionsExt as _;
    let content: Vec<u8> = (0..60_000u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
    let plain = zip::write::SimpleFileOptions::default();
    let kinds = [
        ("aes128", encrypted(zip::AesMode::Aes128)),
        ("aes192", encrypted(zip::AesMode::Aes192)),
        ("aes256", encrypted(zip::AesMode::Aes256)),
        ("zipcrypto", plain.with_deprecated_encryption(b"right").unwrap()),
        ("plain", plain),
    ];
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, options) in kinds {
        writer.start_file(name, options).unwrap();
        writer.write_all(&content).unwrap();
    }
    let bytes = writer.finish().unwrap().into_inner();
    let file = single("evidence", &bytes);
    for (passwords, opens) in [(vec![], false), (vec!["wrong", ""], false), (vec!["wrong", "right"], true)] {
        let mut world = World::new();
        world.passwords = passwords.into_iter().map(str::to_owned).collect();
        let told = world.take(&file.path);
        assert_eq!(told.sha256("plain"), sha256(&content));
        for (name, _) in &kinds[..4] {
            if opens {
                assert_eq!((told.sha256(name), told.outcome(name).1), (sha256(&content), vec![]), "{name}");
            } else {
                assert_eq!(told.outcome(name), (ItemStatus::Locked, vec![Code::Encrypted]), "{name}");
            }
        }
        assert_eq!(told.reopen(&world, &file.path), if opens { 6 } else { 2 });
    }
}

#[test]
fn other_methods_are_read() {
    let content: Vec<u8> = (0..30_000u32).flat_map(|number| (number / 3).to_be_bytes()).collect();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::new(1));
    bzip2.write_all(&content).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&content).unwrap();
    let packed = [(12u16, bzip2.finish().unwrap()), (93, zstd::encode_all(&content[..], 1).unwrap()), (95, xz.finish().unwrap())];
    let members: Vec<Member> =
        packed.iter().map(|(method, data)| Member::packed(format!("{method}"), &content, *method, data.clone())).collect();
    let told = take(&zip(&members));
    assert!(packed.iter().all(|(method, _)| told.sha256(&format!("{method}")) == sha256(&content)));
    assert_eq!(told.problems().count(), 0);
    // The same, each as a file of its own, twice in a row: every member, frame or stream is read.
    for (_, data) in &packed {
        let told = take(&[&data[..], data].concat());
        assert_eq!(told.sha256("data"), sha256(&[&content[..], &content].concat()));
    }
}

#[test]
fn ten_thousand_members_of_one_gzip_are_one_stream() {
    // H19.
    let one = gzip(b"0123456789");
    let told = take(&one.repeat(10_000));
    assert_eq!(told.item("data").size_bytes, 100_000);
    assert_eq!(told.sha256("data"), sha256(&b"0123456789".repeat(10_000)));
}

#[test]
fn a_zlib_stream_is_opened_and_what_only_begins_like_one_is_not() {
    use std::io::Write as _;
    let zlib = |content: &[u8]| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    };
    let text = br#"[{"address":"+12015550123","body":"x"}]"#;
    let long = (0..200_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>();
    for content in [&text[..], &long] {
        let packed = zlib(content);
        assert_eq!(take(&packed).sha256("data"), sha256(content));
        // Cut: what is left is read, and the loss told.
        let told = take(&packed[..packed.len() - 5]);
        assert_eq!(told.items.len(), if content.len() > 4096 { 2 } else { 1 });
    }
    let mut noise = sha256(b"noise").repeat(200).into_bytes();
    noise.splice(..2, [0x78, 0x9c]);
    assert_eq!(take(&noise).items.len(), 1);
    assert_eq!(take(b"x\x9c").items.len(), 1);
}

/// A small archive of each kind, and its members with where their data end.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let text = "the quick brown fox jumps over the lazy dog ".repeat(20);
    let mut behind = Member::deflated("c", text.as_bytes());
    behind.sizes = Sizes::Behind { signature: true };
    let zip = zip(&[Member::stored("a", b"aaaaaaaaaaaaaaaa"), Member::deflated("b", text.as_bytes()), behind]);
    let tar = Tar::default().file("a", b"aaaaaaaaaaaaaaaa").pax(&[("mtime", b"1.5")]).file("b", text.as_bytes()).end();
    vec![("zip", zip), ("tar.gz", gzip(&tar)), ("tar", tar)]
}

#[test]
fn archives_cut_anywhere_are_read_as_far_as_they_go() {
    // H17.
    let mut world = World::new();
    world.settings.workers = 1;
    for (name, bytes) in samples() {
        let step = if name == "tar" { 37 } else { 1 };
        for length in (0..bytes.len()).step_by(step) {
            let file = single("evidence", &bytes[..length]);
            let told = world.take(&file.path);
            assert_eq!(told.sha256("evidence"), sha256(&bytes[..length]));
            let complete = told.problems().count() == 0;
            let whole = told.items.iter().filter(|item| item.parent.is_some() && item.status == ItemStatus::Plain).count();
            // What was cut is said, but where nothing was left to know an archive by, or only empty blocks were cut from a tar.
            let known = root(&told).definition.is_some();
            let end_only = name == "tar" && length >= bytes.len() - 1024;
            assert!(!complete || !known || end_only, "{name} cut to {length}: {:?}", told.paths());
            if name == "zip" && known {
                // Members whose data lie before the cut.
                let before = [30 + 1 + 16].iter().filter(|end| **end <= length).count();
                assert!(whole >= before.min(1) || told.items.len() > before, "{length}");
            }
        }
    }
}

#[test]
fn archives_with_any_byte_flipped_harm_nobody() {
    let mut world = World::new();
    world.settings.workers = 1;
    for (name, bytes) in samples() {
        for at in (0..bytes.len()).step_by(if name == "tar" { 5 } else { 1 }) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            let file = single("evidence", &damaged);
            let told = world.take(&file.path);
            assert_eq!(told.sha256("evidence"), sha256(&damaged), "{name} {at}");
            told.reopen(&world, &file.path);
        }
    }
}

#[test]
fn every_form_of_tar_is_read() {
    let mut base256 = Header::new(b"large-id", b'0', 1);
    base256.put(124, b"\x80\0\0\0\0\0\0\0\0\0\0\x01");
    let mut gnu = Header::new(b"gnu", b'0', 1);
    gnu.put(257, b"ustar  \0");
    gnu.put(345, b"00000000007\0");
    let mut old = Header::new(b"v7", 0, 1);
    old.put(257, &[0; 8]);
    let mut prefixed = Header::new(b"name", b'0', 1);
    prefixed.put(345, b"some/prefix");
    let long = vec![b'l'; 300];
    let tar = Tar::default()
        .entry(base256, b"1")
        .entry(gnu, b"2")
        .entry(old, b"3")
        .entry(prefixed, b"4")
        .entry(Header::new(b"././@LongLink", b'L', 301), &[&long[..], b"\0"].concat())
        .file("short", b"5")
        .pax(&[("path", b"pax"), ("mtime", b"-1.25"), ("LIBARCHIVE.creationtime", b"2.5"), ("size", b"1")])
        .entry(Header::new(b"x", b'0', 0), b"6")
        .entry(Header::new(b"pax_global_header", b'g', 11), b"11 path=no\n");
    // What is appended behind the end is read too.
    let bytes = [tar.end(), Tar::default().file("appended", b"7").end()].concat();
    let told = take(&bytes);
    let long = String::from_utf8(long).unwrap();
    let names = ["large-id", "gnu", "v7", "some/prefix/name", &long, "pax", "appended"];
    for (name, content) in names.iter().zip(1..) {
        assert_eq!(told.sha256(name), sha256(format!("{content}").as_bytes()), "{name}");
    }
    let times = told.item("pax").times;
    assert_eq!(times.modified, Some(FileTime { seconds: -2, nanos: 750_000_000 }));
    assert_eq!(times.created, Some(FileTime { seconds: 2, nanos: 500_000_000 }));
    assert_eq!(told.item("gnu").times.accessed.unwrap().seconds, 7);
    assert_eq!((told.items.len(), told.problems().count()), (8, 0));
}

#[test]
fn files_with_holes_are_whole() {
    let expected = [vec![0; 1024], b"x".repeat(512), vec![0; 512], b"end".to_vec(), vec![0; 2045]].concat();
    let stored = [b"x".repeat(512), b"end".to_vec()].concat();
    let mut old = Header::new(b"old", b'S', stored.len() as u64);
    old.put(257, b"ustar  \0");
    for (at, number) in [(386, 1024), (398, 512), (410, 2048), (422, 3), (434, 4096), (446, 0), (483, 4096)] {
        old.put(at, format!("{number:011o}\0").as_bytes());
    }
    let mut mapped = b"2\n1024\n512\n2048\n3\n".to_vec();
    mapped.resize(512, 0);
    mapped.extend(&stored);
    let tar = Tar::default()
        .entry(old, &stored)
        .pax(&[("GNU.sparse.size", b"4096"), ("GNU.sparse.map", b"1024,512,2048,3"), ("GNU.sparse.name", b"pax-0.1")])
        .file("x", &stored)
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"pax-1.0"),
            ("GNU.sparse.realsize", b"4096"),
        ])
        .file("x", &mapped);
    let told = take(&tar.end());
    for name in ["old", "pax-0.1", "pax-1.0"] {
        assert_eq!((told.sha256(name), told.item(name).size_bytes), (sha256(&expected), 4096), "{name}");
    }
    assert_eq!(told.problems().count(), 0);
}

#[test]
fn tars_that_lie_about_numbers_cost_what_they_lie_about() {
    // H18.
    let size = |field: &[u8]| {
        let mut header = Header::new(b"lie", b'0', 0);
        header.put(124, field);
        header
    };
    let around = |tar: Tar| {
        Tar::default().file("before", b"before").0.into_iter().chain(tar.file("after", b"after").end()).collect::<Vec<u8>>()
    };
    // Not a number: no entry, and the next header is found.
    for field in [&b"99999999999\0"[..], &[0xff; 12], b"x0000000000\0"] {
        let told = take(&around(Tar::default().entry(size(field), b"")));
        assert_eq!((told.items.len(), codes(&told)), (3, vec![Code::ContainerDamaged]));
        assert_eq!((told.sha256("before"), told.sha256("after")), (sha256(b"before"), sha256(b"after")));
    }
    // More than there is: read to the end.
    for field in [b"77777777777\0", b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"] {
        let told = take(&around(Tar::default().entry(size(field), b"")));
        assert_eq!(told.outcome("lie"), (ItemStatus::Partial, vec![Code::Truncated]));
        assert_eq!((told.sha256("before"), codes(&told)), (sha256(b"before"), vec![Code::Truncated]));
    }
    // A negative size in an extended header is not believed.
    let told = take(&around(Tar::default().pax(&[("size", b"-1")]).file("lie", b"data")));
    assert_eq!((told.sha256("lie"), codes(&told)), (sha256(b"data"), vec![Code::ContainerDamaged]));
    // A name of a megabyte is passed over; the entry keeps the name in its own header.
    let told = take(&around(Tar::default().pax(&[("path", &vec![b'p'; 1 << 20])]).file("own", b"data")));
    assert_eq!((told.sha256("own"), codes(&told)), (sha256(b"data"), vec![Code::CapValue]));
    // A checksum that is wrong: the entry is lost, its neighbours are not.
    let mut bytes = around(Tar::default().file("lie", b"data"));
    bytes[1024] ^= 1;
    let told = take(&bytes);
    assert_eq!((told.items.len(), codes(&told)), (3, vec![Code::ContainerDamaged]));
    assert_eq!(told.sha256("after"), sha256(b"after"));
}

#[test]
fn archives_in_archives_can_all_be_opened_again() {
    let world = World::new();
    let inner = zip(&[Member::stored("deep.txt", b"deep"), Member::deflated("deep.bin", &[1, 2, 3])]);
    let nested = zip(&[Member::stored("inner.zip", &inner), Member::deflated("again.zip", &inner)]);
    let tar = Tar::default().file("t/one", b"one").file("t/nested.zip", &nested).end();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.zip"), &nested).unwrap();
    fs::write(folder.path().join("b.tar.gz"), gzip(&tar)).unwrap();
    fs::write(folder.path().join("c.gz"), gzip(&gzip(&nested))).unwrap();
    fs::write(folder.path().join("d.zip"), zip(&[Member::stored("tar.gz", &gzip(&tar))])).unwrap();
    let told = world.take(folder.path());
    assert_eq!(told.sha256("b.tar.gz/t/nested.zip/inner.zip/deep.txt"), sha256(b"deep"));
    assert_eq!(told.sha256("d.zip/tar.gz/t/nested.zip/again.zip/deep.bin"), sha256(&[1, 2, 3]));
    // Seven in a nested zip and itself; with the tars around them.
    assert_eq!(told.items.len(), 7 + (1 + 1 + 7) + (2 + 7) + (1 + 1 + 1 + 7));
    assert_eq!(told.reopen(&world, folder.path()), told.items.len());
    // One file as the exhibit: its members have no prefix.
    let file = folder.path().join("d.zip");
    let told = world.take(&file);
    assert_eq!(told.sha256("tar.gz/t/one"), sha256(b"one"));
    assert_eq!(told.reopen(&world, &file), told.items.len());
}

#[test]
fn what_is_done_is_not_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let member = |number: usize| Member::deflated(format!("{number}.txt"), format!("member {number}").as_bytes());
    let members: Vec<Member> = (0..50).map(member).collect();
    fs::write(folder.path().join("a.zip"), zip(&members)).unwrap();
    let tar = Tar::default().file("in.zip", &zip(&members)).file("plain", b"plain").file("last", b"last").end();
    fs::write(folder.path().join("b.tar.gz"), gzip(&tar)).unwrap();
    (0..50).for_each(|number| fs::write(folder.path().join(format!("{number}")), format!("file {number}")).unwrap());
    let mut world = World::new();
    let first = world.take(folder.path());
    for share in [1, 2, 3, 1_000] {
        world.done =
            first.items.iter().enumerate().filter(|(at, _)| at % share != 0 || share == 1).map(|(_, item)| item.id).collect();
        let again = world.take(folder.path());
        assert_eq!(again.end, first.end);
        let containers: BTreeSet<_> = first.items.iter().filter_map(|item| item.parent).collect();
        for item in &again.items {
            let before = first.items.iter().find(|before| before.id == item.id).unwrap();
            assert_eq!(item, before);
            // A container is opened again for what is in it; anything else that is done is left alone.
            assert!(!world.done.contains(&item.id) || containers.contains(&item.id), "{} was sent again", item.path);
        }
        let sent: BTreeSet<_> = again.items.iter().map(|item| item.id).collect();
        let missing = first.items.iter().filter(|item| !world.done.contains(&item.id) && !sent.contains(&item.id));
        assert_eq!(missing.count(), 0);
    }
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926, "the check value of CRC-32");
}
