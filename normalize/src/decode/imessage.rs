//! `imessage_edits(x)`: the earlier wordings of an edited iMessage, as a JSON array of `{"time_cocoa_s", "text"}`.
//!
//! `message.message_summary_info` is a binary property list; its `ec` has, by the number of each part of the message, a list of
//! wordings from the first to the last, each with its time `d` (seconds since 2001) and its text `t` as a typedstream.

use super::{FLAGS, bplist, bytes, typedstream};
use rusqlite::Connection;
use rusqlite::types::Value;
use serde_json::{Value as Json, json};

/// Most parts of a message, and most wordings of a part, that are looked for.
const MOST: usize = 64;

/// Registers the function.
///
/// # Errors
/// What SQLite says.
pub fn register(connection: &Connection) -> rusqlite::Result<()> {
    connection.create_scalar_function("imessage_edits", 1, FLAGS, |context| Ok(bytes(context, 0).and_then(edits)))
}

/// The wordings; `None` where there are none.
pub fn edits(summary: &[u8]) -> Option<String> {
    let mut wordings = Vec::new();
    for part in 0..MOST {
        for number in 0..MOST {
            let at = |key: &str| bplist::value(summary, &format!("ec.{part}.{number}.{key}"));
            let (time, stream) = (at("d"), at("t"));
            if time.is_none() && stream.is_none() {
                break;
            }
            let time = match time {
                Some(Value::Real(time)) => json!(time),
                Some(Value::Integer(time)) => json!(time),
                _ => Json::Null,
            };
            let text = match stream {
                Some(Value::Blob(stream)) => typedstream::string(&stream),
                _ => None,
            };
            wordings.push(json!({ "time_cocoa_s": time, "text": text }));
        }
    }
    (!wordings.is_empty()).then(|| Json::Array(wordings).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_summary_has_no_wordings() {
        assert_eq!(edits(b""), None);
        assert_eq!(edits(b"bplist00"), None);
    }

    #[test]
    fn wordings_of_real_summaries_in_order() {
        // Counts, times and lengths of the texts as Python's plistlib shows them.
        for (name, lengths, first) in
            [("EditedToLink", &[11, 55][..], 690_514_004.271), ("EditedToLinkAndBack", &[24, 69, 39], 690_514_809.334)]
        {
            let Some(path) = sample(&format!("edited_message/{name}.plist")) else { return };
            let edits: Json = serde_json::from_str(&edits(&std::fs::read(path).unwrap()).unwrap()).unwrap();
            let edits = edits.as_array().unwrap();
            let found: Vec<_> = edits.iter().map(|wording| wording["text"].as_str().unwrap().len()).collect();
            assert_eq!(found, lengths, "{name}");
            assert!((edits[0]["time_cocoa_s"].as_f64().unwrap() - first).abs() < 0.001, "{name}");
        }
    }

    fn sample(name: &str) -> Option<std::path::PathBuf> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/ios/imessage-exporter").join(name);
        path.exists().then_some(path)
    }
}
