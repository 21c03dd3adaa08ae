//! The part of a report that names files: `taggedFiles`, which stands before all that was decoded.
//!
//! Format: namespace `http://pa.cellebrite.com/report/2.0`. A `file` has the path on the device, size and `deleted` as attributes, its
//! times in `accessInfo`, and in the `metadata` of section `File` the `Local Path` in the archive (as UFDR2DIR and IPED read it).

use crate::open::Trouble;
use model::Code;
use model::item::{FileTime, FileTimes};
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use std::io::{self, BufRead, BufReader, Read};

/// Bytes that one element's tag, or one stretch of text, may have.
const EVENT_BYTES_MAX: usize = 1 << 20;
/// Bytes of a path that are kept: four times what Linux allows.
const PATH_BYTES_MAX: usize = 16 << 10;

/// A file of the phone, as the report tells of it.
#[derive(Debug, Default, PartialEq)]
pub struct Tagged {
    /// Path on the device.
    pub path: String,
    /// Its size there, bytes.
    pub size: Option<u64>,
    /// Whether it was deleted.
    pub deleted: bool,
    /// Times that the report tells with a zone.
    pub times: FileTimes,
    /// Path in the archive, as Windows writes it.
    pub local: Option<String>,
}

/// What the report tells of files.
#[derive(Debug, Default, PartialEq)]
pub struct Report {
    /// In its order.
    pub files: Vec<Tagged>,
    /// What could not be read of it.
    pub troubles: Vec<Trouble>,
}

/// Gives a reader of XML so many bytes for an event and no more: it holds each of them in memory as a whole.
struct Rationed<R> {
    inner: R,
    left: usize,
}

impl<R: BufRead> Read for Rationed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let count = ready.len().min(buffer.len());
        if let (Some(from), Some(to)) = (ready.get(..count), buffer.get_mut(..count)) {
            to.copy_from_slice(from);
        }
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Rationed<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "one element larger than any report has"));
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.left = self.left.saturating_sub(amount);
        self.inner.consume(amount);
    }
}

/// What text is being read for.
enum Wanted {
    Local,
    Time(String),
}

/// A report that is being read.
struct Reading {
    report: Report,
    cap: u64,
    seen: u64,
    inside: bool,
    file: Option<Tagged>,
    /// Whether the metadata that is open are those of section `File`.
    section: bool,
    wanted: Option<(Wanted, String)>,
}

/// Reads the files that a report names, to the end of their list; `None` if it is no report of this kind.
pub fn read(stream: &mut dyn Read, cap: u64) -> Option<Report> {
    let inner = BufReader::with_capacity(64 << 10, stream);
    let mut reader = Reader::from_reader(Rationed { inner, left: EVENT_BYTES_MAX });
    let mut reading =
        Reading { report: Report::default(), cap, seen: 0, inside: false, file: None, section: false, wanted: None };
    let (mut buffer, mut begun) = (Vec::new(), false);
    loop {
        buffer.clear();
        reader.get_mut().left = EVENT_BYTES_MAX;
        match reader.read_event_into(&mut buffer) {
            Ok(Event::Start(element) | Event::Empty(element)) if !begun => {
                let known = attribute(&element, "xmlns").is_some_and(|name| name.contains("pa.cellebrite.com/report"));
                if element.local_name().as_ref() != b"project" || !known {
                    return None;
                }
                begun = true;
            }
            Ok(Event::Start(element)) => reading.start(&element),
            Ok(Event::Empty(element)) => {
                reading.start(&element);
                reading.end(element.local_name().as_ref());
            }
            Ok(Event::Text(text)) => reading.take(&String::from_utf8_lossy(&text)),
            Ok(Event::CData(text)) => reading.take(&String::from_utf8_lossy(&text)),
            Ok(Event::GeneralRef(reference)) => {
                let name = String::from_utf8_lossy(&reference);
                match (reference.resolve_char_ref(), quick_xml::escape::resolve_predefined_entity(&name)) {
                    (Ok(Some(character)), _) => reading.take(character.encode_utf8(&mut [0; 4])),
                    (_, Some(text)) => reading.take(text),
                    _ => {}
                }
            }
            Ok(Event::End(element)) => {
                let name = element.local_name();
                reading.end(name.as_ref());
                if name.as_ref() == b"taggedFiles" {
                    break;
                }
            }
            Ok(Event::Eof) => break,
            Ok(_) => {}
            Err(error) => {
                let detail = format!("list of files in the report, at byte {}: {error}", reader.error_position());
                reading.report.troubles.push(Trouble::new(Code::DocumentDamaged, model::text::escape(&detail)));
                break;
            }
        }
    }
    if reading.seen > reading.cap {
        reading.report.troubles.push(Trouble::new(Code::CapEntries, format!("report names more than {cap} files")));
    }
    begun.then_some(reading.report)
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = element.try_get_attribute(name).ok().flatten()?;
    Some(found.normalized_value(XmlVersion::Implicit1_0).ok()?.into_owned())
}

impl Reading {
    fn start(&mut self, element: &BytesStart<'_>) {
        let at = |name| attribute(element, name);
        match (element.local_name().as_ref(), &self.file) {
            (b"taggedFiles", _) => self.inside = true,
            (b"file", None) if self.inside => {
                let path = at("path").filter(|path| path.len() <= PATH_BYTES_MAX).unwrap_or_default();
                let size = at("size").and_then(|size| size.trim().parse().ok());
                let deleted = at("deleted").is_some_and(|state| state.eq_ignore_ascii_case("deleted"));
                self.file = Some(Tagged { path, size, deleted, ..Tagged::default() });
                self.section = false;
            }
            (b"metadata", Some(_)) => self.section = at("section").is_some_and(|section| section == "File"),
            (b"item", Some(_)) if self.section && at("name").is_some_and(|name| name == "Local Path") => {
                self.wanted = Some((Wanted::Local, String::new()));
            }
            (b"timestamp", Some(_)) => self.wanted = at("name").map(|name| (Wanted::Time(name), String::new())),
            _ => {}
        }
    }

    fn take(&mut self, text: &str) {
        if let Some((_, wanted)) = &mut self.wanted
            && wanted.len().saturating_add(text.len()) <= PATH_BYTES_MAX
        {
            wanted.push_str(text);
        }
    }

    fn end(&mut self, name: &[u8]) {
        match name {
            b"item" | b"timestamp" => {
                let (Some((wanted, text)), Some(file)) = (self.wanted.take(), &mut self.file) else { return };
                let text = text.trim();
                match wanted {
                    Wanted::Local if text.is_empty() => {}
                    Wanted::Local => file.local = Some(text.to_owned()),
                    Wanted::Time(name) => {
                        let time = text.parse().ok().map(time_of);
                        match name.as_str() {
                            "CreationTime" => file.times.created = time,
                            "ModifyTime" => file.times.modified = time,
                            "AccessTime" => file.times.accessed = time,
                            "ChangeTime" => file.times.changed = time,
                            _ => {}
                        }
                    }
                }
            }
            b"file" => {
                if let Some(file) = self.file.take() {
                    self.seen += 1;
                    if self.seen <= self.cap {
                        self.report.files.push(file);
                    }
                }
            }
            _ => {}
        }
    }
}

/// A time of a report, which says its zone.
fn time_of(time: jiff::Timestamp) -> FileTime {
    let nanos = time.as_nanosecond();
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap_or(0);
    FileTime { seconds, nanos: u32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"<?xml version="1.0" encoding="utf-8"?><project id="1" xmlns="http://pa.cellebrite.com/report/2.0">"#;

    fn report(text: &str) -> Report {
        read(&mut text.as_bytes(), 100).unwrap()
    }

    /// The form of an entry as UFDR2DIR documents it (Physical Analyzer 7, 2022), and the older one without data sections.
    #[test]
    fn files_with_their_paths_times_and_state() {
        let text = format!(
            r#"{HEAD}<metadata section="File"><item name="Local Path">no</item></metadata><taggedFiles>
            <file fs="Google Pixel 3.zip" path="/data/user/0/a.b/files/x%40y &amp; z" size="84143" id="1" deleted="Intact">
              <accessInfo><timestamp name="ModifyTime" format="TimeStampKnown"
                formattedTimestamp="2021-12-16T13:50:36+00:00">2021-12-16T13:50:36.500+00:00</timestamp>
                <timestamp name="CreationTime">2021-12-16T20:50:36+07:00</timestamp>
                <timestamp name="AccessTime">16/12/2021 13:50</timestamp></accessInfo>
              <metadata section="File"><item name="Local Path" systemtype="System.String"><![CDATA[files\Application\x%40y]]></item>
                <item name="SHA256"><![CDATA[]]></item></metadata>
              <metadata section="MetaData"><item name="Local Path">no</item></metadata></file>
            <file fs="x" path="/private/y" deleted="Deleted" />
            </taggedFiles><decodedData><file path="/not/tagged"/></decodedData>"#
        );
        let report = report(&text);
        let [first, second] = &report.files[..] else { panic!("{report:?}") };
        assert_eq!(first.path, "/data/user/0/a.b/files/x%40y & z");
        assert_eq!(first.local.as_deref(), Some(r"files\Application\x%40y"));
        assert_eq!((first.size, first.deleted), (Some(84143), false));
        // `date -d 2021-12-16T13:50:36Z +%s`
        let time = |nanos| Some(FileTime { seconds: 1_639_662_636, nanos });
        let times = FileTimes { modified: time(500_000_000), created: time(0), ..FileTimes::default() };
        assert_eq!(first.times, times, "a time without a zone is none");
        assert_eq!((second.path.as_str(), second.deleted, second.local.as_ref()), ("/private/y", true, None));
        assert!(report.troubles.is_empty(), "nothing is read behind the list");
    }

    #[test]
    fn damage_and_caps_are_told_and_what_came_before_is_kept() {
        let files = |count: usize| r#"<file path="/a"/>"#.repeat(count);
        let cut = report(&format!("{HEAD}<taggedFiles>{}<file path=\"/b", files(3)));
        assert_eq!((cut.files.len(), cut.troubles.len()), (3, 1));
        let many = report(&format!("{HEAD}<taggedFiles>{}</taggedFiles>", files(101)));
        assert_eq!((many.files.len(), many.troubles[0].code), (100, Code::CapEntries));
        let large = report(&format!("{HEAD}<taggedFiles>{}<file path=\"{}\"/>", files(1), "x".repeat(3 << 20)));
        assert_eq!((large.files.len(), large.troubles[0].code), (1, Code::DocumentDamaged));
        let long = report(&format!("{HEAD}<taggedFiles><file path=\"{}\"/>", "x".repeat(PATH_BYTES_MAX + 1)));
        assert_eq!(long.files[0].path, "");
    }

    #[test]
    fn other_documents_are_none() {
        assert_eq!(read(&mut &b"<html><taggedFiles/></html>"[..], 9), None);
        assert_eq!(read(&mut &b"<project name='maven'/>"[..], 9), None);
        assert_eq!(read(&mut &b"PK\x03\x04"[..], 9), None);
        assert_eq!(read(&mut &b""[..], 9), None);
    }
}
