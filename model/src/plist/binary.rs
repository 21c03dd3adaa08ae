//! Binary property lists: header `bplist00`, objects, offset table, trailer of 32 bytes (CoreFoundation's `CFBinaryPList.c`).

use super::{DEPTH, Value};

/// An opened binary list: nothing but where its tables lie.
pub struct List<'l> {
    content: &'l [u8],
    table: &'l [u8],
    offset_size: usize,
    reference_size: usize,
    top: u64,
}

/// An object: type nibble, count or size, and what follows its head.
struct Object<'l> {
    kind: u8,
    count: usize,
    body: &'l [u8],
}

impl<'l> List<'l> {
    /// Reads the trailer.
    pub fn open(content: &'l [u8]) -> Option<List<'l>> {
        let trailer = content.last_chunk::<32>()?;
        let (offset_size, reference_size) = (usize::from(*trailer.get(6)?), usize::from(*trailer.get(7)?));
        if !(1..=8).contains(&offset_size) || !(1..=8).contains(&reference_size) {
            return None;
        }
        let count = usize::try_from(number(trailer.get(8..16)?)).ok()?;
        let table = usize::try_from(number(trailer.get(24..32)?)).ok()?;
        let table = content.get(table..)?.get(..count.checked_mul(offset_size)?)?;
        Some(List { content, table, offset_size, reference_size, top: number(trailer.get(16..24)?) })
    }

    /// The value at a path.
    pub fn get(&self, path: &[&str]) -> Option<Value> {
        self.scalar(self.find(path)?)
    }

    /// What the container at a path holds, as steps.
    pub fn steps(&self, path: &[&str], most: usize) -> Vec<String> {
        let Some(object) = self.find(path).and_then(|at| self.object(at)) else { return Vec::new() };
        // The references must all lie in the file: a count that lies names no more than that.
        let held = object.count.min(object.body.len() / self.reference_size).min(most);
        match object.kind {
            10..=12 => (0..held).map(|index| index.to_string()).collect(),
            13 => {
                let keys = (0..held).filter_map(|key| self.scalar(self.element(&object, key)?)?.text());
                keys.collect()
            }
            _ => Vec::new(),
        }
    }

    fn find(&self, path: &[&str]) -> Option<u64> {
        let mut at = self.follow(self.top)?;
        for step in path.iter().take(DEPTH) {
            at = self.follow(self.child(at, step)?)?;
        }
        Some(at)
    }

    /// Where the bytes of a text, data or number at a path lie, without the object's head.
    pub fn place(&self, path: &[&str]) -> Option<(u64, u64)> {
        let object = self.object(self.find(path)?)?;
        let length = match object.kind {
            1..=3 => 1_usize.checked_shl(u32::try_from(object.count).ok()?)?,
            4 | 5 => object.count,
            6 => object.count.checked_mul(2)?,
            _ => return None,
        };
        let offset = self.content.len().checked_sub(object.body.len())?;
        Some((u64::try_from(offset).ok()?, u64::try_from(length).ok()?))
    }

    fn object(&self, index: u64) -> Option<Object<'l>> {
        let start = usize::try_from(index).ok()?.checked_mul(self.offset_size)?;
        let offset = number(self.table.get(start..start.checked_add(self.offset_size)?)?);
        let (&marker, body) = self.content.get(usize::try_from(offset).ok()?..)?.split_first()?;
        let (kind, small) = (marker >> 4, usize::from(marker & 15));
        // Sizes of 15 and more follow as an integer object.
        let sized = matches!(kind, 4..=6 | 10..=13);
        if !sized || small < 15 {
            return Some(Object { kind, count: small, body });
        }
        let (&marker, body) = body.split_first()?;
        let width = 1_usize.checked_shl(u32::from(marker & 15)).filter(|width| marker >> 4 == 1 && *width <= 8)?;
        let (count, body) = body.split_at_checked(width)?;
        Some(Object { kind, count: usize::try_from(number(count)).ok()?, body })
    }

    /// The index itself, or what a keyed archive's reference leads to.
    fn follow(&self, mut index: u64) -> Option<u64> {
        for _ in 0..DEPTH {
            let object = self.object(index)?;
            if object.kind != 8 {
                return Some(index);
            }
            let target = number(object.body.get(..object.count.checked_add(1)?)?);
            let objects = self.direct(self.top, "$objects")?;
            index = self.element(&self.object(objects)?, usize::try_from(target).ok()?)?;
        }
        None
    }

    /// A reference of an array, set or dictionary (keys first, then values).
    fn element(&self, object: &Object<'_>, number_of: usize) -> Option<u64> {
        let start = number_of.checked_mul(self.reference_size)?;
        Some(number(object.body.get(start..start.checked_add(self.reference_size)?)?))
    }

    /// What a step leads to: in a container, or in the dictionary or array that an archive wrote as two lists of its own.
    fn child(&self, index: u64, step: &str) -> Option<u64> {
        self.direct(index, step).or_else(|| self.archived(index, step))
    }

    /// A member of an archived `NSDictionary` (`NS.keys` beside `NS.objects`) or `NSArray` and `NSSet` (`NS.objects` alone).
    fn archived(&self, index: u64, step: &str) -> Option<u64> {
        let objects = self.object(self.follow(self.direct(index, "NS.objects")?)?)?;
        let place = match self.direct(index, "NS.keys") {
            Some(keys) => {
                let keys = self.object(self.follow(keys)?)?;
                let is_step =
                    |at: usize| self.element(&keys, at).and_then(|key| self.follow(key)).is_some_and(|key| self.is(key, step));
                (0..keys.count.min(objects.count)).take_while(|at| self.element(&keys, *at).is_some()).find(|at| is_step(*at))?
            }
            None => step.parse().ok().filter(|place| *place < objects.count)?,
        };
        self.element(&objects, place)
    }

    fn direct(&self, index: u64, step: &str) -> Option<u64> {
        let object = self.object(index)?;
        match object.kind {
            10..=12 => {
                let wanted: usize = step.parse().ok()?;
                (wanted < object.count).then(|| self.element(&object, wanted)).flatten()
            }
            13 => {
                // The references must all lie in the file: a count that lies ends here.
                let all = object.count.checked_mul(self.reference_size)?.checked_mul(2)?;
                object.body.get(..all)?;
                let key = (0..object.count).find(|&key| self.element(&object, key).is_some_and(|name| self.is(name, step)))?;
                self.element(&object, object.count.checked_add(key)?)
            }
            _ => None,
        }
    }

    /// Visits every value: objects in the order of their parents, each once.
    pub fn each(&self, visit: &mut dyn FnMut(&[String], Value, (u64, u64))) {
        let mut seen = std::collections::HashSet::new();
        // What an archive is for comes before the table of its objects.
        if let Some(top) = self.child(self.top, "$top") {
            self.visit(top, &mut vec!["$top".to_owned()], &mut seen, visit);
        }
        self.visit(self.top, &mut Vec::new(), &mut seen, visit);
    }

    fn visit(
        &self,
        index: u64,
        keys: &mut Vec<String>,
        seen: &mut std::collections::HashSet<u64>,
        visit: &mut dyn FnMut(&[String], Value, (u64, u64)),
    ) {
        let Some(index) = self.follow(index).filter(|_| keys.len() < DEPTH) else { return };
        if !seen.insert(index) {
            return;
        }
        let Some(object) = self.object(index) else { return };
        let place =
            || self.content.len().checked_sub(object.body.len()).and_then(|at| u64::try_from(at).ok()).unwrap_or_default();
        match object.kind {
            10..=12 => {
                for number in 0..object.count {
                    let Some(element) = self.element(&object, number) else { return };
                    keys.push(number.to_string());
                    self.visit(element, keys, seen, visit);
                    keys.pop();
                }
            }
            13 => {
                for (name, value) in self.named(&object) {
                    keys.push(name);
                    self.visit(value, keys, seen, visit);
                    keys.pop();
                }
            }
            kind => {
                if let Some(value) = self.scalar(index) {
                    let wide = if kind == 6 { object.count.saturating_mul(2) } else { object.count };
                    visit(keys, value, (place(), u64::try_from(wide).unwrap_or_default()));
                }
            }
        }
    }

    /// Names and values of a dictionary; of an archived one (`NS.keys`, `NS.objects`) those that it stands for.
    fn named(&self, object: &Object<'l>) -> Vec<(String, u64)> {
        let name = |index| match self.follow(index).and_then(|index| self.scalar(index)) {
            Some(Value::Text(name)) => name,
            Some(Value::Integer(number)) => number.to_string(),
            _ => String::new(),
        };
        let pairs: Vec<(String, u64)> = (0..object.count)
            .map_while(|at| Some((name(self.element(object, at)?), self.element(object, object.count.checked_add(at)?)?)))
            .collect();
        let list = |wanted: &str| {
            let (_, index) = pairs.iter().find(|(name, _)| name == wanted)?;
            self.object(self.follow(*index)?).filter(|object| (10..=12).contains(&object.kind))
        };
        let Some((names, values)) = list("NS.keys").zip(list("NS.objects")) else { return pairs };
        (0..names.count.min(values.count))
            .map_while(|at| Some((name(self.element(&names, at)?), self.element(&values, at)?)))
            .collect()
    }

    /// Whether an object is that text.
    fn is(&self, index: u64, text: &str) -> bool {
        match self.object(index) {
            Some(Object { kind: 5, count, body }) => body.get(..count) == Some(text.as_bytes()),
            Some(Object { kind: 6, .. }) => matches!(self.scalar(index), Some(Value::Text(name)) if name == text),
            _ => false,
        }
    }

    fn scalar(&self, index: u64) -> Option<Value> {
        let object = self.object(index)?;
        let wide = || object.body.get(..1_usize.checked_shl(u32::try_from(object.count).ok()?)?);
        Some(match object.kind {
            0 if object.count == 8 || object.count == 9 => Value::Bool(object.count == 9),
            // Eight bytes are signed, fewer are not; sixteen hold a 64-bit value in their second half.
            1 => match wide()? {
                bytes @ ([_] | [_, _] | [_, _, _, _] | [_, _, _, _, _, _, _, _]) => Value::Integer(number(bytes).cast_signed()),
                _ => return None,
            },
            2 | 3 => {
                let real = match wide()? {
                    [a, b, c, d] => f64::from(f32::from_be_bytes([*a, *b, *c, *d])),
                    bytes @ [_, _, _, _, _, _, _, _] => f64::from_bits(number(bytes)),
                    _ => return None,
                };
                if object.kind == 3 { Value::Cocoa(real) } else { Value::Real(real) }
            }
            4 => Value::Data(object.body.get(..object.count)?.to_owned()),
            5 => Value::Text(String::from_utf8_lossy(object.body.get(..object.count)?).into_owned()),
            6 => {
                let units = object.body.get(..object.count.checked_mul(2)?)?;
                let units = units.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair));
                Value::Text(char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
            }
            _ => return None,
        })
    }
}

/// Up to eight bytes, big endian.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
