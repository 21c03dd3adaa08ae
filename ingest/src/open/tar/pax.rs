//! Extended headers: lines of `length key=value` (POSIX.1-2001, "pax Extended Header"), and what GNU tar says of holes in them.

use super::sparse::Map;
use model::item::FileTime;

/// What an extended header tells of the entry behind it.
#[derive(Default)]
pub struct Extensions {
    /// Path.
    pub path: Option<Vec<u8>>,
    /// Where a link points.
    pub link_path: Option<Vec<u8>>,
    /// Bytes of data.
    pub size: Option<u64>,
    /// Times.
    pub modified: Option<FileTime>,
    /// Last read.
    pub accessed: Option<FileTime>,
    /// Inode changed.
    pub changed: Option<FileTime>,
    /// Created, as libarchive and star write it.
    pub created: Option<FileTime>,
    user: Option<u64>,
    group: Option<u64>,
    holes: Holes,
    /// The first thing that could not be read.
    pub wrong: Option<String>,
}

/// GNU's keys for files with holes.
#[derive(Default)]
struct Holes {
    version: (Option<u64>, Option<u64>),
    name: Option<Vec<u8>>,
    size: Option<u64>,
    /// Form 0.0: an offset whose length comes next.
    offset: Option<u64>,
    extents: Vec<(u64, u64)>,
}

impl Extensions {
    /// Reads the lines; what follows one that cannot be read is not believed.
    pub fn parse(mut bytes: &[u8]) -> Extensions {
        let mut extensions = Extensions::default();
        while !bytes.is_empty() && bytes.iter().any(|byte| *byte != 0) {
            let Some((key, value, rest)) = line(bytes) else {
                extensions.wrong.get_or_insert_with(|| "a line that has no length, key and value".to_owned());
                break;
            };
            if extensions.put(key, value).is_none() {
                let key = model::text::escape_bytes(key);
                extensions.wrong.get_or_insert_with(|| format!("{key} is \"{}\"", model::text::escape_bytes(value)));
            }
            bytes = rest;
        }
        if let Some(name) = extensions.holes.name.take() {
            extensions.path = Some(name);
        }
        extensions
    }

    /// Takes one value; `None` if it is none for its key.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let text = || std::str::from_utf8(value).ok();
        let number = || text()?.parse::<u64>().ok();
        let time = || decimal_time(text()?);
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link_path = Some(value.to_vec()),
            b"size" => self.size = Some(number()?),
            b"uid" => self.user = Some(number()?),
            b"gid" => self.group = Some(number()?),
            b"mtime" => self.modified = Some(time()?),
            b"atime" => self.accessed = Some(time()?),
            b"ctime" => self.changed = Some(time()?),
            b"LIBARCHIVE.creationtime" => self.created = Some(time()?),
            b"GNU.sparse.major" => self.holes.version.0 = Some(number()?),
            b"GNU.sparse.minor" => self.holes.version.1 = Some(number()?),
            b"GNU.sparse.name" => self.holes.name = Some(value.to_vec()),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.holes.size = Some(number()?),
            b"GNU.sparse.offset" => self.holes.offset = Some(number()?),
            b"GNU.sparse.numbytes" => self.holes.extents.push((self.holes.offset.take()?, number()?)),
            b"GNU.sparse.map" => {
                let numbers: Vec<u64> = text()?.split(',').map(|number| number.parse().ok()).collect::<Option<_>>()?;
                self.holes.extents =
                    numbers.chunks(2).map(|pair| Some((*pair.first()?, *pair.get(1)?))).collect::<Option<_>>()?;
            }
            _ => {}
        }
        Some(())
    }

    /// Owner and group, the header's where nothing is told here.
    pub fn owner(&self, header: (Option<u64>, Option<u64>)) -> Option<(u32, u32)> {
        let (user, group) = (self.user.or(header.0)?, self.group.or(header.1)?);
        u32::try_from(user).ok().zip(u32::try_from(group).ok())
    }

    /// The map of a file with holes.
    pub fn sparse(&self) -> Option<Map> {
        let size = self.holes.size?;
        match self.holes.version {
            (Some(1), Some(0)) => Some(Map::before_data(size)),
            _ => Some(Map::known(size, self.holes.extents.clone())),
        }
    }
}

/// Key and value of the first line, and the lines behind it. The length counts itself, the blank and the line feed.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(bytes.get(..blank)?).ok()?.parse().ok()?;
    let line = bytes.get(blank + 1..length)?.strip_suffix(b"\n")?;
    let equals = line.iter().position(|byte| *byte == b'=')?;
    Some((line.get(..equals)?, line.get(equals + 1..)?, bytes.get(length..)?))
}

/// Decimal seconds with a fraction.
fn decimal_time(text: &str) -> Option<FileTime> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos: u32 = digits.parse().ok()?;
    if text.starts_with('-') && nanos > 0 {
        return Some(FileTime { seconds: seconds.checked_sub(1)?, nanos: 1_000_000_000 - nanos });
    }
    Some(FileTime { seconds, nanos })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_long_as_they_say() {
        // The first example of POSIX.1-2017, pax, "pax Extended Header File Times".
        let extensions = Extensions::parse(b"19 path=a\nb=c\xff\n\0de\n30 mtime=1700000000.123456789\n9 uid=70\n");
        assert_eq!(extensions.path.as_deref(), Some(b"a\nb=c\xff\n\0de".as_slice()));
        assert_eq!(extensions.modified, Some(FileTime { seconds: 1_700_000_000, nanos: 123_456_789 }));
        assert_eq!((extensions.owner((None, Some(5))), extensions.wrong), (Some((70, 5)), None));
    }

    #[test]
    fn what_is_no_value_is_said_and_left_out() {
        for (bytes, wrong) in [
            (&b"11 size=-1\n"[..], "size is \"-1\""),
            (b"28 size=99999999999999999999\n", "a line that has no length, key and value"),
            (b"29 size=99999999999999999999\n", "size is \"99999999999999999999\""),
            (b"x path=a\n", "a line that has no length, key and value"),
            (b"99 path=a\n", "a line that has no length, key and value"),
            (b"3 =\n", "a line that has no length, key and value"),
            (b"24 GNU.sparse.map=1,2,3\n", "GNU.sparse.map is \"1,2,3\""),
        ] {
            let extensions = Extensions::parse(bytes);
            assert_eq!(extensions.wrong.as_deref(), Some(wrong));
            assert_eq!((extensions.size, extensions.path), (None, None));
        }
    }

    #[test]
    fn times_keep_their_fraction() {
        assert_eq!(decimal_time("1700000000.25"), Some(FileTime { seconds: 1_700_000_000, nanos: 250_000_000 }));
        assert_eq!(decimal_time("-1.5"), Some(FileTime { seconds: -2, nanos: 500_000_000 }));
        assert_eq!(decimal_time("x"), None);
    }

    #[test]
    fn maps_of_either_old_form() {
        let old = Extensions::parse(b"22 GNU.sparse.size=99\n24 GNU.sparse.offset=10\n25 GNU.sparse.numbytes=5\n");
        assert!(old.wrong.is_none() && old.holes.extents == [(10, 5)]);
        let next = Extensions::parse(b"22 GNU.sparse.size=99\n28 GNU.sparse.map=10,5,99,0\n21 GNU.sparse.name=x\n");
        assert!(next.wrong.is_none(), "{:?}", next.wrong);
        assert_eq!((next.holes.extents.len(), next.path), (2, Some(b"x".to_vec())));
    }
}
