//! Who talks with whom, as a picture: devices to the left, groups in the middle, persons to the right.
//!
//! Three columns, ordered by the mean place of their neighbours (the barycentre heuristic of Sugiyama, Tagawa and Toda, 1981), in whole
//! numbers: the same picture on every machine, and no label over another. A person is an account's phone number where the account
//! tells one, else the account; an account that an app on another exhibit calls its owner's is that exhibit.

use super::Report;
use super::markup::{Markup, thousands};
use super::names::CHAT;
use super::pages::{Pages, rendered};
use super::scratch::{Scratch, failed};
use super::source::Cells;
use crate::Error;
use askama::Template;
use std::collections::{BTreeMap, BTreeSet};

/// Nodes shown in each column; how many there are is said.
const SHOWN: [i64; 3] = [30, 20, 40];
/// Sweeps of the ordering; it settles long before.
const SWEEPS: usize = 12;
/// The columns' places.
const COLUMNS: [i64; 3] = [180, 440, 690];
const ROW: i64 = 24;
const KINDS: [&str; 3] = ["exhibit", "group", "person"];

/// Writes the picture.
pub fn graph(report: &Report, pages: &mut Pages) -> Result<(), Error> {
    owners(report)?;
    talk(report)?;
    let scratch = &report.scratch;
    let note = "Devices to the left, groups in the middle, persons to the right; a line's width grows with the number of messages, a dashed \
        line is what a person wrote in a group. A person is a number or an account, not an identity.";
    let mut section = pages.section("people", note)?;
    let Some(picture) = picture(report)? else { return section.finish("No messages between anybody.") };
    section.row(&rendered(&picture)?)?;
    for (kind, words, shown) in [("exhibit", "devices", SHOWN[0]), ("group", "groups", SHOWN[1]), ("person", "persons", SHOWN[2])]
    {
        let all = scratch.number("SELECT count(*) FROM node WHERE kind = ?1", [kind])?;
        if all > shown {
            let all = thousands(all);
            section.put(&format!("<p class=\"note\">The {shown} of {all} {words} with the most messages are shown.</p>\n"))?;
        }
    }
    section.finish("")
}

/// Which accounts are whose, by account and by phone number.
fn owners(report: &Report) -> Result<(), Error> {
    for source in &report.sources {
        let sql = "SELECT app, account_key, phone, exhibit_id FROM account WHERE is_owner = 1 ORDER BY exhibit_id, id";
        source.each("", sql, &mut |cells| {
            let (app, exhibit) = (cells.text(0).unwrap_or_default(), cells.text(3));
            for (app, key) in [(app.as_str(), cells.words(1)), ("", cells.words(2))] {
                if let Some(key) = key {
                    report
                        .scratch
                        .put("INSERT OR IGNORE INTO owner VALUES (?1, ?2, ?3)", rusqlite::params![app, key, exhibit])?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Puts every pair that talks into the scratch.
fn talk(report: &Report) -> Result<(), Error> {
    // Counted before names are looked up: a name is asked for once a sender of a chat, not once a message.
    let with = format!(
        "talk AS MATERIALIZED (
           SELECT exhibit_id, {CHAT} AS chat, app, thread_id, thread_key, sender, outgoing,
                  CASE WHEN outgoing = 1 THEN recipient END AS recipient, count(*) AS messages
           FROM message GROUP BY 1, 2, 3, 4, 5, 6, 7, 8)"
    );
    let sql = "SELECT talk.exhibit_id, talk.chat, talk.app, thread.thread_type,
               coalesce(thread.name, account_name.name, contact_name.name), coalesce(talk.sender, talk.recipient), talk.outgoing,
               talk.messages, thread.thread_key, talk.thread_key, sent.name, sent.phone
        FROM talk LEFT JOIN thread ON thread.id = talk.thread_id
        LEFT JOIN account_name ON account_name.exhibit = talk.exhibit_id AND account_name.app = talk.app
                              AND account_name.account_key = coalesce(thread.thread_key, talk.thread_key)
        LEFT JOIN contact_name ON contact_name.exhibit = talk.exhibit_id
                              AND contact_name.value = coalesce(account_name.phone, thread.thread_key, talk.thread_key)
        LEFT JOIN account_name AS sent ON sent.exhibit = talk.exhibit_id AND sent.app = talk.app AND sent.account_key = talk.sender
        ORDER BY 1, 2, 7, 8 DESC, 6";
    for source in &report.sources {
        let mut chat = Chat::default();
        source.each(&with, sql, &mut |cells| chat.row(report, cells))?;
        chat.end(report)?;
    }
    Ok(())
}

/// A chat whose rows are coming.
#[derive(Default)]
struct Chat {
    key: Option<(String, String)>,
    app: String,
    /// The one on the other side of a chat of two.
    peer: Option<(String, String)>,
    fallback: Option<(String, String)>,
    outgoing: i64,
}

impl Chat {
    fn row(&mut self, report: &Report, cells: &Cells<'_, '_>) -> Result<(), Error> {
        let key = (cells.text(0).unwrap_or_default(), cells.text(1).unwrap_or_default());
        if self.key.as_ref() != Some(&key) {
            self.end(report)?;
            let app = cells.text(2).unwrap_or_default();
            *self = Chat { key: Some(key.clone()), app, ..Chat::default() };
        }
        let (exhibit, chat) = key;
        let count = cells.integer(7).unwrap_or(0);
        let outgoing = cells.integer(6) == Some(1);
        let name = cells.words(4);
        let thread_key = cells.words(8).or_else(|| cells.words(9));
        let person = |key: &str, name: Option<String>, phone: Option<String>| {
            let id = phone.unwrap_or_else(|| format!("{} {key}", self.app));
            let label = name.map_or_else(|| key.to_owned(), |name| format!("{name} ({key})"));
            (id, label)
        };
        let sender = cells.words(5).filter(|_| !outgoing).map(|key| person(&key, cells.words(10), cells.words(11)));
        if is_group(cells.text(3).as_deref()) {
            let group = thread_key.clone().map_or_else(|| format!("{exhibit} {chat}"), |key| format!("{} {key}", self.app));
            let label = name.or(thread_key).unwrap_or_else(|| format!("{} group", self.app));
            node(&report.scratch, &group, &label, "group")?;
            line(&report.scratch, &device(report, &exhibit)?, &group, "group", count)?;
            if let Some((id, label)) = sender {
                let id = person_node(report, &id, &label, &exhibit)?;
                line(&report.scratch, &id, &group, "member", count)?;
            }
            return Ok(());
        }
        let other = thread_key.or_else(|| cells.words(5).filter(|_| outgoing)).map(|key| person(&key, name, None));
        self.fallback = self.fallback.take().or(other);
        match sender {
            Some((id, label)) => {
                let id = person_node(report, &id, &label, &exhibit)?;
                line(&report.scratch, &device(report, &exhibit)?, &id, "direct", count)?;
                self.peer.get_or_insert((id, label));
            }
            None => self.outgoing += count,
        }
        Ok(())
    }

    /// What the device wrote in a chat of two went to the one who answers, or to whom the chat is named after.
    fn end(&mut self, report: &Report) -> Result<(), Error> {
        let Some((exhibit, _)) = self.key.take() else { return Ok(()) };
        if self.outgoing == 0 {
            return Ok(());
        }
        let Some((id, label)) = self.peer.take().or_else(|| self.fallback.take()) else { return Ok(()) };
        let id = person_node(report, &id, &label, &exhibit)?;
        line(&report.scratch, &device(report, &exhibit)?, &id, "direct", std::mem::take(&mut self.outgoing))
    }
}

/// Words of apps for a chat of more than two.
fn is_group(thread_type: Option<&str>) -> bool {
    let word = thread_type.unwrap_or("").to_lowercase();
    ["group", "channel", "broadcast", "room", "community"].iter().any(|part| word.contains(part))
}

fn device(report: &Report, exhibit: &str) -> Result<String, Error> {
    let id = format!("exhibit {exhibit}");
    let label = format!("Exhibit {}", report.exhibit(Some(exhibit)));
    node(&report.scratch, &id, &label, "exhibit")?;
    Ok(id)
}

/// A person, or the exhibit whose owner's account it is.
fn person_node(report: &Report, id: &str, label: &str, of: &str) -> Result<String, Error> {
    let (app, key) = id.split_once(' ').unwrap_or(("", id));
    let mut owned = None;
    let sql = "SELECT exhibit FROM owner WHERE app = ?1 AND account_key = ?2";
    report.scratch.each(sql, [app, key], &mut |row| {
        owned = row.get::<_, Option<String>>(0).map_err(failed)?;
        Ok(())
    })?;
    match owned.filter(|owned| owned != of) {
        Some(exhibit) => device(report, &exhibit),
        None => {
            node(&report.scratch, id, label, "person")?;
            Ok(id.to_owned())
        }
    }
}

fn node(scratch: &Scratch, id: &str, label: &str, kind: &str) -> Result<(), Error> {
    scratch.put("INSERT OR IGNORE INTO node VALUES (?1, ?2, ?3)", [id, label, kind])
}

fn line(scratch: &Scratch, a: &str, b: &str, kind: &str, messages: i64) -> Result<(), Error> {
    let sql = "INSERT INTO edge VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET messages = messages + excluded.messages";
    scratch.put(sql, rusqlite::params![a, b, kind, messages])
}

#[derive(Template)]
#[template(path = "report/graph.svg")]
struct Picture {
    height: i64,
    nodes: Vec<Node>,
    lines: Vec<Line>,
}

struct Node {
    x: i64,
    y: i64,
    text_x: i64,
    text_y: i64,
    anchor: &'static str,
    class: &'static str,
    label: Markup,
    title: String,
}

struct Line {
    path: String,
    class: &'static str,
    /// Tenths of a pixel.
    width: String,
    dashed: bool,
    title: String,
}

struct Drawn {
    id: String,
    label: String,
    messages: i64,
}

fn picture(report: &Report) -> Result<Option<Picture>, Error> {
    let mut columns: [Vec<Drawn>; 3] = Default::default();
    let sql = "SELECT node.id, node.label, sum(ends.messages) FROM node
        JOIN (SELECT a AS id, messages FROM edge UNION ALL SELECT b, messages FROM edge) AS ends ON ends.id = node.id
        WHERE node.kind = ?1 GROUP BY node.id ORDER BY 3 DESC, node.id LIMIT ?2";
    for ((column, kind), shown) in columns.iter_mut().zip(KINDS).zip(SHOWN) {
        report.scratch.each(sql, rusqlite::params![kind, shown], &mut |row| {
            column.push(Drawn {
                id: row.get(0).map_err(failed)?,
                label: row.get(1).map_err(failed)?,
                messages: row.get(2).map_err(failed)?,
            });
            Ok(())
        })?;
    }
    let shown: BTreeSet<String> = columns.iter().flatten().map(|drawn| drawn.id.clone()).collect();
    let mut edges = Vec::new();
    report.scratch.each("SELECT a, b, kind, messages FROM edge ORDER BY a, b, kind", [], &mut |row| {
        let (a, b): (String, String) = (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
        if shown.contains(&a) && shown.contains(&b) {
            edges.push((a, b, row.get::<_, String>(2).map_err(failed)?, row.get::<_, i64>(3).map_err(failed)?));
        }
        Ok(())
    })?;
    if edges.is_empty() {
        return Ok(None);
    }
    order(&mut columns, &edges);
    Ok(Some(drawn(report, &columns, &edges)))
}

type Edge = (String, String, String, i64);

/// Moves each column's nodes to the mean place of their neighbours, there and back, as often as it takes.
fn order(columns: &mut [Vec<Drawn>; 3], edges: &[Edge]) {
    for sweep in 0..SWEEPS {
        let turn = if sweep % 2 == 0 { [1, 2, 0] } else { [2, 1, 0] };
        for column in turn {
            let places = places(columns);
            let mut sums: BTreeMap<&str, (i128, i128)> = BTreeMap::new();
            for (a, b, _, messages) in edges {
                let weight = i128::from(messages.max(&1).ilog2()) + 1;
                for (one, other) in [(a, b), (b, a)] {
                    let (Some((of, _)), Some((_, y))) = (places.get(one.as_str()), places.get(other.as_str())) else { continue };
                    if *of == column {
                        let sum = sums.entry(one).or_default();
                        *sum = (sum.0 + i128::from(*y) * weight, sum.1 + weight);
                    }
                }
            }
            let mean = |drawn: &Drawn| sums.get(drawn.id.as_str()).map_or(0, |(sum, weight)| sum * 1000 / weight);
            let mut keyed: Vec<(i128, Drawn)> = Vec::new();
            for drawn in std::mem::take(columns.get_mut(column).unwrap_or(&mut Vec::new())) {
                keyed.push((mean(&drawn), drawn));
            }
            keyed.sort_by(|a, b| (a.0, &a.1.id).cmp(&(b.0, &b.1.id)));
            if let Some(column) = columns.get_mut(column) {
                column.extend(keyed.into_iter().map(|(_, drawn)| drawn));
            }
        }
    }
}

/// Column and height of every node; each column is spread over the height of the longest.
fn places(columns: &[Vec<Drawn>; 3]) -> BTreeMap<String, (usize, i64)> {
    let height = height(columns);
    let mut places = BTreeMap::new();
    for (column, nodes) in columns.iter().enumerate() {
        let count = i64::try_from(nodes.len()).unwrap_or(1).max(1);
        for (row, drawn) in (0i64..).zip(nodes) {
            places.insert(drawn.id.clone(), (column, (2 * row + 1) * height / (2 * count)));
        }
    }
    places
}

fn height(columns: &[Vec<Drawn>; 3]) -> i64 {
    columns.iter().map(|nodes| i64::try_from(nodes.len()).unwrap_or(0)).max().unwrap_or(0).max(3) * ROW
}

fn drawn(report: &Report, columns: &[Vec<Drawn>; 3], edges: &[Edge]) -> Picture {
    let places = places(columns);
    let x = |column: usize| COLUMNS.get(column).copied().unwrap_or(0);
    let mut lines = Vec::new();
    for (a, b, kind, messages) in edges {
        let (Some((from, y1)), Some((to, y2))) = (places.get(a), places.get(b)) else { continue };
        let (x1, x2) = (x(*from), x(*to));
        let path = if from == to {
            // Between two of one column: a bow beside it.
            format!("M{x1} {y1}C{0} {y1} {0} {y2} {x2} {y2}", x1 - 30 - (y1 - y2).abs() / 4)
        } else {
            let middle = (x1 + x2) / 2;
            format!("M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}")
        };
        let tenths = 6 + 4 * i64::from(messages.max(&1).ilog2());
        let class = if from == to {
            "owner"
        } else if kind == "direct" {
            ""
        } else {
            "group"
        };
        let title = format!("{} messages", thousands(*messages));
        lines.push(Line { path, class, width: format!("{}.{}", tenths / 10, tenths % 10), dashed: kind == "member", title });
    }
    let mut nodes = Vec::new();
    for drawn in columns.iter().flatten() {
        let Some((column, y)) = places.get(&drawn.id) else { continue };
        let (anchor, text_x) = if *column == 0 { ("end", x(*column) - 10) } else { ("start", x(*column) + 10) };
        nodes.push(Node {
            x: x(*column),
            y: *y,
            text_x,
            text_y: y + 4,
            anchor,
            class: KINDS.get(*column).copied().unwrap_or(""),
            label: Markup::label(&drawn.label, &report.mask, 44),
            title: format!("{} messages", thousands(drawn.messages)),
        });
    }
    Picture { height: height(columns), nodes, lines }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(ids: &[&str]) -> Vec<Drawn> {
        ids.iter().map(|id| Drawn { id: (*id).to_owned(), label: String::new(), messages: 1 }).collect()
    }

    #[test]
    fn neighbours_come_to_lie_beside_each_other() {
        let mut columns = [column(&["x1", "x2"]), Vec::new(), column(&["b", "a"])];
        let edges = [
            ("x1".to_owned(), "a".to_owned(), "direct".to_owned(), 5),
            ("x2".to_owned(), "b".to_owned(), "direct".to_owned(), 5),
        ];
        order(&mut columns, &edges);
        let ids: Vec<Vec<&str>> = columns.iter().map(|nodes| nodes.iter().map(|drawn| drawn.id.as_str()).collect()).collect();
        let row = |id: &str| ids.iter().find_map(|column| column.iter().position(|found| *found == id));
        assert_eq!((row("x1"), row("x2")), (row("a"), row("b")));
    }

    #[test]
    fn groups_are_known_by_the_words_of_apps() {
        for word in ["group", "private_supergroup", "public_channel", "Broadcast"] {
            assert!(is_group(Some(word)), "{word}");
        }
        for word in [Some("direct"), Some("personal_chat"), None] {
            assert!(!is_group(word), "{word:?}");
        }
    }
}
