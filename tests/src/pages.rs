//! What each byte of a SQLite file is for, by the file format (<https://www.sqlite.org/fileformat2.html>), read without SQLite: so that
//! a test can say which bytes carry no content.

/// What is not reached from any b-tree.
const NOWHERE: &str = "no page of a table";
/// Between the cell pointers of a page and its first cell, and between cells.
const FREE: &str = "free space of a page";

/// Fields of the database header: first byte after it, name.
const HEADER: [(usize, &str); 20] = [
    (16, "header: magic"),
    (18, "header: page size"),
    (19, "header: write version"),
    (20, "header: read version"),
    (21, "header: reserved bytes a page"),
    (24, "header: payload fractions"),
    (28, "header: change counter"),
    (32, "header: pages"),
    (36, "header: first free page"),
    (40, "header: free pages"),
    (44, "header: schema cookie"),
    (48, "header: schema format"),
    (52, "header: cache size"),
    (56, "header: largest root"),
    (60, "header: encoding"),
    (64, "header: user version"),
    (68, "header: incremental vacuum"),
    (72, "header: application id"),
    (92, "header: reserved for expansion"),
    (100, "header: writer's version"),
];

/// The kind of every byte of a sound file. Panics on one that is not: it is a test's own.
pub fn kinds(file: &[u8]) -> Vec<&'static str> {
    let size = match u16::from_be_bytes([file[16], file[17]]) {
        1 => 65_536,
        size => usize::from(size),
    };
    let mut map = Map { file, size, usable: size - usize::from(file[20]), kinds: vec![NOWHERE; file.len()] };
    let mut from = 0;
    for (to, name) in HEADER {
        map.kinds[from..to].fill(name);
        from = to;
    }
    let mut roots = vec![1];
    map.tree(1, &mut |record| roots.push(root(record)));
    for root in roots.split_off(1) {
        map.tree(root, &mut |_| {});
    }
    map.kinds
}

struct Map<'f> {
    file: &'f [u8],
    size: usize,
    usable: usize,
    kinds: Vec<&'static str>,
}

impl Map<'_> {
    fn number(&self, at: usize, bytes: usize) -> usize {
        self.file[at..at + bytes].iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
    }

    fn mark(&mut self, at: usize, bytes: usize, kind: &'static str) {
        self.kinds[at..at + bytes].fill(kind);
    }

    /// A page of a b-tree and all below it; `leaf` is told the local payload of every cell of a table's leaves.
    fn tree(&mut self, page: usize, leaf: &mut dyn FnMut(&[u8])) {
        let start = (page - 1) * self.size;
        let head = if page == 1 { 100 } else { start };
        self.kinds[head..start + self.usable].fill(FREE);
        let kind = self.file[head];
        let (inner, table) = (kind < 8, kind == 5 || kind == 13);
        for (at, bytes, name) in [
            (0, 1, "page: type"),
            (1, 2, "page: first free block"),
            (3, 2, "page: number of cells"),
            (5, 2, "page: start of cells"),
            (7, 1, "page: fragmented bytes"),
        ] {
            self.mark(head + at, bytes, name);
        }
        let cells = self.number(head + 3, 2);
        let pointers = head + if inner { 12 } else { 8 };
        self.mark(pointers, 2 * cells, "page: pointer to a cell");
        for cell in 0..cells {
            let mut at = start + self.number(pointers + 2 * cell, 2);
            if inner {
                self.mark(at, 4, "cell: page below");
                self.tree(self.number(at, 4), leaf);
                at += 4;
            }
            self.cell(at, inner, table, leaf);
        }
        if inner {
            self.mark(head + 8, 4, "page: last page below");
            self.tree(self.number(head + 8, 4), leaf);
        }
    }

    /// A cell after its pointer to a page below.
    fn cell(&mut self, mut at: usize, inner: bool, table: bool, leaf: &mut dyn FnMut(&[u8])) {
        let mut payload = 0;
        if !(inner && table) {
            let (length, bytes) = varint(&self.file[at..]);
            self.mark(at, bytes, "cell: length");
            (payload, at) = (length, at + bytes);
        }
        if table {
            let (_, bytes) = varint(&self.file[at..]);
            self.mark(at, bytes, "cell: row number");
            at += bytes;
        }
        let local = self.local(payload, table);
        self.mark(at, local, "cell: values");
        if table && !inner {
            leaf(&self.file[at..at + local]);
        }
        if local < payload {
            self.mark(at + local, 4, "cell: page that goes on");
            self.overflow(self.number(at + local, 4), payload - local);
        }
    }

    /// How much of a payload stands in its cell (file format, section 1.6).
    fn local(&self, payload: usize, table: bool) -> usize {
        let least = (self.usable - 12) * 32 / 255 - 23;
        let most = if table { self.usable - 35 } else { (self.usable - 12) * 64 / 255 - 23 };
        let rest = least + payload.saturating_sub(least) % (self.usable - 4);
        match () {
            () if payload <= most => payload,
            () if rest <= most => rest,
            () => least,
        }
    }

    fn overflow(&mut self, mut page: usize, mut left: usize) {
        while page != 0 {
            let start = (page - 1) * self.size;
            let here = left.min(self.usable - 4);
            let is_last = left <= self.usable - 4;
            self.mark(start, 4, if is_last { "page that goes on: no next" } else { "page that goes on: next" });
            self.mark(start + 4, here, "cell: values");
            self.mark(start + 4 + here, self.usable - 4 - here, "page that goes on: rest");
            (page, left) = (self.number(start, 4), left - here);
        }
    }
}

/// A variable-length integer and its bytes.
fn varint(bytes: &[u8]) -> (usize, usize) {
    let mut number = 0;
    for (place, byte) in bytes.iter().take(8).enumerate() {
        number = number << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return (number, place + 1);
        }
    }
    (number << 8 | usize::from(bytes[8]), 9)
}

/// `rootpage`, the fourth value of a row of `sqlite_schema`; its header and the first four values are local.
fn root(record: &[u8]) -> usize {
    let (header, mut at) = varint(record);
    let mut value = header;
    for column in 0.. {
        let (serial, bytes) = varint(&record[at..]);
        let length = match serial {
            0 | 8 | 9 => 0,
            1..=4 => serial,
            5 => 6,
            6 | 7 => 8,
            _ => (serial - 12) / 2,
        };
        if column == 3 {
            return match serial {
                9 => 1,
                _ => record[value..value + length].iter().fold(0, |number, byte| number << 8 | usize::from(*byte)),
            };
        }
        (at, value) = (at + bytes, value + length);
    }
    0
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a database of our own")]
mod tests {
    use super::*;
    use rusqlite::Connection;

    #[test]
    fn values_stand_where_the_map_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sqlite");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE a (t TEXT); CREATE TABLE b (k BLOB PRIMARY KEY, t TEXT) WITHOUT ROWID").unwrap();
        // From one byte to several pages, enough of them for inner pages.
        let text = |number: usize| format!("<{number}>").repeat(1 + number * number % 2000);
        for number in 0..300_usize {
            connection.execute("INSERT INTO a VALUES (?1)", [text(number)]).unwrap();
            connection.execute("INSERT INTO b VALUES (?1, ?2)", (number.to_be_bytes(), text(number))).unwrap();
        }
        connection.close().unwrap();
        let file = std::fs::read(&path).unwrap();
        let kinds = kinds(&file);
        assert!(!kinds.contains(&NOWHERE), "every page is of a table");
        let of = |kind: &str| kinds.iter().filter(|known| **known == kind).count();
        // Each number stands in its text, twice over; nothing of a text stands elsewhere.
        let texts: usize = (0..300).map(|number| 2 * text(number).len()).sum();
        assert!(of("cell: values") > texts && of("cell: values") < texts + 600 * 24 + 200, "{} of {texts}", of("cell: values"));
        for (at, byte) in file.iter().enumerate() {
            assert!(*byte != b'<' || kinds[at].contains("cell") || kinds[at].contains("page"), "{at}: {}", kinds[at]);
        }
        // SQLite's own count of unused bytes (dbstat is not compiled in everywhere: secure_delete leaves zeros instead).
        assert!(of("page: pointer to a cell") >= 2 * 600);
    }
}
