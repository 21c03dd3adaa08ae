//! Archives that grow: every cap at its limit and one over, each with the code of its own.

use crate::pack::{Header, Member, Tar, Zip, gzip, zip};
use crate::world::{Told, World, sha256};
use config::Settings;
use model::{Code, ItemStatus};
use std::fs;

/// Takes bytes in as the only file of a folder.
fn take(bytes: &[u8], set: impl FnOnce(&mut Settings)) -> Told {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("e"), bytes).unwrap();
    let mut world = World::new();
    set(&mut world.settings);
    let told = world.take(folder.path());
    assert_eq!(told.sha256("e"), sha256(bytes));
    if told.items.len() < 50 {
        told.reopen(&world, folder.path());
    }
    told
}

fn nested(levels: usize) -> Vec<u8> {
    (0..levels).fold(b"the core".to_vec(), |inner, _| zip(&[Member::deflated("n", &inner)]))
}

fn all_codes(told: &Told) -> Vec<Code> {
    let mut codes: Vec<Code> = told.problems().map(|problem| problem.code).collect();
    codes.dedup();
    codes
}

#[test]
fn depth() {
    for levels in [7, 8, 9, 30] {
        let told = take(&nested(levels), |_| {});
        // Every level up to the cap is an item; what is deeper stays packed.
        let items = levels.min(8) + 1;
        assert_eq!(told.items.len(), items, "{levels}");
        assert_eq!(all_codes(&told), if levels > 8 { vec![Code::CapDepth] } else { vec![] });
        let deepest = told.items.iter().max_by_key(|item| item.path.len()).unwrap();
        assert_eq!(deepest.sha256.unwrap().to_string(), sha256(&nested(levels + 1 - items)));
    }
    // The same for tars and streams.
    let told = take(&(0..20).fold(b"core".to_vec(), |inner, _| gzip(&inner)), |settings| settings.ingest.cap_depth = 3);
    assert_eq!((told.items.len(), all_codes(&told)), (4, vec![Code::CapDepth]));
}

#[test]
fn entries() {
    let members: Vec<Member> = (0..11).map(|number| Member::stored(format!("{number}"), b"x")).collect();
    let tar = |count: usize| (0..count).fold(Tar::default(), |tar, number| tar.file(format!("{number}"), b"x")).end();
    for (count, codes) in [(9, vec![]), (10, vec![]), (11, vec![Code::CapEntries])] {
        for bytes in [zip(&members[..count]), tar(count), gzip(&tar(count))] {
            let told = take(&bytes, |settings| settings.ingest.cap_entries = 10);
            assert_eq!((told.items.len(), all_codes(&told)), (count.min(10) + 1, codes.clone()));
        }
    }
}

#[test]
fn bytes_of_an_entry() {
    for (size, codes) in [(4095, vec![]), (4096, vec![]), (4097, vec![Code::CapBytes])] {
        let content = vec![7; size];
        let tar = Tar::default().file("m", &content).end();
        for (bytes, path) in [(zip(&[Member::deflated("m", &content)]), "e/m"), (tar, "e/m"), (gzip(&content), "e/data")] {
            let told = take(&bytes, |settings| settings.ingest.cap_entry_bytes = 4096);
            assert_eq!((told.item(path).size_bytes, told.outcome(path).1), (size.min(4096) as u64, codes.clone()));
            assert_eq!(told.sha256(path), sha256(&content[..size.min(4096)]));
        }
    }
}

#[test]
fn ratio_of_an_entry() {
    // 64 MiB are always let out.
    for (size, codes) in [(64 << 20, vec![]), ((64 << 20) + 1, vec![Code::CapRatio])] {
        let content = vec![0; size];
        let told = take(&zip(&[Member::deflated("m", &content)]), |settings| settings.ingest.cap_ratio = 10);
        assert_eq!((told.item("e/m").size_bytes, told.outcome("e/m").1), (64 << 20, codes));
        assert_eq!(told.sha256("e/m"), sha256(&content[..64 << 20]));
    }
}

#[test]
fn bytes_of_a_container() {
    let content = vec![7; 1000];
    let zip = zip(&["a", "b", "c"].map(|name| Member::stored(name, &content)));
    let tar = ["a", "b", "c"].iter().fold(Tar::default(), |tar, name| tar.file(name, &content)).end();
    for (cap, whole) in [(3001, 3), (3000, 3), (2999, 2)] {
        for bytes in [&zip, &tar, &gzip(&tar)] {
            let told = take(bytes, |settings| settings.ingest.cap_bytes = cap);
            let read = ["e/a", "e/b", "e/c"].iter().filter(|path| told.sha256(path) == sha256(&content)).count();
            assert_eq!(read, whole, "{cap}");
            assert_eq!(all_codes(&told), if whole < 3 { vec![Code::CapBytes] } else { vec![] });
        }
    }
}

#[test]
fn a_gigabyte_of_zeros_and_layers_of_them_stop_at_the_ratio() {
    // H01 and H04: four layers of sixteen, at the bottom 16 MiB of zeros: a terabyte in all.
    let zeros = vec![0; 16 << 20];
    let layer = |inner: &[u8]| {
        let members: Vec<Member> = (0..16).map(|number| Member::deflated(format!("{number:x}.zip"), inner)).collect();
        zip(&members)
    };
    let bomb = (0..4).fold(zeros, |inner, _| layer(&inner));
    let told = take(&bomb, |_| {});
    assert!(bomb.len() < 256 << 10, "{}", bomb.len());
    let read: u64 = told.items.iter().filter(|item| item.sha256.is_some()).map(|item| item.size_bytes).sum();
    assert!(read < 700 << 20, "{read} bytes came out of {}", bomb.len());
    let codes = all_codes(&told);
    assert!(codes.contains(&Code::CapRatio) && codes.iter().all(|code| *code == Code::CapRatio), "{codes:?}");
    assert!(told.problems().count() > 0 && told.item("e").status != ItemStatus::Failed);
}

#[test]
fn entries_that_share_their_data_are_read_once() {
    // H02, as Fifield's: every header of the directory points at one local header; then each into the data of the one before.
    let kernel = vec![0; 1 << 20];
    let member = Member::deflated("0", &kernel);
    let mut same = Zip::default();
    let at = same.add(&member);
    (1..1_000).for_each(|number| same.point(&Member { name: format!("{number}").into(), ..member.clone() }, at));
    let told = take(&same.end(1_000, b""), |_| {});
    let read = told.items.iter().filter(|item| item.parent.is_some() && item.sha256.is_some());
    assert_eq!((read.count(), told.items.len()), (1, 1_001));
    // Those whose claims go beyond the budget are refused before they are looked at.
    let damaged = told.problems().filter(|problem| problem.code == Code::ContainerDamaged).count();
    let refused = told.problems().filter(|problem| problem.code == Code::CapRatio).count();
    assert_eq!((damaged, refused), (511, 488));

    let mut quoted = Zip::default();
    let mut data = Vec::new();
    for number in (0..20).rev() {
        let one = Member { data: Vec::new(), ..Member::stored(format!("{number:02}"), b"") };
        let mut header = Zip::default();
        header.add(&one);
        data = [header.bytes, data].concat();
    }
    data.extend(&member.data);
    quoted.bytes = data.clone();
    for number in 0..20u32 {
        let rest = data.len() as u32 - (number + 1) * 32;
        let one = Member { size: rest, packed: rest, ..Member::stored(format!("{number:02}"), b"") };
        quoted.point(&one, number * 32);
    }
    let told = take(&quoted.end(20, b""), |_| {});
    let damaged = told.items.iter().filter(|item| item.status == ItemStatus::Failed).count();
    assert_eq!((damaged, told.items.len()), (19, 21));
}

#[test]
fn windows_and_dictionaries_over_the_bound_are_refused() {
    // H20: a Zstandard frame with a window of 2 GiB (RFC 8878, 3.1.1.1.2: exponent 21, mantissa 0), and an xz block whose
    // dictionary is 4 GiB (the .xz format, 5.3.1: value 40).
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3];
    frame.extend([0x01, 0x00, 0x00]);
    let told = take(&frame, |_| {});
    assert_eq!(all_codes(&told), [Code::CapMemory]);

    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 0);
    std::io::Write::write_all(&mut xz, b"content").unwrap();
    let mut xz = xz.finish().unwrap();
    // Block header: size, flags, filter id 0x21, length 1, dictionary; its CRC-32 ends it.
    assert_eq!((xz[12], xz[14], xz[15]), (2, 0x21, 1));
    xz[16] = 40;
    let crc = crate::pack::crc32(&xz[12..20]);
    xz[20..24].copy_from_slice(&crc.to_le_bytes());
    let told = take(&xz, |_| {});
    assert_eq!(all_codes(&told), [Code::CapMemory]);
}

#[test]
fn headers_and_holes_that_promise_too_much_take_no_memory() {
    // A gigabyte as a long name, packed; and a file of 8 EiB that is all hole.
    let name = Tar::default().entry(Header::new(b"././@LongLink", b'L', 1 << 30), b"");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
    std::io::Write::write_all(&mut packed, &name.0).unwrap();
    let zeros = vec![0; 1 << 20];
    (0..1024).for_each(|_| std::io::Write::write_all(&mut packed, &zeros).unwrap());
    std::io::Write::write_all(&mut packed, &Tar::default().file("after", b"after").end()).unwrap();
    let told = take(&packed.finish().unwrap(), |_| {});
    assert_eq!((told.sha256("e/after"), all_codes(&told)), (sha256(b"after"), vec![Code::CapValue]));

    let holes = Tar::default()
        .pax(&[("GNU.sparse.size", b"9223372036854775807"), ("GNU.sparse.map", b"0,1")])
        .file("holes", b"x")
        .file("after", b"after");
    let told = take(&holes.end(), |_| {});
    assert_eq!(told.outcome("e/holes"), (ItemStatus::Partial, vec![Code::CapRatio]));
    assert_eq!(told.item("e/holes").size_bytes, 512 << 20);
}

#[test]
fn a_stopped_run_goes_on_with_the_same_budget() {
    // What was read before a stop counts against the cap after it: else the bundle would depend on when a run was stopped.
    let files = |tar: Tar, number: usize| tar.file(format!("{number}"), &vec![number as u8; 1000]);
    let inner = zip(&[Member::stored("in", &[9; 1000])]);
    let tar = (1..6).fold(Tar::default().file("n.zip", &inner), files).end();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("e.tar.gz"), gzip(&tar)).unwrap();
    let mut world = World::new();
    world.settings.ingest.cap_bytes = 5_500;
    let first = world.take(folder.path());
    assert!(first.problems().any(|problem| problem.code == Code::CapBytes));
    for done in first.items.iter().filter(|item| item.parent.is_some()) {
        world.done = [done.id].into();
        let again = world.take(folder.path());
        for item in &again.items {
            assert_eq!(Some(item), first.items.iter().find(|before| before.id == item.id), "with {} done", done.path);
        }
    }
}
