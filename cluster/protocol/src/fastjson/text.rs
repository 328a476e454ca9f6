//! The text of a JSON document: spaces and comments, strings, bare words, and the way past a whole value (`JSONLexerBase`).

use std::borrow::Cow;
use std::fmt;

use super::scalar::Scalar;

/// How deep objects and arrays may be nested. RocketMQ's own bodies have six levels.
pub(super) const DEPTH_MAX: u32 = 64;

/// Why a text is no JSON, or not of the shape that is wanted.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    what: String,
    at: Option<usize>,
    has_member: bool,
}

impl Error {
    pub(super) fn new(what: impl Into<String>, at: usize) -> Self {
        Self(Box::new(Inner { what: what.into(), at: Some(at), has_member: false }))
    }

    /// This error, with the place if it has none.
    pub(super) fn or_at(mut self, at: usize) -> Self {
        self.0.at.get_or_insert(at);
        self
    }

    /// This error, with the name of the innermost member that it is in.
    pub(super) fn within(mut self, member: &str) -> Self {
        if !self.0.has_member {
            self.0.has_member = true;
            self.0.what = format!("{member}: {}", self.0.what);
        }
        self
    }

    /// Which byte of the text is wrong.
    #[must_use]
    pub fn at(&self) -> usize {
        self.0.at.unwrap_or_default()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)?;
        self.0.at.map_or(Ok(()), |at| write!(f, " at byte {at}"))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self(Box::new(Inner { what: what.to_string(), at: None, has_member: false }))
    }
}

/// A document, and how far it is read.
#[derive(Clone)]
pub(super) struct Text<'a> {
    pub(super) json: &'a str,
    pub(super) at: usize,
}

impl<'a> Text<'a> {
    pub(super) fn error<T>(&self, what: &str) -> Result<T, Error> {
        Err(Error::new(what, self.at))
    }

    fn bytes(&self) -> &'a [u8] {
        self.json.as_bytes()
    }

    /// The next byte that is neither space nor comment, not consumed.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes().get(self.at)? {
                b' ' | b'\t' | b'\n' | b'\r' | 0x08 | 0x0C => self.at += 1,
                b'/' => self.skip_comment()?,
                other => return Some(*other),
            }
        }
    }

    fn skip_comment(&mut self) -> Option<()> {
        let rest = &self.bytes()[self.at..];
        self.at += match rest.get(1)? {
            b'/' => memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1),
            b'*' => memchr::memmem::find(&rest[2..], b"*/")? + 4,
            _ => return None,
        };
        Some(())
    }

    /// Consumes `byte` if it is next.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    pub(super) fn skip_commas(&mut self) {
        while self.take(b',') {}
    }

    /// Consumes the bracket that opens a list; fastjson writes `Set` before that of a set.
    pub(super) fn open_list(&mut self) -> bool {
        let next = self.peek();
        if matches!(next, Some(b'S' | b'T')) {
            let rest = &self.json[self.at..];
            let word = ["Set", "TreeSet"].into_iter().find(|word| rest.starts_with(word));
            if let Some(word) = word
                && rest[word.len()..].trim_start().starts_with('[')
            {
                self.at += word.len();
            }
        }
        self.take(b'[')
    }

    /// A value that is neither object nor list.
    pub(super) fn scalar(&mut self) -> Result<Scalar<'a>, Error> {
        match self.peek() {
            None => self.error("the text ends where a value must be"),
            Some(quote @ (b'"' | b'\'')) => self.string(quote).map(Scalar::Text),
            Some(_) => {
                let start = self.at;
                let word = self.word();
                scalar_of(word).ok_or_else(|| Error::new("a value is expected", start))
            }
        }
    }

    /// The name of a member, or a key that is no object.
    pub(super) fn name(&mut self) -> Result<Cow<'a, str>, Error> {
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) => self.string(quote),
            Some(_) => match self.word() {
                "" => self.error("a name is expected"),
                word => Ok(Cow::Borrowed(word)),
            },
            None => self.error("the text ends where a name must be"),
        }
    }

    /// A run of what numbers and names consist of; perhaps nothing.
    fn word(&mut self) -> &'a str {
        let rest = &self.json[self.at..];
        let is_part =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'.' | b'+' | b'-') || byte >= 0x80;
        let end = rest.bytes().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        self.at += end;
        // What is no ASCII is part of a word, so that a word ends between characters.
        &rest[..end]
    }

    fn string(&mut self, quote: u8) -> Result<Cow<'a, str>, Error> {
        let start = self.at + 1;
        let unended = || Error::new("a string does not end", start - 1);
        let end = |from: usize| memchr::memchr2(quote, b'\\', &self.json.as_bytes()[from..]).map(|more| from + more);
        let mut plain_end = end(start).ok_or_else(unended)?;
        if self.bytes()[plain_end] == quote {
            self.at = plain_end + 1;
            return Ok(Cow::Borrowed(&self.json[start..plain_end]));
        }
        let mut out = String::with_capacity(plain_end - start + 16);
        let mut from = start;
        loop {
            out.push_str(&self.json[from..plain_end]);
            if self.bytes()[plain_end] == quote {
                self.at = plain_end + 1;
                return Ok(Cow::Owned(out));
            }
            let (character, behind) =
                escape(self.json, plain_end + 1).ok_or_else(|| Error::new("no such escape in a string", plain_end))?;
            out.push(character);
            from = behind;
            plain_end = memchr::memchr2(quote, b'\\', &self.bytes()[from..]).ok_or_else(unended)? + from;
        }
    }

    /// Passes over a string without reading it.
    fn skip_string(&mut self, quote: u8) -> Result<(), Error> {
        let start = self.at;
        self.at += 1;
        loop {
            let Some(more) = memchr::memchr2(quote, b'\\', &self.bytes()[self.at..]) else {
                return Err(Error::new("a string does not end", start));
            };
            self.at += more + 1;
            if self.bytes()[self.at - 1] == quote {
                return Ok(());
            }
            // What is escaped is passed over; a quote among it does not end the string.
            let escaped = self.json[self.at..].chars().next();
            self.at += escaped.map_or(0, char::len_utf8);
        }
    }

    /// Passes over a value of any kind; what is in it is looked at only as far as needed to find its end.
    pub(super) fn skip(&mut self) -> Result<(), Error> {
        // Which brackets are open: one bit each, set for a list.
        let (mut open, mut depth) = (0_u64, 0_u32);
        loop {
            match self.peek() {
                None => return self.error("the text ends within a value"),
                Some(quote @ (b'"' | b'\'')) => self.skip_string(quote)?,
                Some(bracket @ (b'{' | b'[')) => {
                    if depth == DEPTH_MAX {
                        return self.error("nested too deep");
                    }
                    open = open << 1 | u64::from(bracket == b'[');
                    depth += 1;
                    self.at += 1;
                }
                Some(bracket @ (b'}' | b']')) => {
                    if depth == 0 || (open & 1 == 1) != (bracket == b']') {
                        return self.error("a bracket that was not opened");
                    }
                    open >>= 1;
                    depth -= 1;
                    self.at += 1;
                }
                Some(b',' | b':') if depth > 0 => self.at += 1,
                Some(_) => {
                    let word = self.word();
                    if word.is_empty() {
                        return self.error("a value is expected");
                    }
                    if self.json[self.at..].starts_with('[') && matches!(word, "Set" | "TreeSet") {
                        continue;
                    }
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

/// The value of a bare word.
fn scalar_of(word: &str) -> Option<Scalar<'_>> {
    match word {
        "null" | "undefined" | "NaN" => Some(Scalar::Null),
        "true" => Some(Scalar::Bool(true)),
        "false" => Some(Scalar::Bool(false)),
        _ => {
            let digits = word.strip_suffix(['L', 'S', 'B', 'F', 'D']).unwrap_or(word);
            let unsigned = digits.strip_prefix(['-', '+']).unwrap_or(digits);
            let is_number = unsigned.starts_with(|first: char| first.is_ascii_digit())
                && unsigned
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
            is_number.then_some(Scalar::Number(digits))
        }
    }
}

/// The character of an escape whose backslash is before `at`, and where it is over.
fn escape(json: &str, at: usize) -> Option<(char, usize)> {
    let byte = *json.as_bytes().get(at)?;
    let one = |character| Some((character, at + 1));
    match byte {
        b'"' | b'\\' | b'/' | b'\'' => one(char::from(byte)),
        b'0'..=b'7' => one(char::from(byte - b'0')),
        b'b' => one('\u{8}'),
        b't' => one('\t'),
        b'n' => one('\n'),
        b'v' => one('\u{B}'),
        b'f' | b'F' => one('\u{C}'),
        b'r' => one('\r'),
        b'x' => hex(json, at + 1, 2).map(|unit| (char::from(unit as u8), at + 3)),
        b'u' => {
            let first = hex(json, at + 1, 4)?;
            let behind = at + 5;
            if (0xD800..0xDC00).contains(&first)
                && json[behind..].starts_with("\\u")
                && let Some(second) = hex(json, behind + 2, 4)
                && let Some(Ok(pair)) = char::decode_utf16([first, second]).next()
            {
                return Some((pair, behind + 6));
            }
            // Half of a pair is no character in Rust.
            Some((char::from_u32(u32::from(first)).unwrap_or(char::REPLACEMENT_CHARACTER), behind))
        }
        _ => None,
    }
}

fn hex(json: &str, at: usize, digits: usize) -> Option<u16> {
    let digits = json.get(at..at + digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}
