//! The packet as a page: no script, nothing fetched, every text from the packet escaped.

use serde_json::Value;
use std::fmt::Write;

const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
<title>Stop-payment packet</title>\n<style>\
body{font:14px/1.4 sans-serif;margin:2em;max-width:70em}\
table{border-collapse:collapse;width:100%}\
td,th{border:1px solid #999;padding:.3em .5em;text-align:left;vertical-align:top}\
code{font-family:monospace;word-break:break-all}\
h2{break-after:avoid}tr{break-inside:avoid}\
</style></head><body>\n";

/// The whole page.
pub fn page(packet: &Value) -> String {
    let mut out = String::from(HEAD);
    let origin = &packet["origin"];
    out.push_str("<h1>Stop-payment packet</h1>\n<table>\n");
    for (name, key) in [
        ("Requesting unit", "unit"),
        ("Made", "created"),
        ("Purpose", "purpose"),
        ("Recipient", "recipient"),
        ("Handling", "handling"),
        ("Keep until", "retain_until"),
        ("Nature", "nature"),
    ] {
        row(&mut out, "th", &[name.to_owned(), words(&origin[key])]);
    }
    let exhibits = origin["exhibits"].as_array().map(Vec::as_slice).unwrap_or_default();
    for exhibit in exhibits {
        row(&mut out, "th", &["Case, exhibit".to_owned(), format!("{}, {}", words(&exhibit["case"]), words(&exhibit["number"]))]);
    }
    out.push_str("</table>\n");
    section(&mut out, "Addresses", &packet["send"]);
    section(&mut out, "Not to be sent without review", &packet["do_not_send_without_review"]);
    let _infallible =
        writeln!(out, "<h2>Seal of the bundle</h2>\n<pre>{}</pre>\n</body></html>", escape(&words(&origin["checkpoint"])));
    out
}

fn section(out: &mut String, title: &str, wallets: &Value) {
    let wallets = wallets.as_array().map(Vec::as_slice).unwrap_or_default();
    let _infallible = writeln!(out, "<h2>{title} ({})</h2>", wallets.len());
    if wallets.is_empty() {
        return;
    }
    out.push_str("<table>\n");
    let heads = ["Address", "Chain", "Verdict", "Named beside it", "First seen", "Last seen", "Exhibits", "Messages"];
    row(out, "th", &heads.map(str::to_owned));
    for wallet in wallets {
        let beside: Vec<String> =
            [list(&wallet["tokens_named_beside_it"]), list(&wallet["transactions_named_beside_it"])].concat();
        let places = wallet["places"].as_array().map(Vec::as_slice).unwrap_or_default();
        let messages = places.iter().filter(|place| !place["message"].is_null());
        let deleted = messages.clone().filter(|place| place["record_state"] == "recovered").count();
        let messages = messages.count();
        let messages = if deleted > 0 { format!("{messages}, {deleted} of them deleted") } else { messages.to_string() };
        let cells = [
            words(&wallet["address"]),
            list(&wallet["chains"]).join(", "),
            words(&wallet["verdict"]),
            beside.join(" "),
            words(&wallet["first_seen"]),
            words(&wallet["last_seen"]),
            words(&wallet["exhibits"]),
            messages,
        ];
        row(out, "td", &cells);
    }
    out.push_str("</table>\n");
}

fn row(out: &mut String, first: &str, cells: &[String]) {
    out.push_str("<tr>");
    for (place, cell) in cells.iter().enumerate() {
        let tag = if place == 0 { first } else { "td" };
        // Isolated, so that text of one direction never turns that of its neighbours.
        let _infallible = write!(out, "<{tag}><code><bdi>{}</bdi></code></{tag}>", escape(cell));
    }
    out.push_str("</tr>\n");
}

fn words(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn list(value: &Value) -> Vec<String> {
    value.as_array().map(|values| values.iter().map(words).collect()).unwrap_or_default()
}

/// Text as HTML shows it; what deceives the eye is escaped as on a terminal.
fn escape(text: &str) -> String {
    let visible: String = text.split('\n').map(model::text::escape).collect::<Vec<_>>().join("\n");
    visible.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_of_the_packet_becomes_markup() {
        let packet = json!({
            "origin": { "unit": "<script>alert(1)</script>", "exhibits": [{ "case": "\" onload=\"x", "number": "1" }] },
            "send": [{ "address": "<img src=x>", "chains": ["tron"], "places": [] }],
            "do_not_send_without_review": [],
        });
        let page = page(&packet);
        assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("\" onload"));
        assert!(page.contains("&lt;img src=x&gt;") && page.contains("default-src 'none'"));
    }
}
