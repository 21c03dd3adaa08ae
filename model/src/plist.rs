//! Property lists, binary and XML: values by path.
//!
//! A list comes from evidence, so nothing is built from it that it could blow up: objects of a binary list are visited one at
//! a time along the path (shared references make trees of any size out of 148 bytes), and an XML list is laid out flat, each
//! element once, with a bound on its depth.

mod binary;
mod xml;

/// Deepest path that is followed, references counted.
const DEPTH: usize = 64;

/// A value that is no container.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// A number without a fraction.
    Integer(i64),
    /// A number with one.
    Real(f64),
    /// True or false.
    Bool(bool),
    /// A date: seconds since 2001-01-01 UTC in a binary list.
    Cocoa(f64),
    /// A date as an XML list has it: ISO 8601, UTC.
    Iso(String),
    /// Bytes.
    Data(Vec<u8>),
    /// Text, lossy where it is not valid.
    Text(String),
}

impl Value {
    /// The text.
    pub fn text(self) -> Option<String> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes.
    pub fn data(self) -> Option<Vec<u8>> {
        match self {
            Value::Data(data) => Some(data),
            _ => None,
        }
    }

    /// The number.
    pub fn integer(self) -> Option<i64> {
        match self {
            Value::Integer(number) => Some(number),
            _ => None,
        }
    }

    /// Yes or no.
    pub fn truth(self) -> Option<bool> {
        match self {
            Value::Bool(truth) => Some(truth),
            _ => None,
        }
    }
}

/// An opened list.
pub struct Plist<'l>(Form<'l>);

enum Form<'l> {
    Binary(binary::List<'l>),
    Xml(xml::Document),
}

impl<'l> Plist<'l> {
    /// Opens a list; `None` if it is none, or damaged from its first byte.
    pub fn open(content: &'l [u8]) -> Option<Plist<'l>> {
        if content.starts_with(b"bplist0") {
            return binary::List::open(content).map(|list| Plist(Form::Binary(list)));
        }
        xml::Document::read(content).map(|document| Plist(Form::Xml(document)))
    }

    /// The value at a path of keys and, for arrays, decimal indexes; the references of a keyed archive (NSKeyedArchiver) are
    /// followed. `None` where nothing or a container stands there, or the list is damaged.
    pub fn get(&self, path: &[&str]) -> Option<Value> {
        match &self.0 {
            Form::Binary(list) => list.get(path),
            Form::Xml(document) => document.get(path),
        }
    }

    /// What the container at a path holds: the keys of a dictionary, or the indexes of an array, as steps of a path; at most `most`.
    /// Empty where no container stands there.
    pub fn steps(&self, path: &[&str], most: usize) -> Vec<String> {
        match &self.0 {
            Form::Binary(list) => list.steps(path, most),
            Form::Xml(document) => document.steps(path, most),
        }
    }

    /// First byte and length of the value at a path, in the list's bytes.
    pub fn place(&self, path: &[&str]) -> Option<(u64, u64)> {
        match &self.0 {
            Form::Binary(list) => list.place(path),
            Form::Xml(document) => document.place(path),
        }
    }
}

impl Plist<'_> {
    /// Visits every value with the way to it and its place in the list's bytes. Of a binary list each object is visited once, however
    /// many refer to it, and the values of a keyed archive under the names that it gives them.
    pub fn each(&self, visit: &mut dyn FnMut(&[String], Value, (u64, u64))) {
        match &self.0 {
            Form::Binary(list) => list.each(visit),
            Form::Xml(document) => document.each(visit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(content: &[u8]) -> Vec<(String, Value)> {
        let mut values = Vec::new();
        let list = Plist::open(content).unwrap();
        list.each(&mut |keys, value, _| values.push((keys.join("/"), value)));
        values
    }

    #[test]
    fn every_value_is_visited_once_under_its_name() {
        let bytes = unhex(PLAIN);
        let names = |values: &[(String, Value)]| values.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let binary = every(&bytes);
        assert_eq!(names(&binary), ["a/b/0", "a/b/1", "a/b/2", "a/b/3", "a/b/4", "a/b/5", "a/b/6", "n"]);
        let xml = every(XML.as_bytes());
        assert_eq!(names(&xml), ["a/b/0", "a/b/1", "a/b/2", "a/b/3", "a/b/4", "a/b/5", "a/b/6", "n", "e"]);
        assert_eq!(binary[1], ("a/b/1".to_owned(), Value::Text("zwei".into())));
        let keyed = every(&unhex(KEYED));
        assert!(keyed.contains(&("$top/root/name".to_owned(), Value::Text("Dara".into()))), "{keyed:?}");
        // Objects of one array each that refer to themselves and to each other: each is visited once.
        let mut circle = b"bplist00".to_vec();
        circle.extend([0xa3, 1, 1, 0, 0xa2, 0, 1, 8, 12]);
        circle.extend([0; 6]);
        circle.extend([1, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 15]);
        assert_eq!(every(&circle), []);
        for cut in 0..bytes.len() {
            if let Some(list) = Plist::open(&bytes[..cut]) {
                list.each(&mut |_, _, _| {});
            }
        }
    }

    pub fn unhex(hex: &str) -> Vec<u8> {
        hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// Python's plistlib, of {'a': {'b': [1, 'zwei', '日本', b'\x01\x02', 2.5, True, 2001-01-01T00:00:10]}, 'n': -5}.
    const PLAIN: &str = "62706c6973743030d20102030d5161516ed104055162a7060708090a0b0c1001547a7765696265e5672c42010223400400000000000009\
        33402400000000000013fffffffffffffffb080d0f1114161e20252a2d3637400000000000000101000000000000000e00000000000000\
        000000000000000049";
    /// The same of a keyed archive whose root object has the name 'Dara' and a reference to itself.
    const KEYED: &str = "62706c6973743030d40102030405060e115924617263686976657258246f626a656374735424746f70582476657273696f6e5f100f4e53\
        4b657965644172636869766572a307080d55246e756c6cd2090a0b0c546e616d65546e657874800280015444617261d10f1054726f6f74\
        800112000186a008111b24293244484e53585d5f6166696e70000000000000010100000000000000120000000000000000000000000000\
        0075";
    /// What Python's plistlib writes of the same values as XML.
    const XML: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict><key>a</key><dict><key>b</key><array><integer>1</integer><string>zwei</string>
<string>日本</string><data>
AQI=
</data><real>2.5</real><true/><date>2001-01-01T00:00:10Z</date></array></dict><key>n</key><integer>-5</integer>
<key>e</key><string>a &amp; &#x62;</string></dict></plist>"#;

    #[test]
    fn values_by_path_in_both_forms() {
        let bytes = unhex(PLAIN);
        let (binary, xml) = (Plist::open(&bytes).unwrap(), Plist::open(XML.as_bytes()).unwrap());
        let expected = [
            ("0", Value::Integer(1)),
            ("1", Value::Text("zwei".into())),
            ("2", Value::Text("日本".into())),
            ("3", Value::Data(vec![1, 2])),
            ("4", Value::Real(2.5)),
            ("5", Value::Bool(true)),
        ];
        for (index, value) in expected {
            assert_eq!(binary.get(&["a", "b", index]).as_ref(), Some(&value));
            assert_eq!(xml.get(&["a", "b", index]), Some(value));
        }
        assert_eq!(binary.get(&["a", "b", "6"]), Some(Value::Cocoa(10.0)));
        assert_eq!(xml.get(&["a", "b", "6"]), Some(Value::Iso("2001-01-01T00:00:10Z".into())));
        assert_eq!(xml.get(&["e"]), Some(Value::Text("a & b".into())));
        for list in [&binary, &xml] {
            assert_eq!(list.steps(&["a"], 9), ["b"]);
            assert_eq!(list.steps(&["a", "b"], 9), ["0", "1", "2", "3", "4", "5", "6"]);
            assert_eq!(list.steps(&["a", "b"], 2), ["0", "1"]);
            assert!(list.steps(&["n"], 9).is_empty() && list.steps(&["x"], 9).is_empty());
        }
        let (offset, length) = binary.place(&["a", "b", "1"]).unwrap();
        assert_eq!(&bytes[offset as usize..][..length as usize], b"zwei");
        let (offset, length) = xml.place(&["e"]).unwrap();
        assert_eq!(&XML.as_bytes()[offset as usize..][..length as usize], b"a &amp; &#x62;");
        for list in [binary, xml] {
            assert_eq!(list.get(&["n"]).and_then(Value::integer), Some(-5));
            for nothing in [&["a"][..], &["a", "b"], &["a", "b", "7"], &["a", "c"], &["a", "b", "-1"], &[]] {
                assert_eq!(list.get(nothing), None, "{nothing:?}");
            }
        }
    }

    #[test]
    fn references_of_an_archive_are_followed() {
        let bytes = unhex(KEYED);
        let list = Plist::open(&bytes).unwrap();
        assert_eq!(list.get(&["$top", "root", "name"]), Some(Value::Text("Dara".into())));
        let circle: Vec<&str> = ["$top", "root"].into_iter().chain(["next"; 40]).chain(["name"]).collect();
        assert_eq!(list.get(&circle), Some(Value::Text("Dara".into())));
    }

    #[test]
    fn damage_is_nothing_and_never_more() {
        let bytes = unhex(PLAIN);
        for cut in 0..bytes.len() {
            Plist::open(&bytes[..cut]).and_then(|list| list.get(&["a", "b", "1"]));
        }
        for place in 0..bytes.len() {
            for byte in [0, 0x0f, 0x5f, 0x80, 0xdf, 0xff] {
                let mut bytes = bytes.clone();
                bytes[place] = byte;
                Plist::open(&bytes).and_then(|list| list.get(&["a", "b", "6"]));
            }
        }
        for cut in (0..XML.len()).filter(|cut| XML.is_char_boundary(*cut)) {
            Plist::open(&XML.as_bytes()[..cut]).and_then(|list| list.get(&["n"]));
        }
        let deep = "<plist>".to_owned() + &"<array>".repeat(1_000_000);
        assert!(Plist::open(deep.as_bytes()).is_none());
        let laughs = "<!DOCTYPE plist [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]><plist><string>&b;</string></plist>";
        assert_eq!(Plist::open(laughs.as_bytes()).and_then(|list| list.get(&[])), None);
    }
}
