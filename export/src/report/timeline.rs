//! The timeline as a picture: how many messages, calls and visits in each stretch of time, and a lane for each exhibit.
//!
//! Whole numbers only, so that the picture is the same on every machine.

use super::Report;
use super::markup::{Markup, thousands, utc};
use super::pages::{Pages, rendered};
use crate::Error;
use askama::Template;
use std::collections::BTreeMap;

const DAY_US: i64 = 86_400_000_000;
/// Days that are counted one by one: 1990-01-01 to 2100-01-01. Times beyond are counted together; a phone's clock has no say on memory.
const DAYS: std::ops::Range<i64> = 7_305..47_482;
/// Most bars of a picture.
const BARS: i64 = 160;
/// Exhibits with a lane of their own.
const LANES: usize = 60;
/// Of a thousand records, how many may lie outside of the picture at each end: one message of 1990 does not squeeze the rest.
const OUTSIDE_PER_MILLE: i64 = 2;

const LEFT: i64 = 120;
const WIDTH: i64 = 860;
const HEIGHT: i64 = 180;
const LANE: i64 = 20;

const KINDS: [(&str, &str); 3] = [("message", "sent_time"), ("call", "start_time"), ("visit", "visit_time")];

/// Records by exhibit and day, one count a kind.
#[derive(Default)]
struct Days {
    exhibits: BTreeMap<String, BTreeMap<i64, [i64; 3]>>,
    all: BTreeMap<i64, [i64; 3]>,
    beyond: i64,
    untimed: i64,
}

impl Days {
    fn read(report: &Report) -> Result<Days, Error> {
        let mut days = Days::default();
        for source in &report.sources {
            for (kind, (table, time)) in KINDS.iter().enumerate() {
                let sql = format!("SELECT exhibit_id, {time} / {DAY_US}, count(*) FROM {table} GROUP BY 1, 2 ORDER BY 1, 2");
                source.each("", &sql, &mut |cells| {
                    days.add(kind, cells.text(0).unwrap_or_default(), cells.integer(1), cells.integer(2).unwrap_or(0));
                    Ok(())
                })?;
            }
        }
        Ok(days)
    }

    fn add(&mut self, kind: usize, exhibit: String, day: Option<i64>, count: i64) {
        let Some(day) = day else {
            self.untimed += count;
            return;
        };
        if !DAYS.contains(&day) {
            self.beyond += count;
            return;
        }
        let of_exhibit = self.exhibits.entry(exhibit).or_default();
        for days in [&mut self.all, of_exhibit] {
            if let Some(counted) = days.entry(day).or_default().get_mut(kind) {
                *counted += count;
            }
        }
    }

    /// First and last day of the picture, and how many records lie before and after.
    fn span(&self) -> Option<(i64, i64, i64, i64)> {
        let total: i64 = self.all.values().flatten().sum();
        let may = total * OUTSIDE_PER_MILLE / 1000;
        let edge = |days: &mut dyn Iterator<Item = (&i64, &[i64; 3])>| {
            let mut outside = 0;
            for (day, counts) in days {
                let count: i64 = counts.iter().sum();
                if outside + count > may {
                    return Some((*day, outside));
                }
                outside += count;
            }
            None
        };
        let (first, before) = edge(&mut self.all.iter())?;
        let (last, after) = edge(&mut self.all.iter().rev())?;
        (first <= last).then_some((first, last, before, after))
    }
}

struct Bar {
    x: i64,
    y: i64,
    width: i64,
    height: i64,
    class: &'static str,
    title: String,
}

struct Mark {
    x: i64,
    words: String,
}

struct Lane {
    y: i64,
    name: Markup,
    cells: Vec<Cell>,
}

struct Cell {
    x: i64,
    width: i64,
    /// Hundredths.
    opacity: i64,
    title: String,
}

#[derive(Template)]
#[template(path = "report/timeline.svg")]
struct Picture {
    height: i64,
    base: i64,
    axis_y: i64,
    top: String,
    bars: Vec<Bar>,
    marks: Vec<Mark>,
    lanes: Vec<Lane>,
    stretch: String,
}

/// Writes the picture with what it leaves out.
pub fn timeline(report: &Report, pages: &mut Pages) -> Result<(), Error> {
    let days = Days::read(report)?;
    let mut section =
        pages.section("timeline", "Messages, calls and visited pages by the time that the devices gave them, UTC.")?;
    let Some((first, last, before, after)) = days.span() else { return section.finish("Nothing has a time.") };
    section.row(&rendered(&picture(report, &days, first, last))?)?;
    let mut outside = Vec::new();
    for (count, words) in [
        (before, "before it"),
        (after, "after it"),
        (days.beyond, "before 1990 or after 2099"),
        (days.untimed, "without a UTC time"),
    ] {
        if count > 0 {
            outside.push(format!("{} {words}", thousands(count)));
        }
    }
    if days.exhibits.len() > LANES {
        outside.push(format!("lanes of {} more exhibits", days.exhibits.len() - LANES));
    }
    if !outside.is_empty() {
        section.put(&format!("<p class=\"note\">Not in the picture: {}.</p>\n", outside.join(", ")))?;
    }
    section.finish("")
}

/// Days of one bar: the shortest stretch of these with at most [`BARS`] bars.
fn stretch(days: i64) -> (i64, &'static str) {
    let stretches = [(1, "a day"), (7, "a week"), (28, "four weeks"), (91, "a quarter"), (365, "a year")];
    stretches.into_iter().find(|(length, _)| days / length < BARS).unwrap_or((365, "a year"))
}

fn date(day: i64) -> String {
    utc(day.saturating_mul(DAY_US)).and_then(|time| time.get(..10).map(str::to_owned)).unwrap_or_default()
}

fn gathered(days: &BTreeMap<i64, [i64; 3]>, first: i64, last: i64, length: i64) -> BTreeMap<i64, [i64; 3]> {
    let mut bars: BTreeMap<i64, [i64; 3]> = BTreeMap::new();
    for (day, counts) in days.range(first..=last) {
        let bar = bars.entry((day - first) / length).or_default();
        bar.iter_mut().zip(counts).for_each(|(bar, count)| *bar += count);
    }
    bars
}

fn picture(report: &Report, days: &Days, first: i64, last: i64) -> Picture {
    let (length, stretch) = stretch(last - first + 1);
    let count = (last - first) / length + 1;
    let place = |bar: i64| LEFT + bar * WIDTH / count;
    let width = |bar: i64| (place(bar + 1) - place(bar) - 1).max(1);
    let gathered_all = gathered(&days.all, first, last, length);
    let most = gathered_all.values().map(|counts| counts.iter().sum::<i64>()).max().unwrap_or(1).max(1);
    let base = 24 + HEIGHT;
    let mut bars = Vec::new();
    for (bar, counts) in &gathered_all {
        let mut y = base;
        for (kind, number) in counts.iter().enumerate().filter(|(_, number)| **number > 0) {
            let height = (number * HEIGHT / most).max(1);
            y -= height;
            let class = KINDS.get(kind).map_or("", |(name, _)| name);
            let title = format!("{}: {} {class}s", date(first + bar * length), thousands(*number));
            bars.push(Bar { x: place(*bar), y, width: width(*bar), height, class, title });
        }
    }
    let one = days.exhibits.len() == 1;
    let lanes: Vec<Lane> = days
        .exhibits
        .iter()
        .filter(|_| !one)
        .take(LANES)
        .enumerate()
        .map(|(row, (exhibit, counted))| {
            let counted = gathered(counted, first, last, length);
            let most = counted.values().map(|counts| counts.iter().sum::<i64>()).max().unwrap_or(1).max(1);
            let cells = counted.iter().map(|(bar, counts)| {
                let sum: i64 = counts.iter().sum();
                let title = format!("{}: {}", date(first + bar * length), thousands(sum));
                Cell { x: place(*bar), width: width(*bar), opacity: 15 + 85 * sum / most, title }
            });
            Lane {
                y: base + 34 + i64::try_from(row).unwrap_or(0) * LANE,
                name: Markup::label(report.exhibit(Some(exhibit)), &report.mask, 16),
                cells: cells.collect(),
            }
        })
        .collect();
    Picture {
        height: base + 34 + i64::try_from(lanes.len()).unwrap_or(0) * LANE,
        base,
        axis_y: base + 18,
        top: thousands(most),
        marks: marks(first, count * length, count, &place),
        bars,
        lanes,
        stretch: stretch.to_owned(),
    }
}

/// Dates below the picture, as many as fit.
fn marks(first: i64, days: i64, bars: i64, place: &dyn Fn(i64) -> i64) -> Vec<Mark> {
    let wanted = bars.clamp(1, 8);
    (0..wanted)
        .map(|mark| mark * bars / wanted)
        .map(|bar| Mark { x: place(bar), words: date(first + bar * days / bars) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(counts: &[(i64, i64)]) -> Days {
        let mut days = Days::default();
        for (day, count) in counts {
            days.add(0, "x".to_owned(), Some(*day), *count);
        }
        days
    }

    #[test]
    fn a_stray_day_does_not_squeeze_the_picture() {
        assert_eq!(days(&[(8_000, 1), (20_000, 500), (20_010, 600), (40_000, 1)]).span(), Some((20_000, 20_010, 1, 1)));
        assert_eq!(days(&[(8_000, 1), (20_000, 1)]).span(), Some((8_000, 20_000, 0, 0)));
        let odd = days(&[(i64::MIN, 2), (i64::MAX, 3)]);
        assert_eq!((odd.span(), odd.beyond, odd.all.len()), (None, 5, 0));
    }

    #[test]
    fn any_span_fits_into_the_bars() {
        for span in [1, 100, 1_000, 10_000, 40_000] {
            assert!(span / stretch(span).0 <= BARS, "{span}");
        }
        assert_eq!((date(0), date(19_723)), ("1970-01-01".to_owned(), "2024-01-01".to_owned()));
        let all = days(&[(8_000, 4), (8_006, 1), (8_007, 1)]).all;
        assert_eq!(gathered(&all, 8_000, 8_010, 7), BTreeMap::from([(0, [5, 0, 0]), (1, [1, 0, 0])]));
    }
}
