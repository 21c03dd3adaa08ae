//! The files of a report: one page, or an index and a folder of pages.
//!
//! The rule: at most [`ROWS_ON_ONE_PAGE`] rows of messages, calls, contacts, wallets' places, problems and the like are one page. A report
//! with more is paged: the index is the file asked for, everything long stands in the folder beside it (`report.html`, `report_files/`),
//! at most [`ROWS_A_PAGE`] rows a page. Pages are written as they come; what is kept in memory is one row.

use super::markup::{Markup, thousands};
use crate::Error;
use crate::bundle::checkpoint::base64;
use crate::exchange::{Output, Sheet};
use askama::Template;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Rows that a report may have to be one page.
pub const ROWS_ON_ONE_PAGE: u64 = 5_000;
/// Rows of one page of a folder.
pub const ROWS_A_PAGE: usize = 2_000;

/// Characters of a word that a table does not break.
const LONGEST_WORD: usize = 32;

const STYLE: &str = include_str!("../../templates/report/style.css");

/// Sections in the order of the navigation: key, title, whether it stays on the index of a paged report.
const SECTIONS: &[(&str, &str, bool)] = &[
    ("glance", "At a glance", true),
    ("exhibits", "Exhibits", true),
    ("timeline", "Timeline", true),
    ("people", "Who talks with whom", true),
    ("persons", "Linked accounts", false),
    ("shared", "Shared", true),
    ("wallets", "Wallets", false),
    ("chats", "Chats", false),
    ("conversations", "Conversations", false),
    ("calls", "Calls", false),
    ("contacts", "Contacts", false),
    ("owners", "Owners", false),
    ("devices", "Devices", false),
    ("secrets", "Secrets", false),
    ("ledger", "Ledger", false),
    ("problems", "Problems", false),
    ("custody", "Custody", false),
    ("verify", "How to verify", true),
];

#[derive(Template)]
#[template(path = "report/head.html")]
struct Head<'a> {
    title: &'a str,
    style: &'static str,
    style_hash: &'a str,
    /// Where each leads to, its name, and whether it is here.
    links: Vec<(String, &'static str, bool)>,
    index: bool,
    subject: &'a Markup,
}

/// The files on their way.
pub struct Pages {
    index: Sheet,
    index_output: Output,
    folder: Option<Output>,
    folder_name: String,
    index_name: String,
    style_hash: String,
    title: String,
    /// Cases and exhibits, on every page: a printed one goes its own way.
    subject: Markup,
    /// Some bundle is a part: what is not there may have been left out.
    pub partial: bool,
}

impl Pages {
    /// Begins a report at a path; `paged`: with a folder beside it.
    pub fn begin(out: &Path, title: &str, subject: Markup, paged: bool) -> Result<Pages, Error> {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let folder = folder_beside(out);
        if paged && folder.exists() {
            let source =
                std::io::Error::new(std::io::ErrorKind::AlreadyExists, "an earlier report's pages are there; remove them first");
            return Err(Error::Io { path: folder, source });
        }
        let mut index_output = Output::new(out);
        let mut pages = Pages {
            index: index_output.single()?,
            index_output,
            folder: paged.then(|| Output::new(&folder)),
            folder_name: name(&folder),
            index_name: name(out),
            style_hash: format!("sha256-{}", base64(&Sha256::digest(STYLE.as_bytes()))),
            title: title.to_owned(),
            subject,
            partial: false,
        };
        let head = pages.head(None)?;
        pages.index.put(head.as_bytes())?;
        Ok(pages)
    }

    /// Whether there is a folder of pages.
    pub fn is_paged(&self) -> bool {
        self.folder.is_some()
    }

    /// Where a place of a section is, as seen from another: `from_index` or from a page of the folder.
    pub fn target(&self, key: &str, page: i64, place: &str, from_index: bool) -> String {
        let stays = SECTIONS.iter().any(|(known, _, stays)| *known == key && *stays);
        match (self.is_paged(), stays, from_index) {
            (false, ..) | (true, true, true) => format!("#{place}"),
            (true, true, false) => format!("../{}#{place}", percent(&self.index_name)),
            (true, false, true) => format!("{}/{key}-{page}.html#{place}", percent(&self.folder_name)),
            (true, false, false) => format!("{key}-{page}.html#{place}"),
        }
    }

    /// The head of a page of a section, or of the index.
    fn head(&self, of: Option<&str>) -> Result<String, Error> {
        let index = of.is_none();
        let link = |(key, title, _): &(&str, &'static str, bool)| (self.target(key, 1, key, index), *title, of == Some(*key));
        let links = SECTIONS.iter().map(link).collect();
        rendered(&Head { title: &self.title, style: STYLE, style_hash: &self.style_hash, links, index, subject: &self.subject })
    }

    /// Begins a section.
    pub fn section(&mut self, key: &'static str, note: &str) -> Result<Section<'_>, Error> {
        let (title, stays) =
            SECTIONS.iter().find(|(known, ..)| *known == key).map_or((key, true), |(_, title, stays)| (*title, *stays));
        let mut section = Section {
            apart: self.is_paged() && !stays,
            pages: self,
            sheet: None,
            key,
            title,
            note: note.to_owned(),
            opening: String::new(),
            numeric: Vec::new(),
            closing: "",
            open: false,
            rows: 0,
            page: 0,
            held: String::new(),
        };
        section.turn()?;
        Ok(section)
    }

    /// Ends the index and gives every file its name; what was written, the index first.
    pub fn finish(mut self) -> Result<Vec<PathBuf>, Error> {
        self.index.put(b"</main></body></html>\n")?;
        self.index.end()?;
        // Pages first: whoever sees the index finds them.
        let pages = self.folder.map_or_else(|| Ok(Vec::new()), Output::finish)?;
        let mut written = self.index_output.finish()?;
        written.extend(pages);
        Ok(written)
    }
}

/// `report.html` has its pages in `report_files`.
fn folder_beside(out: &Path) -> PathBuf {
    let mut name = out.file_stem().unwrap_or_default().to_owned();
    name.push("_files");
    out.with_file_name(name)
}

/// A file name as a part of a link.
fn percent(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// A template's markup.
///
/// # Errors
/// That it cannot be made: a page without it would look as if there were nothing to show.
pub fn rendered(template: &impl Template) -> Result<String, Error> {
    template.render().map_err(Error::Template)
}

/// A section on its way, over as many pages as it takes.
pub struct Section<'p> {
    pages: &'p mut Pages,
    sheet: Option<Sheet>,
    apart: bool,
    key: &'static str,
    title: &'static str,
    note: String,
    opening: String,
    /// Which columns of the table are numbers.
    numeric: Vec<bool>,
    closing: &'static str,
    open: bool,
    rows: usize,
    page: i64,
    held: String,
}

impl Section<'_> {
    /// The page that the next row stands on, from 1.
    pub fn page_of_next(&self) -> i64 {
        if self.apart && self.rows >= ROWS_A_PAGE { self.page + 1 } else { self.page.max(1) }
    }

    /// Where a place is, as seen from here.
    pub fn target(&self, key: &str, page: i64, place: &str) -> String {
        self.pages.target(key, page, place, !self.apart)
    }

    /// Appends markup that is no row.
    pub fn put(&mut self, markup: &str) -> Result<(), Error> {
        match &mut self.sheet {
            Some(sheet) => sheet.put(markup.as_bytes()),
            None => self.pages.index.put(markup.as_bytes()),
        }
    }

    /// Opens what rows stand in; it is closed at a page's end and opened again on the next.
    pub fn open(&mut self, opening: String, closing: &'static str) -> Result<(), Error> {
        self.close()?;
        self.numeric.clear();
        (self.opening, self.closing) = (opening, closing);
        Ok(())
    }

    /// Opens a table with these heads; `#` begins that of a column of numbers.
    pub fn table(&mut self, heads: &[&str]) -> Result<(), Error> {
        self.table_of("", heads)
    }

    /// Opens a table below a title of its own.
    pub fn table_of(&mut self, title: &str, heads: &[&str]) -> Result<(), Error> {
        let title = if title.is_empty() { String::new() } else { format!("<h3>{title}</h3>\n") };
        let head = |head: &&str| match head.strip_prefix('#') {
            Some(head) => format!("<th class=\"n\">{head}</th>"),
            None => format!("<th>{head}</th>"),
        };
        let row: String = heads.iter().map(head).collect();
        self.open(format!("{title}<table><thead><tr>{row}</tr></thead><tbody>\n"), "</tbody></table>\n")?;
        self.numeric = heads.iter().map(|head| head.starts_with('#')).collect();
        Ok(())
    }

    /// One row of a table.
    pub fn cells(&mut self, cells: &[Markup]) -> Result<(), Error> {
        self.cells_at("", cells)
    }

    /// One row of a table that links lead to; `place` is Haul's own.
    pub fn cells_at(&mut self, place: &str, cells: &[Markup]) -> Result<(), Error> {
        let mut row = std::mem::take(&mut self.held);
        row.clear();
        row.push_str(&if place.is_empty() { "<tr>".to_owned() } else { format!("<tr id=\"{place}\">") });
        for (place, cell) in cells.iter().enumerate() {
            let class = match self.numeric.get(place) {
                Some(true) => " class=\"n\"",
                // Words of a usual length are never broken: a column of numbers would be cut to pieces beside a long text.
                _ if cell.longest_word() <= LONGEST_WORD => " class=\"w\"",
                _ => "",
            };
            row.push_str(&format!("<td{class}>{cell}</td>"));
        }
        row.push_str("</tr>\n");
        let put = self.row(&row);
        self.held = row;
        put
    }

    /// One row, on the next page if this one is full.
    pub fn row(&mut self, markup: &str) -> Result<(), Error> {
        if self.apart && self.rows >= ROWS_A_PAGE {
            self.turn()?;
        }
        if !self.open && !self.opening.is_empty() {
            let opening = self.opening.clone();
            self.put(&opening)?;
            self.open = true;
        }
        self.rows += 1;
        self.put(markup)
    }

    fn close(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.open) { self.put(self.closing) } else { Ok(()) }
    }

    /// Ends the page and begins the next.
    fn turn(&mut self) -> Result<(), Error> {
        self.close()?;
        let next = self.page + 1;
        if self.apart {
            if let Some(mut sheet) = self.sheet.take() {
                sheet.put(turns(self.key, self.page, true).as_bytes())?;
                end(sheet)?;
            }
            let head = self.pages.head(Some(self.key))?;
            if let Some(folder) = &mut self.pages.folder {
                let mut sheet = folder.member(&format!("{}-{next}.html", self.key))?;
                sheet.put(head.as_bytes())?;
                self.sheet = Some(sheet);
            }
        }
        (self.page, self.rows) = (next, 0);
        let (key, title, note) = (self.key, self.title, std::mem::take(&mut self.note));
        let words = if next > 1 { format!(", page {}", thousands(next)) } else { String::new() };
        self.put(&format!("<section id=\"{key}\"><h2>{title}{words}</h2>\n"))?;
        if !note.is_empty() {
            self.put(&format!("<p class=\"note\">{note}</p>\n"))?;
        }
        if next > 1 {
            self.put(&turns(key, next, false))?;
        }
        Ok(())
    }

    /// Ends the section; `empty` is said if it has no row.
    pub fn finish(mut self, empty: &str) -> Result<(), Error> {
        self.close()?;
        if self.page == 1 && self.rows == 0 && !empty.is_empty() {
            let part = if self.pages.partial { " Only a part of a bundle was given: this may have been left out." } else { "" };
            self.put(&format!("<p class=\"empty\">{empty}{part}</p>\n"))?;
        }
        match self.sheet.take() {
            Some(mut sheet) => {
                if self.page > 1 {
                    sheet.put(turns(self.key, self.page, false).as_bytes())?;
                }
                end(sheet)
            }
            None => self.put("</section>\n"),
        }
    }
}

/// Links from a page of a section to the first, the one before, and the next if there is one.
fn turns(key: &str, page: i64, next: bool) -> String {
    let mut links = Vec::new();
    if page > 2 {
        links.push(format!("<a href=\"{key}-1.html\">first page</a>"));
    }
    if page > 1 {
        links.push(format!("<a rel=\"prev\" href=\"{key}-{0}.html\">← page {0}</a>", page - 1));
    }
    if next {
        links.push(format!("<a rel=\"next\" href=\"{key}-{0}.html\">page {0} →</a>", page + 1));
    }
    format!("<p class=\"turn\">{}</p>\n", links.join(" · "))
}

fn end(mut sheet: Sheet) -> Result<(), Error> {
    sheet.put(b"</section></main></body></html>\n")?;
    sheet.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_links_and_nothing_else() {
        assert_eq!(percent("a b\"<.html"), "a%20b%22%3C.html");
        assert_eq!(folder_beside(Path::new("/x/report.html")), Path::new("/x/report_files"));
    }

    #[test]
    fn a_long_section_goes_over_pages_that_are_linked() {
        let folder = tempfile::tempdir().unwrap();
        let mut pages = Pages::begin(&folder.path().join("r.html"), "T", Markup::nothing(), true).unwrap();
        let mut section = pages.section("calls", "").unwrap();
        section.table(&["n"]).unwrap();
        for number in 0..=ROWS_A_PAGE {
            section.cells(&[Markup::number(number as i64)]).unwrap();
        }
        assert_eq!(section.page_of_next(), 2);
        section.finish("").unwrap();
        let written = pages.finish().unwrap();
        let names: Vec<_> = written.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["r.html", "calls-1.html", "calls-2.html"]);
        let read = |place: usize| std::fs::read_to_string(&written[place]).unwrap();
        assert!(read(0).contains("href=\"r_files/calls-1.html#calls\""));
        assert!(read(1).contains("href=\"calls-2.html\"") && read(1).contains("href=\"../r.html#timeline\""));
        assert!(read(2).contains("href=\"calls-1.html\"") && read(2).contains("<td class=\"w\">2,000</td>"));
        for place in 1..3 {
            assert_eq!(read(place).matches("<table>").count(), read(place).matches("</table>").count());
        }
        let again = Pages::begin(&folder.path().join("r.html"), "T", Markup::nothing(), true);
        assert!(matches!(again, Err(Error::Io { .. })), "pages of an earlier report are never mixed with new ones");
    }

    #[test]
    fn the_policy_names_the_stylesheet_by_its_hash_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let pages = Pages::begin(&folder.path().join("r.html"), "T", Markup::nothing(), false).unwrap();
        let written = pages.finish().unwrap();
        let page = std::fs::read_to_string(&written[0]).unwrap();
        let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
        let hash = base64(&Sha256::digest(style.as_bytes()));
        assert!(page.contains(&format!(
            "content=\"default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'\""
        )));
        assert!(!page.contains("style=\"") && !page.contains("<script") && !page.contains("http:") && !page.contains("https:"));
    }
}
