//! Makes a small device for whole-pipeline tests: the real samples of `tests/samples/phone`, the same SMS database grown to
//! thousands of rows, a Telegram export, pictures of noise, archives in archives, and what file systems hold besides files.

use crate::random::Random;
use rusqlite::Connection;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

/// A valid Bitcoin address (BIP 173's example) that stands in several carriers.
pub const WALLET: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";

/// How much to make.
#[derive(Clone, Copy)]
pub struct Size {
    /// Rows in the SMS database.
    pub sms: u32,
    /// Messages in the Telegram export.
    pub telegram: u32,
    /// Noise pictures of up to 64 KiB.
    pub pictures: u32,
}

/// Makes the device at `root`.
pub fn make(root: &Path, size: Size, seed: u64) {
    let mut random = Random(seed);
    copy_tree(&crate::root().join("tests/samples/phone"), root);
    let databases = root.join("data/data/com.android.providers.telephony/databases");
    sms(&databases.join("mmssms.db"), size.sms, &mut random);
    telegram(&root.join("sdcard/Download/DataExport_2024-05-01/result.json"), size.telegram, &mut random);
    for number in 0..size.pictures {
        let path = root.join(format!("sdcard/DCIM/Camera/IMG_{number:05}.jpg"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let length = random.below(64 << 10) as usize;
        fs::write(path, [b"\xff\xd8\xff\xe0".as_slice(), &random.bytes(length)].concat()).unwrap();
    }
    archives(root);
    symlink("/etc/passwd", root.join("sdcard/passwd")).unwrap();
    symlink("..", root.join("sdcard/up")).unwrap();
    fs::create_dir(root.join("sdcard/empty")).unwrap();
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// Grows the real database with invented messages and leaves the last of them in the write-ahead log.
fn sms(path: &Path, rows: u32, random: &mut Random) {
    let scratch = path.with_extension("growing");
    fs::rename(path, &scratch).unwrap();
    #[allow(clippy::disallowed_methods, reason = "made here, no evidence yet")]
    let connection = Connection::open(&scratch).unwrap();
    // The handset's trigger writes the current time and counts every row again.
    connection.execute_batch("DROP TRIGGER sms_update_thread_on_insert").unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    let insert = |first: u32, last: u32, random: &mut Random| {
        connection.execute_batch("BEGIN").unwrap();
        let sql = "INSERT INTO sms (thread_id, address, date, date_sent, read, type, body) VALUES (1, ?1, ?2, ?2, 1, ?3, ?4)";
        let mut statement = connection.prepare(sql).unwrap();
        for row in first..last {
            let body = match row % 500 {
                7 => format!("send it to {WALLET} today"),
                9 => format!("write to boss{row}@example.org or call +855 12 345 678"),
                _ => format!("message {row} says {:016x}", random.next_u64()),
            };
            let time = 1_714_521_600_000_i64 + i64::from(row) * 1_000;
            statement.execute((format!("+85512{row:06}"), time, 1 + row % 2, body)).unwrap();
        }
        drop(statement);
        connection.execute_batch("COMMIT").unwrap();
    };
    insert(0, rows / 10 * 9, random);
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    insert(rows / 10 * 9, rows, random);
    // Copied while the log is still there, as an extraction tool would.
    fs::copy(&scratch, path).unwrap();
    let wal = |path: &Path| std::path::PathBuf::from(format!("{}-wal", path.display()));
    fs::copy(wal(&scratch), wal(path)).unwrap();
    drop(connection);
    fs::remove_file(&scratch).unwrap();
}

fn telegram(path: &Path, messages: u32, random: &mut Random) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut out = std::io::BufWriter::new(fs::File::create_new(path).unwrap());
    write!(out, "{{\"about\": \"export\", \"personal_information\": {{\"user_id\": 1, \"first_name\": \"Owner\"}},").unwrap();
    write!(out, " \"chats\": {{\"list\": [{{\"name\": \"Desk\", \"type\": \"personal_chat\", \"id\": 5, \"messages\": [")
        .unwrap();
    for number in 0..messages {
        let comma = if number == 0 { "" } else { ",\n" };
        let time = 1_714_521_600 + number;
        let text = format!("line one\\n{WALLET} {:08x}", random.next_u64() as u32);
        write!(
            out,
            "{comma}{{\"id\": {number}, \"type\": \"message\", \"date\": \"2024-05-01T00:00:00\", \"date_unixtime\": \"{time}\", \
             \"from\": \"Someone\", \"from_id\": \"user{}\", \"text\": \"{text}\"}}",
            1 + number % 3
        )
        .unwrap();
    }
    write!(out, "]}}]}}}}").unwrap();
    out.flush().unwrap();
}

/// A zip in a zip with a text inside that names a wallet.
fn archives(root: &Path) {
    let zip_of = |name: &str, content: &[u8]| {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
        writer.finish().unwrap().into_inner()
    };
    let inner = zip_of("notes/wallet.txt", format!("pay {WALLET}\n").as_bytes());
    fs::write(root.join("sdcard/Download/outer.zip"), zip_of("inner.zip", &inner)).unwrap();
}
