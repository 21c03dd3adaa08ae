use super::*;
use crate::evidence::Scratch;
use model::{Body, ItemStatus};
use std::path::Path;

fn count(bodies: &[Body], kind: &str) -> usize {
    bodies.iter().filter(|body| matches!(body, Body::Record(record) if record.kind() == kind)).count()
}

fn problems(bodies: &[Body]) -> Vec<(&'static str, String)> {
    let all = bodies.iter().filter_map(|body| match body {
        Body::Problem(problem) => Some((problem.code.name(), problem.detail.clone())),
        _ => None,
    });
    all.collect()
}

fn ledger(bodies: &[Body]) -> (u64, u64) {
    let mut rows = bodies.iter().filter_map(|body| match body {
        Body::Ledger(row) if row.source == "elements" => Some((row.rows_seen, row.records)),
        _ => None,
    });
    rows.next().unwrap()
}

/// Real exports have as many messages as the manifest says.
#[test]
fn counts_of_real_exports() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/chat-exports");
    if !corpus.is_dir() {
        return;
    }
    for (path, parser, messages) in [
        ("discord/chat-analytics-DM_2A_2M.json", DISCORD, 3),
        ("discord/chat-analytics-SV_5A_5M.json", DISCORD, 5),
        ("messenger/chat-analytics-2A_7M.json", META, 7),
        ("instagram/chatminer-test_export.json", META, 2),
    ] {
        let bodies = Scratch::of(&corpus.join(path)).parse(&parser);
        assert_eq!((count(&bodies, "message"), problems(&bodies)), (messages, vec![]), "{path}");
    }
}

#[test]
fn a_broken_element_costs_itself() {
    let good = r#"{"sender_name": "A", "timestamp_ms": 1577186580000, "content": "x"}"#;
    for (bad, code, rejected) in [
        (r#"{"sender_name": NaN}"#, "row_rejected", 1),
        (r#"[1]"#, "row_rejected", 1),
        (r#"{"sender_name": "A", "timestamp_ms": 2, "content": "a", "content": "b"}"#, "duplicate_key", 0),
    ] {
        let text = format!(r#"{{"messages": [{good}, {bad}, {good}], "thread_path": "inbox/a"}}"#);
        let bodies = Scratch::new("message_1.json", text.as_bytes()).parse(&META);
        assert_eq!(problems(&bodies).iter().map(|problem| problem.0).collect::<Vec<_>>(), [code], "{bad}");
        assert_eq!(ledger(&bodies), (3, 3 - rejected), "{bad}");
    }
}

#[test]
fn cut_documents_keep_what_was_read() {
    let text = r#"[{"type": "message", "user": "U1", "text": "a", "ts": "1454957471.000024"}, {"type": "message", "user": "U2", "text": "b", "ts": "1454957472.000025"}]"#;
    for cut in 90..text.len() {
        let scratch = Scratch::new("slack/general/2016-02-08.json", &text.as_bytes()[..cut]);
        let bodies = scratch.run(|input, emit| SLACK.parse(input, emit));
        let Some(Body::Item(item)) = bodies.last() else { panic!("no item") };
        assert_eq!((item.status, problems(&bodies)[0].0), (ItemStatus::Partial, "truncated"), "{cut}");
        assert!(count(&bodies, "message") >= 1, "{cut}");
    }
}

#[test]
fn other_json_is_not_claimed() {
    for text in [
        r#"{"messages": [{"id": 1, "type": "message", "date": "x", "from": "A", "from_id": "user1"}], "name": "B", "type": "personal_chat", "id": 5}"#,
        r#"{"guild": 1, "messages": []}"#,
        r#"[{"id": "C1", "name": "x"}]"#,
        r#"[{"ts": 1}]"#,
        r#"{"participants": []}"#,
        "[",
        "{",
        "",
    ] {
        for parser in [META, DISCORD, DISCORD_PACKAGE, SLACK] {
            assert!(!Scratch::new("a.json", text.as_bytes()).identified(&parser), "{} {text}", parser.name());
        }
    }
}

/// Where a document has no name for its chat, the folder has.
#[test]
fn folders_name_threads() {
    let slack = r#"[{"type": "message", "user": "U1", "text": "a", "ts": "1454957471.000024"}]"#;
    let package = r#"[{"ID": 1, "Timestamp": "2023-11-14 22:13:20", "Contents": "x", "Attachments": ""}]"#;
    for (path, text, parser, thread) in [
        ("export.zip/general/2016-02-08.json", slack, SLACK, "general"),
        ("package/messages/c1234/messages.json", package, DISCORD_PACKAGE, "1234"),
    ] {
        let bodies = Scratch::new(path, text.as_bytes()).parse(&parser);
        let threads = bodies.iter().filter_map(|body| match body {
            Body::Record(Record::Message(message)) => message.thread_key.as_deref(),
            _ => None,
        });
        assert_eq!(threads.collect::<Vec<_>>(), [thread], "{path}");
    }
}
