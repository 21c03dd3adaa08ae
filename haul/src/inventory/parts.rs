//! Files that are one image in parts: `.001`, `.002`, …; `.E01`, `.E02`, … `.EZZ`; `.s01`, `.s02`, ….

use std::collections::BTreeMap;

/// Files of one folder, joined: the first part's name, and every part in order.
pub struct Joined {
    /// Name of the first part.
    pub first: String,
    /// All parts, in order.
    pub parts: Vec<String>,
    /// Endings that are missing between them.
    pub missing: Vec<String>,
}

/// Joins the parts among the names of a folder.
pub fn join(names: &[String]) -> Vec<Joined> {
    let mut sets: BTreeMap<(String, String), BTreeMap<u32, String>> = BTreeMap::new();
    let mut joined = Vec::new();
    for name in names {
        match place(name) {
            Some((stem, series, number)) => {
                sets.entry((stem, series)).or_default().insert(number, name.clone());
            }
            None => joined.push(Joined { first: name.clone(), parts: vec![name.clone()], missing: Vec::new() }),
        }
    }
    for ((_, series), parts) in sets {
        let (Some((first, name)), Some((last, _))) = (parts.first_key_value(), parts.last_key_value()) else { continue };
        // Some tools count from 0.
        let begin = (*first).min(1);
        let missing = (begin..*last).filter(|number| !parts.contains_key(number)).map(|number| ending(&series, number)).collect();
        joined.push(Joined { first: name.clone(), parts: parts.values().cloned().collect(), missing });
    }
    joined.sort_by(|a, b| a.first.cmp(&b.first));
    joined
}

/// Stem, series and number of a part's name.
fn place(name: &str) -> Option<(String, String, u32)> {
    let (stem, ending) = name.rsplit_once('.')?;
    let bytes: [u8; 3] = ending.as_bytes().try_into().ok()?;
    if bytes.iter().all(u8::is_ascii_digit) {
        return Some((stem.to_owned(), String::new(), ending.parse().ok()?));
    }
    let [letter, rest @ ..] = bytes;
    let upper = rest.map(|byte| byte.to_ascii_uppercase());
    let number = match upper {
        [a, b] if a.is_ascii_digit() && b.is_ascii_digit() => u32::from(a - b'0') * 10 + u32::from(b - b'0'),
        // Behind E99 comes EAA.
        [a, b] if a.is_ascii_uppercase() && b.is_ascii_uppercase() => 100 + u32::from(a - b'A') * 26 + u32::from(b - b'A'),
        _ => return None,
    };
    let known = matches!(letter.to_ascii_uppercase(), b'E' | b'S' | b'L');
    // Words like `.exe` and `.sys` are not parts.
    (known && (number < 100 || upper[0] < b'C')).then(|| (stem.to_owned(), char::from(letter).to_string(), number))
}

fn ending(series: &str, number: u32) -> String {
    if series.is_empty() { format!(".{number:03}") } else { format!(".{series}{number:02}") }
}

/// A name without what names its format.
pub fn stem(name: &str) -> &str {
    const ENDINGS: &[&str] = &[
        "tar.gz", "tar.bz2", "tar.xz", "tar.zst", "tgz", "tar", "zip", "ufdr", "ab", "dd", "img", "raw", "bin", "qcow2", "vmdk",
        "vhd", "vhdx", "vdi", "7z", "rar", "dmg", "iso", "aff4", "clbx", "gz", "bz2", "xz", "zst", "ex01",
    ];
    let lower = name.to_ascii_lowercase();
    let known =
        ENDINGS.iter().find(|ending| lower.strip_suffix(**ending).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')));
    let length = match known {
        Some(ending) => ending.len() + 1,
        None if place(name).is_some() => 4,
        None => 0,
    };
    name.get(..name.len() - length).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined_in_order() {
        let names = ["a.E02", "a.E01", "a.EAA", "b.001", "b.003", "c.exe", "d.zip", "e.000", "e.001"].map(str::to_owned);
        let joined = join(&names);
        let shown: Vec<_> = joined.iter().map(|set| (set.first.as_str(), set.parts.len(), set.missing.len())).collect();
        assert_eq!(shown, [("a.E01", 3, 97), ("b.001", 2, 1), ("c.exe", 1, 0), ("d.zip", 1, 0), ("e.000", 2, 0)]);
        assert_eq!(joined[1].missing, [".002"]);
    }

    #[test]
    fn numbers_come_from_names() {
        let names = ["A-7.tar.gz", "A-8.E01", "A-9.001", "A.10", ".zip", "phone.UFDR"];
        assert_eq!(names.map(stem), ["A-7", "A-8", "A-9", "A.10", ".zip", "phone"]);
    }
}
