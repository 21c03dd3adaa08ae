//! In which order items are read: what tells most first.

/// Extensions of databases and their companions.
const DATABASES: &[&str] =
    &["db", "sqlite", "sqlite3", "sqlitedb", "db-wal", "db-journal", "sqlite-wal", "sqlite-journal", "storedata"];
/// Extensions of documents, exports and archives.
const DOCUMENTS: &[&str] = &[
    "json", "txt", "vcf", "csv", "html", "htm", "xml", "plist", "zip", "tar", "gz", "tgz", "eml", "mbox", "pdf", "doc", "docx",
    "xls", "xlsx", "log", "ldb",
];
/// Extensions of pictures, sound and film.
const MEDIA: &[&str] = &[
    "jpg", "jpeg", "png", "gif", "webp", "heic", "mp4", "mov", "3gp", "mkv", "avi", "mp3", "m4a", "aac", "opus", "ogg", "wav",
    "webm", "bin",
];

/// How many ranks there are.
pub const RANKS: usize = 5;

/// The rank of media.
pub const MEDIA_RANK: u8 = 3;

/// Rank of an item by its name and size: databases, documents and exports, what has no known name, media, and last what is large. The disk
/// that an image holds (`$media`) goes with the media on it.
pub fn rank(path: &[u8], size: u64) -> u8 {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let extension = name.iter().rposition(|byte| *byte == b'.').map(|dot| name[dot + 1..].to_ascii_lowercase());
    let is = |list: &[&str]| extension.as_deref().is_some_and(|extension| list.iter().any(|known| known.as_bytes() == extension));
    match () {
        () if is(DATABASES) => 0,
        () if is(DOCUMENTS) => 1,
        () if is(MEDIA) => MEDIA_RANK + u8::from(size > 64 << 20),
        () if name == b"$media" => MEDIA_RANK,
        () => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_come_before_holiday_videos() {
        let mut names =
            [(b"a/film.MP4".as_slice(), 1 << 30), (b"b/x.jpg", 1), (b"c/notes", 1), (b"d/result.json", 1), (b"e/msgstore.db", 9)];
        names.sort_by_key(|(path, size)| rank(path, *size));
        assert_eq!(names[0].0, b"e/msgstore.db");
        assert_eq!(names[4].0, b"a/film.MP4");
    }
}
