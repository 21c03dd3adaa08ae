//! Which accounts, address-book entries and devices have a number, an address or an app's id alike, within exhibits and across them.
//!
//! The rule is that of table `link` (`crate::people`), applied to all bundles of the report together: rows that have a value alike
//! stand together, each with the values that say so. Nothing is merged: a reader sees every row and its evidence.

use super::Report;
use super::markup::{Markup, thousands};
use super::pages::Pages;
use super::scratch::failed;
use super::source::Cells;
use crate::Error;
use crate::people::{self, Identity, Space};
use rusqlite::params;

/// Kinds of rows, with the query that gives them: exhibit, id, state, is_owner, app or kind, key, name, same_as, phone, chain.
const KINDS: [(&str, &str); 3] = [
    (
        "account",
        "SELECT exhibit_id, id, state, is_owner, app, account_key, display_name, same_as, phone, chain FROM account ORDER BY id",
    ),
    (
        "contact",
        "SELECT point.exhibit_id, point.id, point.state, 0, contact.app, point.raw, contact.display_name, point.kind, point.value, NULL
         FROM contact_point AS point LEFT JOIN contact ON contact.id = point.contact_id ORDER BY point.id",
    ),
    ("device", "SELECT exhibit_id, id, state, 1, kind, raw, label, kind, value, NULL FROM device ORDER BY id"),
];

/// Writes the section.
pub fn persons(report: &Report, pages: &mut Pages) -> Result<(), Error> {
    list(report)?;
    join(report)?;
    let note = "Accounts, address-book entries and devices that have a phone number, an e-mail address or an app's own id alike, those on \
        most exhibits first. Each line says which value links it with the others of its number: follow them before you say that it is one \
        person. Names are what the evidence has and link nothing.";
    let mut section = pages.section("persons", note)?;
    section.table(&["#No.", "Exhibit", "What", "App", "Account or entry", "Name", "Linked by"])?;
    let (mut number, mut root) = (0i64, None);
    report.scratch.each(SHOWN, [], &mut |row| {
        let text = |place: usize| row.get::<_, Option<String>>(place).map_err(failed);
        let this: i64 = row.get(0).map_err(failed)?;
        if root.replace(this) != Some(this) {
            number += 1;
        }
        let kind = text(2)?.unwrap_or_default();
        let own = row.get::<_, Option<i64>>(7).map_err(failed)? == Some(1);
        let kind = if own && kind == "account" { "device's own account".to_owned() } else { kind };
        let what = Markup::joined(&[Markup::word(&kind), Markup::state(text(6)?.as_deref())], " ");
        let maybe = |text: Option<String>| Markup::maybe(text.filter(|text| !text.is_empty()).as_deref(), &report.mask);
        section.cells(&[
            Markup::number(number),
            Markup::text(report.exhibit(text(1)?.as_deref()), &report.mask),
            what,
            maybe(text(3)?),
            maybe(text(4)?),
            maybe(text(5)?),
            maybe(text(8)?),
        ])
    })?;
    let rest = report.scratch.number(REST, [])?;
    if rest > 0 {
        let rest = thousands(rest);
        // Not inside the table.
        section.open(String::new(), "")?;
        section.put(&format!("<p class=\"note\">{rest} accounts more stand in one address book each and nowhere else.</p>\n"))?;
    }
    section.finish("No two rows have a number, an address or an id alike.")
}

/// What is shown: what is on several exhibits, in several accounts, or a device's own. The rest is one account with its entry in an
/// address book, which chats and contacts show.
const SHOWN: &str = "WITH person AS (
  SELECT root, count(DISTINCT exhibit) AS exhibits, count(DISTINCT CASE WHEN kind = 'account' THEN app || ' ' || key END) AS accounts,
         max(own) AS own, count(*) AS lines FROM person_row WHERE root IS NOT NULL GROUP BY root HAVING accounts > 0)
SELECT person.root, exhibit, kind, app, key, name, state, person_row.own,
       (SELECT group_concat(value, ', ' ORDER BY value) FROM person_link WHERE person_link.number = person_row.number)
FROM person JOIN person_row ON person_row.root = person.root
WHERE exhibits > 1 OR accounts > 1 OR person.own = 1
ORDER BY exhibits DESC, accounts DESC, lines DESC, person.root, kind, app, key, person_row.number";
const REST: &str = "SELECT count(*) FROM (
  SELECT root, count(DISTINCT exhibit) AS exhibits, count(DISTINCT CASE WHEN kind = 'account' THEN app || ' ' || key END) AS accounts,
         max(own) AS own FROM person_row WHERE root IS NOT NULL GROUP BY root) WHERE accounts = 1 AND exhibits = 1 AND own IS NOT 1";

/// Lists every row that has something to be compared.
fn list(report: &Report) -> Result<(), Error> {
    let mut number = 0i64;
    for source in &report.sources {
        for (kind, sql) in KINDS {
            source.each("", sql, &mut |cells| {
                let identities = identities(kind, cells);
                if identities.is_empty() {
                    return Ok(());
                }
                number += 1;
                // A merged bundle and one of its parts have the same rows.
                let sql = "INSERT OR IGNORE INTO person_row VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, NULL)";
                let (exhibit, id, state, own) = (cells.text(0), cells.text(1), cells.text(2), cells.integer(3));
                let (app, key, name) = (cells.text(4), cells.text(5), cells.text(6));
                report.scratch.put(sql, params![number, id, exhibit, kind, app, key, name, state, own])?;
                for Identity { space, value, .. } in identities {
                    let sql = "INSERT OR IGNORE INTO person_value SELECT ?1, ?2, number FROM person_row WHERE number = ?3";
                    report.scratch.put(sql, params![space.word(), value, number])?;
                }
                Ok(())
            })?;
        }
    }
    Ok(())
}

fn identities(kind: &str, cells: &Cells<'_, '_>) -> Vec<Identity> {
    let (app, key) = (cells.text(4).unwrap_or_default(), cells.text(5).unwrap_or_default());
    let (same_as, phone, chain) = (cells.text(7), cells.text(8), cells.text(9));
    match kind {
        "account" => people::of_account(&people::Account {
            app: &app,
            key: &key,
            same_as: same_as.as_deref(),
            phone: phone.as_deref(),
            chain: chain.as_deref(),
        }),
        "contact" => people::of_contact_point(same_as.as_deref().unwrap_or(""), phone.as_deref(), &key).into_iter().collect(),
        _ => people::of_device(&app, phone.as_deref(), &key).into_iter().collect(),
    }
}

/// Puts rows that have a value alike together, and what follows from that: a forest over their numbers, eight bytes a row.
fn join(report: &Report) -> Result<(), Error> {
    let rows = report.scratch.number("SELECT coalesce(max(number), 0) FROM person_row", [])?;
    let mut forest = Forest::new(rows);
    let mut group: Option<((String, String), i64)> = None;
    let sql = "SELECT space, value, number FROM person_value ORDER BY space, value, number";
    report.scratch.each(sql, [], &mut |row| {
        let key: (String, String) = (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
        let number: i64 = row.get(2).map_err(failed)?;
        match &group {
            Some((known, first)) if *known == key => {
                forest.join(*first, number);
                for end in [*first, number] {
                    let words = words(&key.0, &key.1);
                    report.scratch.put("INSERT OR IGNORE INTO person_link VALUES (?1, ?2)", params![end, words])?;
                }
            }
            _ => group = Some((key, number)),
        }
        Ok(())
    })?;
    let mut linked = Vec::new();
    report.scratch.each("SELECT DISTINCT number FROM person_link ORDER BY number", [], &mut |row| {
        linked.push(row.get::<_, i64>(0).map_err(failed)?);
        Ok(())
    })?;
    for number in linked {
        let root = forest.root(number);
        report.scratch.put("UPDATE person_row SET root = ?2 WHERE number = ?1", params![number, root])?;
    }
    Ok(())
}

/// A value with what it is.
fn words(space: &str, value: &str) -> String {
    let app = people_app(space);
    if app.is_empty() { value.to_owned() } else { format!("{app} id {value}") }
}

fn people_app(space: &str) -> &str {
    let of_app = space != Space::Phone.word() && space != Space::Email.word();
    if of_app { space.strip_prefix("app ").unwrap_or(space) } else { "" }
}

/// Disjoint sets with the smallest member as root (Galler and Fischer, 1964; paths halved).
struct Forest(Vec<i64>);

impl Forest {
    fn new(rows: i64) -> Forest {
        Forest((0..=rows).collect())
    }

    fn up(&self, number: i64) -> i64 {
        usize::try_from(number).ok().and_then(|place| self.0.get(place)).copied().unwrap_or(number)
    }

    fn root(&mut self, mut number: i64) -> i64 {
        while self.up(number) != number {
            let next = self.up(self.up(number));
            self.set(number, next);
            number = next;
        }
        number
    }

    fn set(&mut self, number: i64, up: i64) {
        if let Some(place) = usize::try_from(number).ok().and_then(|place| self.0.get_mut(place)) {
            *place = up;
        }
    }

    fn join(&mut self, a: i64, b: i64) {
        let (a, b) = (self.root(a), self.root(b));
        self.set(a.max(b), a.min(b));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_links_is_joined_and_no_more() {
        let mut forest = Forest::new(6);
        forest.join(5, 3);
        forest.join(6, 5);
        forest.join(1, 2);
        let roots: Vec<i64> = (1..=6).map(|number| forest.root(number)).collect();
        assert_eq!(roots, [1, 1, 3, 4, 3, 3]);
    }
}
