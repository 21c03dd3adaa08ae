//! What `init` of Android keeps of the properties that begin with `persist.`: since Android 9 one file, `/data/property/persistent_properties`
//! (the message `PersistentProperties` of its `persistent_properties.proto`: records of field 1, each a name in 1 and a value in 2);
//! before, a file a property in that folder, named like it.

use super::{FILE_BYTES_MAX, Facts, android};
use crate::decode::protobuf;
use crate::emit::Emit;
use crate::parse::{Input, Outcome, Parser};
use model::{Code, Locator};

/// Name of the file, and the folder that it and the older ones lie in.
const NAME: &[u8] = b"persistent_properties";
const FOLDER: &str = "property/";
/// Largest value that a property of the older kind has.
const VALUE_BYTES_MAX: usize = 4096;

/// The parser.
pub struct AndroidPersistent;

fn is_single(input: &Input<'_>) -> bool {
    let (name, path) = (input.unit.primary.name.as_slice(), input.unit.primary.item.path.as_str());
    let folder = path.rfind('/').map_or("", |slash| path.get(..=slash).unwrap_or_default());
    name.starts_with(b"persist.") && folder.ends_with(FOLDER) && input.head.len() <= VALUE_BYTES_MAX
}

impl Parser for AndroidPersistent {
    fn name(&self) -> &'static str {
        "android_persistent_properties"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        input.unit.primary.name.as_slice() == NAME && input.head.first() == Some(&0x0a) || is_single(input)
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let bytes = match input.content(FILE_BYTES_MAX, "file of properties", emit) {
            Ok(bytes) => bytes,
            Err(outcome) => return outcome,
        };
        let mut facts = Facts::new(emit);
        if is_single(input) {
            let name = String::from_utf8_lossy(&input.unit.primary.name).into_owned();
            if let (Some(kind), Ok(value)) = (android::kind_of(&name), std::str::from_utf8(&bytes)) {
                let place = Locator::Bytes { offset: 0, length: bytes.len() as u64 };
                facts.tell(kind, value.trim_end_matches(['\0', '\n']), &name, place);
            }
            return facts.finish("properties");
        }
        let ended = protobuf::each(&bytes, 1, &mut |record, offset| {
            let text = |step: &str| match protobuf::field(record, step) {
                Some(rusqlite::types::Value::Text(text)) => text,
                _ => String::new(),
            };
            let name = text("1");
            if let Some(kind) = android::kind_of(&name) {
                let place = Locator::Bytes { offset: offset as u64, length: record.len() as u64 };
                facts.tell(kind, &text("2"), &name, place);
            }
        });
        match ended {
            Ok(()) => facts.finish("properties"),
            Err(at) => {
                let detail = format!("no list of properties from byte {at}");
                facts.emit.problem(Code::DocumentDamaged, detail.clone());
                facts.finish("properties");
                Outcome::partial(detail)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Scratch;
    use crate::parse::device::tests::facts;
    use model::Body;

    fn record(name: &str, value: &str) -> Vec<u8> {
        let part = |tag: u8, text: &str| [&[tag, text.len() as u8][..], text.as_bytes()].concat();
        let inner = [part(0x0a, name), part(0x12, value)].concat();
        [&[0x0a, inner.len() as u8][..], &inner].concat()
    }

    #[test]
    fn the_list_and_the_single_files() {
        let list = [record("persist.sys.usb.config", "mtp"), record("persist.sys.timezone", "Asia/Phnom_Penh")].concat();
        let expected = [("time_zone".to_owned(), "Asia/Phnom_Penh".to_owned())];
        let told = |bytes: &[u8]| Scratch::new("data/property/persistent_properties", bytes).parse(&AndroidPersistent);
        assert_eq!(facts(&told(&list)), expected);
        let single = Scratch::new("data/property/persist.sys.timezone", b"Asia/Phnom_Penh");
        assert!(single.identified(&AndroidPersistent));
        assert_eq!(facts(&single.parse(&AndroidPersistent)), expected);
        assert!(!Scratch::new("data/persist.sys.timezone", b"Asia/Phnom_Penh").identified(&AndroidPersistent));
        for cut in 1..list.len() {
            let bodies = told(&list[..cut]);
            let whole = cut == record("persist.sys.usb.config", "mtp").len();
            let complained = bodies.iter().any(|body| matches!(body, Body::Problem(_)));
            assert_eq!(complained, !whole, "{cut}");
        }
    }
}
