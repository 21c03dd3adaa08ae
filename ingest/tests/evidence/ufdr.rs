//! Cellebrite's UFDR: files under the paths that the report tells.

use crate::world::World;
use model::{Code, FileKind, ItemStatus};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use zip::write::SimpleFileOptions;

/// Packs files as they are named.
fn archive(path: &Path, files: &[(&str, &str)]) {
    let mut writer = zip::ZipWriter::new(File::create(path).unwrap());
    for (name, content) in files {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer.finish().unwrap();
}

fn tagged(path: &str, local: &str, size: usize, state: &str) -> String {
    let modified = r#"<accessInfo><timestamp name="ModifyTime">2021-12-16T13:50:36.000+00:00</timestamp></accessInfo>"#;
    let item = format!(r#"<metadata section="File"><item name="Local Path"><![CDATA[{local}]]></item></metadata>"#);
    format!(r#"<file fs="Phone.zip" path="{path}" size="{size}" deleted="{state}">{modified}{item}</file>"#)
}

fn report(files: &[String]) -> String {
    let head = r#"<?xml version="1.0" encoding="utf-8"?><project id="1" xmlns="http://pa.cellebrite.com/report/2.0">"#;
    format!("{head}<taggedFiles>{}</taggedFiles><decodedData/></project>", files.concat())
}

#[test]
fn files_come_under_the_paths_of_the_phone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("phone.ufdr");
    let report = report(&[
        tagged("/data/user/0/org.app/databases/a &amp; b.db", r"files\Database\x.db", 5, "Intact"),
        tagged("/data/data/org.app/databases/a &amp; b.db", r"files\Database\x.db", 5, "Intact"),
        tagged("/data/media/0/DCIM/1.jpg", r"files\Image\1.jpg", 7, "Deleted"),
        tagged("/data/media/0/DCIM/1.jpg", r"files\Image\1(1).jpg", 3, "Intact"),
        tagged("/data/media/0/DCIM/2.jpg", r"files\Image\2.jpg", 3, "Intact"),
        tagged(r"files\Text\3.txt", r"files\Text\3.txt", 3, "Intact"),
    ]);
    let files = [
        ("report.xml", report.as_str()),
        ("files/Database/x.db", "hello"),
        ("files/Image/1.jpg", "gone"),
        ("files/Image/1(1).jpg", "new"),
        ("files/Text/3.txt", "abc"),
        ("DbData/other.bin", "other"),
    ];
    archive(&path, &files);
    let told = World::new().take(&path);
    let rows: Vec<_> = told.items.iter().map(|item| (item.path.as_str(), item.size_bytes, item.deleted, item.status)).collect();
    let size = fs::metadata(&path).unwrap().len();
    let expected = [
        ("DbData/other.bin", 5, false, ItemStatus::Plain),
        ("data/data/org.app/databases/a & b.db", 5, false, ItemStatus::Skipped),
        ("data/media/0/DCIM/1.jpg", 4, true, ItemStatus::Plain),
        ("data/media/0/DCIM/1.jpg", 3, false, ItemStatus::Plain),
        ("data/media/0/DCIM/2.jpg", 3, false, ItemStatus::Failed),
        ("data/user/0/org.app/databases/a & b.db", 5, false, ItemStatus::Plain),
        ("files/Text/3.txt", 3, false, ItemStatus::Plain),
        ("phone.ufdr", size, false, ItemStatus::Parsed),
        ("report.xml", report.len() as u64, false, ItemStatus::Plain),
    ];
    for expected in &expected {
        assert!(rows.contains(expected), "{expected:?} is not in {rows:?}");
    }
    assert_eq!(rows.len(), expected.len());
    let at = |path: &str| told.items.iter().find(|item| item.path == path).unwrap();
    let database = at("data/user/0/org.app/databases/a & b.db");
    // `printf hello | sha256sum`
    let digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    assert_eq!(database.sha256.unwrap().to_string(), digest);
    assert_eq!(database.times.modified.unwrap().seconds, 1_639_662_636);
    let second = at("data/data/org.app/databases/a & b.db");
    assert_eq!((second.file_kind, second.link_target.as_deref()), (FileKind::Hardlink, Some(database.path.as_str())));
    assert_eq!(at("phone.ufdr").definition.as_deref(), Some("ufdr"));
    let mut codes: Vec<Code> = told.problems().map(|problem| problem.code).collect();
    codes.sort();
    // The deleted picture has 4 bytes where the report tells of 7, the other is not in the archive.
    assert_eq!(codes, [Code::HeaderMismatch, Code::Missing]);
}

#[test]
fn a_cut_report_restores_what_it_still_tells() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("phone.ufdr");
    let whole = report(&[tagged("/a/1", r"files\1", 1, "Intact"), tagged("/a/2", r"files\2", 1, "Intact")]);
    for cut in (0..whole.len()).step_by(7) {
        archive(&path, &[("report.xml", &whole[..cut]), ("files/1", "1"), ("files/2", "2")]);
        let told = World::new().take(&path);
        let count = |content: &str| told.items.iter().filter(|item| item.path.ends_with(content)).count();
        assert_eq!((count("/1"), count("/2")), (1, 1), "cut at {cut}");
    }
}

/// The same in a folder: the report is an item that goes on to its parser, its files are its children.
#[test]
fn a_report_with_its_files_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let text = report(&[
        tagged("/data/user/0/org.app/databases/a.db", r"files\Database\x.db", 5, "Intact"),
        tagged("/data/media/0/DCIM/1.jpg", r"files\Image\1.jpg", 7, "Deleted"),
        tagged("/data/media/0/DCIM/2.jpg", r"files\Image\2.jpg", 3, "Intact"),
    ]);
    let root = folder.path().join("case/phone");
    for (name, content) in [
        ("report.xml", text.as_str()),
        ("files/Database/x.db", "hello"),
        ("files/Image/1.jpg", "gone"),
        ("DbData/o.bin", "other"),
    ] {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), content).unwrap();
    }
    let world = World::new();
    let evidence = folder.path().join("case");
    let told = world.take(&evidence);
    let rows: Vec<_> = told.items.iter().map(|item| (item.path.as_str(), item.deleted, item.status)).collect();
    let expected = [
        ("phone/DbData/o.bin", false, ItemStatus::Plain),
        ("phone/data/media/0/DCIM/1.jpg", true, ItemStatus::Plain),
        ("phone/data/media/0/DCIM/2.jpg", false, ItemStatus::Failed),
        ("phone/data/user/0/org.app/databases/a.db", false, ItemStatus::Plain),
        ("phone/report.xml", false, ItemStatus::Plain),
    ];
    let mut rows = rows;
    rows.sort_by_key(|row| row.0);
    assert_eq!(rows, expected);
    let report = told.item("phone/report.xml");
    assert!(told.units.iter().any(|unit| unit.primary.item.id == report.id), "its parser gets it");
    let child = told.item("phone/data/user/0/org.app/databases/a.db");
    assert_eq!((child.parent, told.sha256(&child.path)), (Some(report.id), crate::world::sha256(b"hello")));
    assert_eq!(child.times.modified.unwrap().seconds, 1_639_662_636);
    assert_eq!(told.codes(told.item("phone/data/media/0/DCIM/1.jpg")), [Code::HeaderMismatch]);
    assert_eq!(told.codes(told.item("phone/data/media/0/DCIM/2.jpg")), [Code::Missing]);
    told.reopen(&world, &evidence);
}
