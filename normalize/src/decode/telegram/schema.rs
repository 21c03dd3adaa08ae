//! The TL schema: which constructors there are, and of which fields each is made.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The constructors of all layers, as `schema.txt` says at its top.
const TEXT: &str = include_str!("schema.txt");

/// One constructor: a form of a type.
#[derive(Debug)]
pub struct Constructor {
    /// Its name: `messageMediaPhoto`.
    pub name: &'static str,
    /// The type that it is a form of: `MessageMedia`.
    pub of: &'static str,
    /// Its fields, in the order of their bytes.
    pub fields: Vec<Field>,
}

/// One field of a constructor.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// The word of flags and the bit that say whether it is there.
    pub when: Option<(Word, u32)>,
    /// What it is.
    pub kind: Kind,
}

/// A word of flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Word {
    /// `flags`.
    First,
    /// `flags2`.
    Second,
}

/// What a field is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A word of flags.
    Flags(Word),
    /// 32 bits.
    Int,
    /// 64 bits.
    Long,
    /// A float of 64 bits.
    Double,
    /// Text, with its length before it.
    Text,
    /// Bytes, with their length before them.
    Bytes,
    /// A bit of the flags and nothing else.
    Bit,
    /// Several; false for one that has no number of its own.
    Vector(Box<Kind>, bool),
    /// An object of a type.
    Of(&'static str),
}

/// All constructors, by their numbers.
static SCHEMA: LazyLock<HashMap<u32, Constructor>> = LazyLock::new(|| read(TEXT));

/// The constructor of that number.
pub fn constructor(number: u32) -> Option<&'static Constructor> {
    SCHEMA.get(&number)
}

fn read(text: &'static str) -> HashMap<u32, Constructor> {
    let (mut schema, mut of) = (HashMap::new(), "");
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("= ") {
            of = name;
            continue;
        }
        let mut words = line.split(' ');
        let number = words.next().and_then(|word| u32::from_str_radix(word, 16).ok());
        let (Some(number), Some(name)) = (number, words.next()) else { continue };
        schema.insert(number, Constructor { name, of, fields: words.filter_map(field).collect() });
    }
    schema
}

/// `name:9?kind`.
fn field(word: &'static str) -> Option<Field> {
    let (name, kind) = word.split_once(':')?;
    if kind == "#" {
        let word = if name == "flags2" { Word::Second } else { Word::First };
        return Some(Field { name, when: None, kind: Kind::Flags(word) });
    }
    let Some((bit, kind)) = kind.split_once('?') else { return Some(Field { name, when: None, kind: self::kind(kind) }) };
    let (word, bit) = bit.strip_prefix('^').map_or((Word::First, bit), |bit| (Word::Second, bit));
    Some(Field { name, when: Some((word, bit.parse().ok()?)), kind: self::kind(kind) })
}

fn kind(word: &'static str) -> Kind {
    if let Some(inner) = word.strip_prefix('<') {
        return Kind::Vector(Box::new(kind(inner)), true);
    }
    if let Some(inner) = word.strip_prefix("%<") {
        return Kind::Vector(Box::new(kind(inner)), false);
    }
    match word {
        "int" => Kind::Int,
        "long" => Kind::Long,
        "double" => Kind::Double,
        "string" => Kind::Text,
        "bytes" => Kind::Bytes,
        "true" => Kind::Bit,
        of => Kind::Of(of),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line that a constructor's number is the CRC-32 of: its bits are left out, bytes count as string.
    fn line(constructor: &Constructor) -> String {
        fn word(kind: &Kind) -> String {
            match kind {
                Kind::Flags(_) => "#".to_owned(),
                Kind::Int => "int".to_owned(),
                Kind::Long => "long".to_owned(),
                Kind::Double => "double".to_owned(),
                Kind::Text | Kind::Bytes => "string".to_owned(),
                Kind::Bit => "true".to_owned(),
                Kind::Vector(inner, numbered) => {
                    // Only bytes that are a field of their own count as string.
                    let inner = if **inner == Kind::Bytes { "bytes".to_owned() } else { word(inner) };
                    format!("{} {inner}", if *numbered { "Vector" } else { "vector" })
                }
                Kind::Of(of) => (*of).to_owned(),
            }
        }
        let mut line = constructor.name.to_owned();
        for field in constructor.fields.iter().filter(|field| field.kind != Kind::Bit) {
            let when = match field.when {
                None => String::new(),
                Some((Word::First, bit)) => format!("flags.{bit}?"),
                Some((Word::Second, bit)) => format!("flags2.{bit}?"),
            };
            line.push_str(&format!(" {}:{when}{}", field.name, word(&field.kind)));
        }
        format!("{line} = {}", constructor.of)
    }

    #[test]
    fn numbers_are_the_checksums_of_their_lines() {
        let mut others = Vec::new();
        for (number, constructor) in SCHEMA.iter() {
            let line = line(constructor);
            let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, line.as_bytes());
            if sum != u64::from(*number) && number >> 8 != 0x55_5555 {
                others.push(format!("{number:08x} {line}"));
            }
        }
        others.sort();
        // One that Telegram numbered from another line than it published.
        assert_eq!(others.iter().map(|line| &line[..16]).collect::<Vec<_>>(), ["c88974ac channel"]);
        assert!(SCHEMA.len() > 1200);
    }

    #[test]
    fn every_type_of_a_field_has_a_constructor() {
        fn of(kind: &Kind) -> Option<&'static str> {
            match kind {
                Kind::Vector(inner, _) => of(inner),
                Kind::Of(name) => Some(name),
                _ => None,
            }
        }
        let known: std::collections::HashSet<&str> = SCHEMA.values().map(|constructor| constructor.of).collect();
        for constructor in SCHEMA.values() {
            for name in constructor.fields.iter().filter_map(|field| of(&field.kind)) {
                assert!(known.contains(name), "{}: {name}", constructor.name);
            }
        }
    }
}
