//! Wallets with where they were seen and who sent them, and what several exhibits share.

use super::Report;
use super::integrity::spot;
use super::markup::Markup;
use super::pages::{Pages, Section, rendered};
use super::scratch::failed;
use crate::Error;
use askama::Template;

/// Places shown of one wallet; how many there are in all is said.
const PLACES_SHOWN: i64 = 25;
/// Senders shown of one wallet.
const SENDERS_SHOWN: i64 = 12;
/// Shared values shown; how many there are in all is said.
const SHARED_SHOWN: i64 = 500;

/// Every value on at least two exhibits, the most widespread first.
pub fn shared(report: &Report, pages: &mut Pages) -> Result<(), Error> {
    let note = "The same value on several exhibits. It says where a value was seen, not that two persons are one.";
    let mut section = pages.section("shared", note)?;
    if report.names.len() < 2 {
        return section.finish("One exhibit: nothing to compare it with.");
    }
    let scratch = &report.scratch;
    for source in &report.sources {
        let sql = "SELECT id, kind, value, chain, validity FROM observable ORDER BY id";
        source.each("", sql, &mut |cells| {
            let values = rusqlite::params![cells.text(0), cells.text(1), cells.text(2), cells.text(3), cells.text(4)];
            scratch.put("INSERT OR IGNORE INTO observable VALUES (?1, ?2, ?3, ?4, ?5)", values)
        })?;
        let sql = "SELECT observable_id, exhibit_id, count(*) FROM sighting GROUP BY 1, 2 ORDER BY 1, 2";
        source.each("", sql, &mut |cells| {
            // One exhibit in two bundles is one exhibit.
            scratch.put(
                "INSERT INTO seen VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET sightings = max(sightings, excluded.sightings)",
                rusqlite::params![cells.text(0), cells.text(1), cells.integer(2)],
            )
        })?;
    }
    let all = scratch.number("SELECT count(*) FROM (SELECT 1 FROM seen GROUP BY observable HAVING count(*) > 1)", [])?;
    if all > SHARED_SHOWN {
        let words = format!(
            "<p>The first {} of {} are shown; <code>haul match</code> lists all.</p>\n",
            SHARED_SHOWN,
            Markup::number(all)
        );
        section.put(&words)?;
    }
    section.table(&["Value", "Kind", "Chain", "Checked by", "#Exhibits", "#Sightings", "On"])?;
    let sql = "SELECT observable.id, kind, value, chain, validity, count(*), sum(sightings) FROM seen
        JOIN observable ON observable.id = seen.observable GROUP BY observable.id HAVING count(*) > 1
        ORDER BY kind = 'wallet_address' DESC, count(*) DESC, sum(sightings) DESC, kind, value, observable.id LIMIT ?1";
    scratch.each(sql, [SHARED_SHOWN], &mut |row| {
        let id: String = row.get(0).map_err(failed)?;
        let mut on = Vec::new();
        scratch.each("SELECT exhibit, sightings FROM seen WHERE observable = ?1 ORDER BY exhibit", [&id], &mut |row| {
            let exhibit: Option<String> = row.get(0).map_err(failed)?;
            let count: i64 = row.get(1).map_err(failed)?;
            let words = format!("{} ×{count}", report.exhibit(exhibit.as_deref()));
            on.push(Markup::text(&words, &report.mask));
            Ok(())
        })?;
        let text = |place: usize| -> Result<Markup, Error> {
            let text: Option<String> = row.get(place).map_err(failed)?;
            Ok(Markup::maybe(text.as_deref(), &report.mask))
        };
        let number = |place: usize| row.get(place).map(Markup::number).map_err(failed);
        section.cells(&[text(2)?, text(1)?, text(3)?, text(4)?, number(5)?, number(6)?, Markup::joined(&on, ", ")])
    })?;
    section.finish("The exhibits share no value.")
}

/// Where wallets were seen, message and sender if it was in one.
const PLACES: &str =
    "SELECT observable.id, observable.value, observable.chain, observable.validity, sighting.id, sighting.exhibit_id,
        item.path, sighting.row_table, sighting.row_id, sighting.byte_offset, message.id, message.app, message.sender,
        coalesce(account_name.name, contact_name.name), message.outgoing, message.sent_time
    FROM observable LEFT JOIN sighting ON sighting.observable_id = observable.id
    LEFT JOIN item ON item.id = sighting.item_id
    LEFT JOIN message ON message.id = sighting.record_id
    LEFT JOIN account_name ON account_name.exhibit = message.exhibit_id AND account_name.app = message.app
                          AND account_name.account_key = message.sender
    LEFT JOIN contact_name ON contact_name.exhibit = message.exhibit_id
                          AND contact_name.value = coalesce(account_name.phone, message.sender)
    WHERE observable.kind = 'wallet_address' ORDER BY observable.id, sighting.id";

#[derive(Template)]
#[template(path = "report/wallet.html")]
struct Wallet {
    id: String,
    value: Markup,
    chain: Markup,
    validity: &'static str,
    exhibits: i64,
    places: i64,
    shown: i64,
    first: Markup,
    last: Markup,
    senders: Vec<(Markup, i64)>,
    senders_more: i64,
}

/// A card for each wallet: the one on the most exhibits first, then that of the most messages, then the most often seen.
pub fn wallets(report: &Report, pages: &mut Pages) -> Result<(), Error> {
    let scratch = &report.scratch;
    for source in &report.sources {
        source.each("", PLACES, &mut |cells| {
            let text = |place: usize| cells.text(place);
            let values = rusqlite::params![text(0), text(1), text(2), text(3)];
            scratch.put("INSERT OR IGNORE INTO observable VALUES (?1, 'wallet_address', ?2, ?3, ?4)", values)?;
            if cells.text(4).is_none() {
                return Ok(());
            }
            let spot = spot(cells.text(7).as_deref(), cells.integer(8), cells.integer(9));
            scratch.put(
                "INSERT OR IGNORE INTO place VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                rusqlite::params![
                    text(0),
                    cells.integer(15),
                    text(4),
                    text(5),
                    text(6),
                    spot,
                    text(10),
                    text(11),
                    text(12),
                    text(13),
                    cells.integer(14)
                ],
            )
        })?;
    }
    let note = "Addresses with where they were seen and who sent them. One whose check failed is no wallet and not here.";
    let mut section = pages.section("wallets", note)?;
    let sql = "SELECT observable.id, value, chain, validity, count(DISTINCT exhibit), count(sighting), min(time), max(time), count(DISTINCT message)
        FROM observable LEFT JOIN place ON place.wallet = observable.id WHERE kind = 'wallet_address' GROUP BY observable.id
        ORDER BY 5 DESC, 9 DESC, 6 DESC, chain, value, observable.id";
    scratch.each(sql, [], &mut |row| {
        let wallet = wallet(report, row)?;
        let id = wallet.id.clone();
        section.open(rendered(&wallet)?, "</tbody></table></article>\n")?;
        places(report, &mut section, &id)
    })?;
    section.finish("No wallet addresses were found.")
}

fn wallet(report: &Report, row: &rusqlite::Row<'_>) -> Result<Wallet, Error> {
    let text = |place: usize| row.get::<_, Option<String>>(place).map_err(failed);
    let number = |place: usize| row.get::<_, i64>(place).map_err(failed);
    let time = |place: usize| row.get::<_, Option<i64>>(place).map(|time| Markup::time(time, None)).map_err(failed);
    let id = text(0)?.unwrap_or_default();
    let senders = "FROM place WHERE wallet = ?1 AND message IS NOT NULL GROUP BY exhibit, app, outgoing, sender, name";
    let mut named = Vec::new();
    let sql = format!(
        "SELECT exhibit, app, outgoing, sender, name, count(DISTINCT message) {senders} ORDER BY 6 DESC, 1, 2, 4, 5 LIMIT ?2"
    );
    report.scratch.each(&sql, rusqlite::params![id, SENDERS_SHOWN], &mut |row| {
        let text = |place: usize| row.get::<_, Option<String>>(place).map_err(failed);
        let outgoing = row.get::<_, Option<i64>>(2).map_err(failed)? == Some(1);
        named.push((sender(report, text(0)?, text(1)?, outgoing, text(3)?, text(4)?), row.get(5).map_err(failed)?));
        Ok(())
    })?;
    let all = report.scratch.number(&format!("SELECT count(*) FROM (SELECT 1 {senders})"), [&id])?;
    let places = number(5)?;
    Ok(Wallet {
        value: Markup::maybe(text(1)?.as_deref(), &report.mask),
        chain: Markup::maybe(text(2)?.as_deref(), &report.mask),
        validity: match text(3)?.as_deref() {
            Some("checksum") => "checksum verified",
            Some("format") => "format only, it has no checksum",
            Some("context") => "weak alone, held up by what stands beside it",
            _ => "not told",
        },
        exhibits: number(4)?,
        places,
        shown: places.min(PLACES_SHOWN),
        first: time(6)?,
        last: time(7)?,
        senders_more: all - i64::try_from(named.len()).unwrap_or(0),
        senders: named,
        id,
    })
}

/// Who sent a message, as far as the bundle tells.
fn sender(
    report: &Report,
    exhibit: Option<String>,
    app: Option<String>,
    outgoing: bool,
    key: Option<String>,
    name: Option<String>,
) -> Markup {
    let exhibit = report.exhibit(exhibit.as_deref());
    let who = match (name, key) {
        (Some(name), Some(key)) if name != key => format!("{name} ({key})"),
        (Some(who), _) | (None, Some(who)) => who,
        (None, None) if outgoing => format!("device {exhibit}"),
        (None, None) => "sender not told".to_owned(),
    };
    let way = if outgoing { "sent from" } else { "received on" };
    let whole = [
        Markup::text(&who, &report.mask),
        Markup::maybe(app.as_deref(), &report.mask),
        Markup::joined(&[Markup::word(way), Markup::text(exhibit, &report.mask)], " "),
    ];
    Markup::joined(&whole, ", ")
}

fn places(report: &Report, section: &mut Section<'_>, wallet: &str) -> Result<(), Error> {
    let sql = "SELECT exhibit, time, app, outgoing, sender, name, path, spot, place.message, chat_of.page FROM place
        LEFT JOIN chat_of ON chat_of.message = place.message WHERE wallet = ?1
        ORDER BY time IS NULL, time, place.message IS NULL, exhibit, path, sighting LIMIT ?2";
    let mut rows = 0;
    report.scratch.each(sql, rusqlite::params![wallet, PLACES_SHOWN], &mut |row| {
        rows += 1;
        let text = |place: usize| row.get::<_, Option<String>>(place).map_err(failed);
        let outgoing = row.get::<_, Option<i64>>(3).map_err(failed)? == Some(1);
        let time = Markup::time(row.get(1).map_err(failed)?, None);
        let (exhibit, message) = (text(0)?, text(8)?);
        let who = match &message {
            Some(_) => sender(report, exhibit.clone(), text(2)?, outgoing, text(4)?, text(5)?),
            None => Markup::nothing(),
        };
        let link = match (&message, row.get::<_, Option<i64>>(9).map_err(failed)?) {
            (Some(id), page) => {
                let target = section.target("conversations", page.unwrap_or(1), &format!("m{id}"));
                Markup::link(&target, &Markup::word("message"))
            }
            (None, _) => Markup::nothing(),
        };
        let [path, spot] = [6, 7].map(text);
        section.cells(&[
            Markup::text(report.exhibit(exhibit.as_deref()), &report.mask),
            time,
            who,
            link,
            Markup::maybe(path?.as_deref(), &report.mask),
            Markup::maybe(spot?.as_deref(), &report.mask),
        ])
    })?;
    if rows == 0 {
        section.row("<tr><td colspan=\"6\">The bundle does not say where.</td></tr>\n")?;
    }
    Ok(())
}
