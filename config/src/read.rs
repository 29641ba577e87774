//! Reading a TOML tree with its positions. Each getter returns what was asked for or notes a fault at the value's place
//! and returns nothing, so that reading goes on and all faults of a file are found in one pass. What a section builds
//! after a fault is thrown away with the file.

use std::cell::{Cell, RefCell};
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::errors::{Errors, FAULTS_MAX, Fault};
use crate::nearest::nearest;

/// A found text is shown up to this many characters.
const SHOWN_CHARS_MAX: usize = 64;

/// A file's text, and the faults found in it so far.
pub(crate) struct Source<'a> {
    file: &'a str,
    text: &'a str,
    faults: RefCell<Vec<Fault>>,
    count: Cell<usize>,
}

/// Where something stands: byte offset in the text, and the key's path as a person would say it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) offset: usize,
    pub(crate) path: String,
}

/// A table of the file.
#[derive(Clone)]
pub(crate) struct Table<'a> {
    raw: &'a DeTable<'a>,
    pub(crate) place: Place,
    source: &'a Source<'a>,
}

/// A value of the file.
#[derive(Clone)]
pub(crate) struct Value<'a> {
    raw: &'a DeValue<'a>,
    pub(crate) place: Place,
    source: &'a Source<'a>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        Source { file, text, faults: RefCell::default(), count: Cell::new(0) }
    }

    /// Notes a fault.
    pub(crate) fn fault(&self, place: &Place, message: impl Into<String>) {
        self.count.set(self.count.get() + 1);
        let mut faults = self.faults.borrow_mut();
        if faults.len() < FAULTS_MAX {
            let (line, column) = line_and_column(self.text.as_bytes(), place.offset);
            faults.push(Fault { line, column, path: place.path.clone(), message: message.into() });
        }
    }

    /// The errors of a file with this fault alone.
    pub(crate) fn error(&self, place: &Place, message: String) -> Errors {
        let (line, column) = line_and_column(self.text.as_bytes(), place.offset);
        let fault = Fault { line, column, path: place.path.clone(), message };
        Errors { file: self.file.to_string(), faults: vec![fault], more: 0 }
    }

    /// How many faults were found so far; a section that grew it cannot be trusted by later checks.
    pub(crate) fn fault_count(&self) -> usize {
        self.count.get()
    }

    /// All faults, or none.
    pub(crate) fn take_errors(&self) -> Option<Errors> {
        let mut faults = self.faults.take();
        faults.sort_by_key(|fault| (fault.line, fault.column));
        let more = self.count.get() - faults.len();
        (!faults.is_empty()).then(|| Errors { file: self.file.to_string(), faults, more })
    }

    /// The file's outermost table.
    pub(crate) fn root(&'a self, raw: &'a DeTable<'a>) -> Table<'a> {
        Table { raw, place: Place { offset: 0, path: String::new() }, source: self }
    }
}

impl<'a> Table<'a> {
    /// Notes each key that is not known; `refused` are keys that people may expect, each with why it does not work.
    pub(crate) fn check_keys(&self, known: &[&str], refused: &[(&str, &str)]) {
        for key in self.raw.keys() {
            let name: &str = key.get_ref();
            let place = Place { offset: key.span().start, path: self.place.path.clone() };
            if let Some((_, why)) = refused.iter().find(|(refused, _)| *refused == name) {
                self.source.fault(&place, format!("key `{name}` does not work: {why}; must be absent"));
            } else if !known.contains(&name) {
                let right = match nearest(name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("right keys are {}", known.join(", ")),
                };
                self.source.fault(&place, format!("unknown key `{}`; {right}", plain(name)));
            }
        }
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.raw.contains_key(key)
    }

    /// The value of a key, if it is there.
    pub(crate) fn get(&self, key: &str) -> Option<Value<'a>> {
        let raw = self.raw.get(key)?;
        Some(Value { raw: raw.get_ref(), place: self.place.key(raw, key), source: self.source })
    }

    /// The value of a key that must be there.
    pub(crate) fn need(&self, key: &str, right: &str) -> Option<Value<'a>> {
        let value = self.get(key);
        if value.is_none() {
            self.fault(format!("key `{key}` is missing; must be {right}"));
        }
        value
    }

    /// A sub-table, if it is there.
    pub(crate) fn table(&self, key: &str) -> Option<Table<'a>> {
        self.get(key)?.table()
    }

    /// The tables of an array of tables, such as each `[[port]]`; none when the key is missing.
    pub(crate) fn tables(&self, key: &str, count_max: usize) -> Vec<Table<'a>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        if matches!(value.raw, DeValue::Table(_)) {
            let outer = self.place.path.split_once(' ').map(|(outer, _)| format!("{outer}.")).unwrap_or_default();
            value.fault(format!("found a single table; must be a list: write [[{outer}{key}]]"));
            return Vec::new();
        }
        let prefix = if self.place.path.is_empty() { String::new() } else { format!("{}, ", self.place.path) };
        let mut tables = Vec::new();
        for (index, mut item) in value.items(count_max).into_iter().enumerate() {
            item.place.path = format!("{prefix}{key} {}", index + 1);
            tables.extend(item.table());
        }
        tables
    }

    /// A key's text, without a fault if it is none: to name a table in its own messages.
    pub(crate) fn text_if_any(&self, key: &str) -> Option<&'a str> {
        self.raw.get(key)?.get_ref().as_str()
    }

    /// Names the table in the messages about it: `port 1` becomes `port 1 (wan)`.
    pub(crate) fn named(mut self, name: Option<String>) -> Self {
        if let Some(name) = name {
            self.place.path = format!("{} ({})", self.place.path, plain(&name));
        }
        self
    }

    pub(crate) fn fault(&self, message: impl Into<String>) {
        self.source.fault(&self.place, message);
    }

    pub(crate) fn source(&self) -> &'a Source<'a> {
        self.source
    }
}

impl<'a> Value<'a> {
    pub(crate) fn fault(&self, message: impl Into<String>) {
        self.source.fault(&self.place, message);
    }

    pub(crate) fn fault_count(&self) -> usize {
        self.source.fault_count()
    }

    pub(crate) fn is_number(&self) -> bool {
        self.raw.is_integer()
    }

    pub(crate) fn as_text(&self) -> Option<&'a str> {
        self.raw.as_str()
    }

    /// Notes that the value is not what it must be.
    pub(crate) fn must_be(&self, right: &str) {
        self.fault(format!("found {}; must be {right}", self.shown()));
    }

    /// The value as it stands in messages.
    pub(crate) fn shown(&self) -> String {
        match self.raw {
            DeValue::String(text) => format!("{:?}", cut(text)),
            DeValue::Integer(number) => cut(&number.to_string()),
            DeValue::Float(number) => cut(&number.to_string()),
            DeValue::Boolean(truth) => truth.to_string(),
            DeValue::Datetime(time) => format!("the date {time}"),
            DeValue::Array(_) => "a list".to_string(),
            DeValue::Table(_) => "a table".to_string(),
        }
    }

    /// A text that `parse` understands; `right` says what that is.
    pub(crate) fn text<T>(&self, right: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let found = self.raw.as_str().and_then(parse);
        if found.is_none() {
            self.must_be(right);
        }
        found
    }

    /// A text that is one of a few words.
    pub(crate) fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let right = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        let Some(found) = self.raw.as_str() else {
            self.must_be(&format!("a text, one of {}", right()));
            return None;
        };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == found) {
            return Some(*meaning);
        }
        match nearest(found, words.iter().map(|(word, _)| *word)) {
            Some(near) => {
                self.fault(format!("found {}; did you mean {near:?}? must be one of {}", self.shown(), right()))
            }
            None => self.must_be(&format!("one of {}", right())),
        }
        None
    }

    /// A whole number within bounds.
    pub(crate) fn number<T: TryFrom<i128> + Into<i128> + Copy>(&self, bounds: RangeInclusive<T>) -> Option<T> {
        let (least, most) = ((*bounds.start()).into(), (*bounds.end()).into());
        let found = self.raw.as_integer().and_then(|raw| i128::from_str_radix(raw.as_str(), raw.radix()).ok());
        let number = found.filter(|number| (least..=most).contains(number)).and_then(|number| T::try_from(number).ok());
        if number.is_none() {
            self.must_be(&match most - least {
                1 => format!("{least} or {most}"),
                _ => format!("a whole number from {least} to {most}"),
            });
        }
        number
    }

    pub(crate) fn truth(&self) -> Option<bool> {
        self.truth_or("true or false")
    }

    /// True or false, where `right` says that something else would be right as well.
    pub(crate) fn truth_or(&self, right: &str) -> Option<bool> {
        let found = self.raw.as_bool();
        if found.is_none() {
            self.must_be(right);
        }
        found
    }

    pub(crate) fn is_list(&self) -> bool {
        self.raw.as_array().is_some()
    }

    /// The items of a list of at most `count_max`; each item's path ends with its number from 1.
    pub(crate) fn items(&self, count_max: usize) -> Vec<Value<'a>> {
        let Some(array) = self.raw.as_array() else {
            self.must_be("a list");
            return Vec::new();
        };
        if array.len() > count_max {
            self.fault(format!("found {} items; must be at most {count_max}", array.len()));
            return Vec::new();
        }
        let place = |(index, raw): (usize, &Spanned<_>)| Place {
            offset: raw.span().start,
            path: format!("{} {}", self.place.path, index + 1),
        };
        array
            .iter()
            .enumerate()
            .map(|(index, raw)| Value { raw: raw.get_ref(), place: place((index, raw)), source: self.source })
            .collect()
    }

    pub(crate) fn table(&self) -> Option<Table<'a>> {
        let found = self.raw.as_table();
        if found.is_none() {
            self.must_be("a table");
        }
        found.map(|raw| Table { raw, place: self.place.clone(), source: self.source })
    }
}

impl Place {
    fn key<T>(&self, value: &Spanned<T>, key: &str) -> Place {
        let path = if self.path.is_empty() { key.to_string() } else { format!("{}, {key}", self.path) };
        Place { offset: value.span().start, path }
    }
}

/// Line and column, both from 1, of a byte offset; the column counts characters.
pub(crate) fn line_and_column(text: &[u8], offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    // Bytes 0b10xxxxxx continue a UTF-8 character.
    let column = before[line_start..].iter().filter(|byte| **byte & 0xc0 != 0x80).count() + 1;
    (line, column)
}

/// A found text, no longer than a message can bear.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

/// A found text as part of a message: short, and without control characters that would confuse a terminal.
pub(crate) fn plain(text: &str) -> String {
    cut(text).escape_debug().to_string()
}
