//! The text that a content stream shows (PDF 32000-1, 9.4), in the order in which it is shown.
//!
//! A writer may place every word, or every letter, by itself. What continues a line where the last piece ended is one word with it;
//! what stands a little behind is the next word; anything else begins a new line.

use super::filter;
use super::font::Font;
use hayro_cmap::BfString;
use hayro_syntax::content::UntypedIter;
use hayro_syntax::object::{Array, Dict, Number, Object, ObjectIdentifier, Stream};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// Forms inside of forms that are followed.
const FORMS_MOST: usize = 12;
/// Saved graphics states.
const STATES_MOST: usize = 512;
/// A gap of that many sizes of the font parts words.
const WORD_GAP: f64 = 0.15;
/// A step back of that many sizes begins something new.
const BACK_MOST: f64 = 0.5;
/// A step aside of that many sizes begins a line.
const LINE_STEP: f64 = 0.5;

/// What may still be read of a document.
pub struct Budget {
    /// Operators.
    pub operators: u64,
    /// Bytes of text.
    pub text_bytes: usize,
    /// Bytes of one unpacked stream.
    pub stream_bytes: usize,
}

/// What is known of a document while its streams are read.
pub struct Known<'d> {
    fonts: HashMap<ObjectIdentifier, Rc<Font>>,
    /// Streams whose text was taken.
    pub shown: HashSet<ObjectIdentifier>,
    /// Streams that could not be unpacked whole, and why.
    pub damaged: Vec<(ObjectIdentifier, &'static str)>,
    /// What may still be read.
    pub budget: Budget,
    document: std::marker::PhantomData<&'d ()>,
}

/// `a b c d e f` of a matrix (8.3.3).
type Matrix = [f64; 6];
const IDENTITY: Matrix = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0];

fn multiplied(first: &Matrix, then: &Matrix) -> Matrix {
    let [a, b, c, d, e, f] = *first;
    let [g, h, i, j, k, l] = *then;
    [a * g + b * i, a * h + b * j, c * g + d * i, c * h + d * j, e * g + f * i + k, e * h + f * j + l]
}

/// The graphics state, as far as text depends on it.
#[derive(Clone)]
struct State {
    matrix: Matrix,
    font: Rc<Font>,
    size: f64,
    char_spacing: f64,
    word_spacing: f64,
    scale: f64,
    leading: f64,
}

/// Reads the text of one page or form.
pub struct Reader<'k, 'd> {
    known: &'k mut Known<'d>,
    text: String,
    /// Where the last glyph ended on the page, and the size of the font there.
    end: Option<(f64, f64, f64)>,
}

impl Known<'_> {
    /// Of a document of which nothing was read.
    pub fn new(budget: Budget) -> Known<'static> {
        let (fonts, shown, damaged) = (HashMap::new(), HashSet::new(), Vec::new());
        Known { fonts, shown, damaged, budget, document: std::marker::PhantomData }
    }

    /// The text that a content stream shows with those resources.
    pub fn text(&mut self, content: &[u8], resources: &Dict<'_>) -> String {
        let mut reader = Reader { known: self, text: String::new(), end: None };
        reader.stream(content, resources, IDENTITY, 0);
        reader.text
    }

    fn font(&mut self, dict: &Dict<'_>) -> Rc<Font> {
        let Some(id) = dict.obj_id() else { return Rc::new(Font::of(dict)) };
        Rc::clone(self.fonts.entry(id).or_insert_with(|| Rc::new(Font::of(dict))))
    }
}

impl Reader<'_, '_> {
    fn stream(&mut self, content: &[u8], resources: &Dict<'_>, matrix: Matrix, depth: usize) {
        let fonts = resources.get::<Dict<'_>>("Font");
        let first = State {
            matrix,
            font: Rc::new(Font::unknown()),
            size: 1.0,
            char_spacing: 0.0,
            word_spacing: 0.0,
            scale: 1.0,
            leading: 0.0,
        };
        let mut run = Run { state: first, saved: Vec::new(), text: IDENTITY, line: IDENTITY };
        let mut operators = UntypedIter::new(content);
        while let Some(next) = operators.next() {
            let Some(left) = self.known.budget.operators.checked_sub(1) else { return };
            self.known.budget.operators = left;
            if self.text.len() > self.known.budget.text_bytes {
                return;
            }
            let operands: Vec<&Object<'_>> = next.operands().collect();
            match &**next.operator {
                b"Tf" => run.font(&operands, fonts.as_ref(), self.known),
                b"Tj" => self.show(&mut run, operands.last()),
                b"TJ" => self.show_all(&mut run, operands.last()),
                b"'" => {
                    run.next_line();
                    self.show(&mut run, operands.last());
                }
                b"\"" => {
                    if let [word, char, _] = numbers(&operands).as_slice() {
                        (run.state.word_spacing, run.state.char_spacing) = (*word, *char);
                    }
                    run.next_line();
                    self.show(&mut run, operands.last());
                }
                b"Do" => {
                    if let Some(Object::Name(name)) = operands.last() {
                        let form = resources.get::<Dict<'_>>("XObject").and_then(|all| all.get::<Stream<'_>>(&**name));
                        if let Some(form) = form {
                            self.form(&form, resources, &run.state.matrix, depth);
                        }
                    }
                }
                operator => run.set(operator, &numbers(&operands)),
            }
        }
    }

    fn form(&mut self, form: &Stream<'_>, outer: &Dict<'_>, matrix: &Matrix, depth: usize) {
        let dict = form.dict();
        let is_form = dict.get::<hayro_syntax::object::Name<'_>>("Subtype").is_some_and(|kind| &*kind == b"Form");
        if !is_form || depth >= FORMS_MOST {
            return;
        }
        let id = form.obj_id();
        let decoded = filter::decoded(form, self.known.budget.stream_bytes);
        if self.known.shown.insert(id)
            && let Some(trouble) = decoded.trouble
        {
            self.known.damaged.push((id, trouble));
        }
        let own = dict.get::<Array<'_>>("Matrix").map(|matrix| matrix.iter::<Number>().map(|number| number.as_f64()).collect());
        let own: Matrix = own.and_then(|own: Vec<f64>| own.try_into().ok()).unwrap_or(IDENTITY);
        let resources = dict.get::<Dict<'_>>("Resources");
        self.stream(&decoded.bytes, resources.as_ref().unwrap_or(outer), multiplied(&own, matrix), depth + 1);
    }

    fn show_all(&mut self, run: &mut Run, operand: Option<&&Object<'_>>) {
        let Some(Object::Array(pieces)) = operand else { return self.show(run, operand) };
        for piece in pieces.iter::<Object<'_>>() {
            match piece {
                Object::Number(shift) => run.advance(-shift.as_f64() / 1000.0 * run.state.size * run.state.scale),
                piece => self.show(run, Some(&&piece)),
            }
        }
    }

    fn show(&mut self, run: &mut Run, operand: Option<&&Object<'_>>) {
        let Some(Object::String(bytes)) = operand else { return };
        let font = Rc::clone(&run.state.font);
        font.glyphs(bytes, &mut |glyph| {
            self.place(run, font.measured);
            match glyph.text {
                Some(BfString::Char(letter)) => self.push(letter),
                Some(BfString::String(letters)) => letters.chars().for_each(|letter| self.push(letter)),
                None => self.push(char::REPLACEMENT_CHARACTER),
            }
            let state = &run.state;
            let spacing = state.char_spacing + if glyph.space { state.word_spacing } else { 0.0 };
            // Spacing parts letters on the page, not in the text: what continues behind it is the same word.
            run.advance((glyph.width * state.size + spacing) * state.scale);
            self.end = Some(run.point());
        });
    }

    /// Parts the next glyph from the last by where it stands.
    fn place(&mut self, run: &Run, measured: bool) {
        let Some((x, y, size)) = self.end else { return };
        let (next_x, next_y, next_size) = run.point();
        let (along_x, along_y) = run.direction();
        let (dx, dy) = (next_x - x, next_y - y);
        let size = size.max(next_size).max(f64::MIN_POSITIVE);
        let (along, aside) = ((dx * along_x + dy * along_y) / size, (dy * along_x - dx * along_y).abs() / size);
        // Where widths are guessed, where the last piece ended is too.
        let (back, gap) = if measured { (BACK_MOST, WORD_GAP) } else { (2.0, WORD_GAP) };
        if aside > LINE_STEP || along < -back {
            self.part('\n');
        } else if along > gap {
            self.part(' ');
        }
    }

    fn part(&mut self, with: char) {
        if !self.text.is_empty() && !self.text.ends_with(['\n', ' ']) {
            self.text.push(with);
        }
    }

    fn push(&mut self, letter: char) {
        // Letters that are drawn as one are still several.
        match letter {
            '\u{fb00}' => self.text.push_str("ff"),
            '\u{fb01}' => self.text.push_str("fi"),
            '\u{fb02}' => self.text.push_str("fl"),
            '\u{fb03}' => self.text.push_str("ffi"),
            '\u{fb04}' => self.text.push_str("ffl"),
            '\0' => {}
            letter => self.text.push(letter),
        }
    }
}

/// The state of one content stream.
struct Run {
    state: State,
    saved: Vec<State>,
    text: Matrix,
    line: Matrix,
}

impl Run {
    fn set(&mut self, operator: &[u8], operands: &[f64]) {
        let state = &mut self.state;
        match (operator, operands) {
            (b"q", _) if self.saved.len() < STATES_MOST => self.saved.push(state.clone()),
            (b"Q", _) => self.state = self.saved.pop().unwrap_or_else(|| self.state.clone()),
            (b"cm", [a, b, c, d, e, f]) => state.matrix = multiplied(&[*a, *b, *c, *d, *e, *f], &state.matrix),
            (b"BT", _) => (self.text, self.line) = (IDENTITY, IDENTITY),
            (b"Tm", [a, b, c, d, e, f]) => {
                self.line = [*a, *b, *c, *d, *e, *f];
                self.text = self.line;
            }
            (b"Td", [x, y]) => self.step(*x, *y),
            (b"TD", [x, y]) => {
                state.leading = -y;
                self.step(*x, *y);
            }
            (b"T*", _) => self.next_line(),
            (b"TL", [leading]) => state.leading = *leading,
            (b"Tc", [spacing]) => state.char_spacing = *spacing,
            (b"Tw", [spacing]) => state.word_spacing = *spacing,
            (b"Tz", [percent]) => state.scale = percent / 100.0,
            _ => {}
        }
    }

    fn font(&mut self, operands: &[&Object<'_>], fonts: Option<&Dict<'_>>, known: &mut Known<'_>) {
        let [Object::Name(name), Object::Number(size)] = operands else { return };
        self.state.size = size.as_f64();
        self.state.font = match fonts.and_then(|fonts| fonts.get::<Dict<'_>>(&**name)) {
            Some(dict) => known.font(&dict),
            None => Rc::new(Font::unknown()),
        };
    }

    fn step(&mut self, x: f64, y: f64) {
        self.line = multiplied(&[1.0, 0.0, 0.0, 1.0, x, y], &self.line);
        self.text = self.line;
    }

    fn next_line(&mut self) {
        self.step(0.0, -self.state.leading);
    }

    fn advance(&mut self, by: f64) {
        self.text = multiplied(&[1.0, 0.0, 0.0, 1.0, by, 0.0], &self.text);
    }

    /// Where the next glyph stands on the page, and the font's size there.
    fn point(&self) -> (f64, f64, f64) {
        let [_, _, c, d, e, f] = multiplied(&self.text, &self.state.matrix);
        (e, f, c.hypot(d) * self.state.size.abs())
    }

    /// The direction of the line.
    fn direction(&self) -> (f64, f64) {
        let [a, b, ..] = multiplied(&self.text, &self.state.matrix);
        let length = a.hypot(b);
        if length > 0.0 { (a / length, b / length) } else { (1.0, 0.0) }
    }
}

fn numbers(operands: &[&Object<'_>]) -> Vec<f64> {
    let number = |operand: &&Object<'_>| if let Object::Number(number) = operand { Some(number.as_f64()) } else { None };
    operands.iter().filter_map(number).collect()
}
