//! The dialect of JSON that Apache's peers and configuration files use (fastjson 1.2), towards and from the standard.
//!
//! fastjson writes the keys of a map as it writes values: a number key stays bare, `{0:"a"}`, and an object key stays an
//! object, `{{"queueId":0}:1}`; and it reads much more than that. [`relax`] turns the dialect into standard JSON, in
//! which an object key is a string that holds the object's text; [`write_object_keys`] goes the other way for the few bodies
//! whose readers expect object keys. All else that this crate writes is standard JSON without spaces, which every known
//! peer reads.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter};

/// How deep objects and arrays may be nested.
const DEPTH_MAX: usize = 64;

/// `json` as standard JSON: bare keys and single-quoted strings get double quotes, object keys become strings, members
/// that are null and commas that end a list go.
///
/// What is standard already, or no JSON in any dialect, is given back as it is.
///
/// ```
/// use protocol::fastjson::relax;
/// assert_eq!(*relax(br#"{a:{0:"x",1:null}}"#), *br#"{"a":{"0":"x"}}"#);
/// assert_eq!(*relax(br#"{{"queueId":0}:7}"#), *br#"{"{\"queueId\":0}":7}"#);
/// ```
#[must_use]
pub fn relax(json: &[u8]) -> Cow<'_, [u8]> {
    let mut rewriter = Rewriter { json, at: 0, out: Vec::with_capacity(json.len() + json.len() / 8), depth: 0 };
    match rewriter.document() {
        Some(()) if rewriter.out != json => Cow::Owned(rewriter.out),
        _ => Cow::Borrowed(json),
    }
}

/// Copies JSON from `json` to `out`; `None` from any method means that it is no JSON.
struct Rewriter<'a> {
    json: &'a [u8],
    at: usize,
    out: Vec<u8>,
    depth: usize,
}

impl<'a> Rewriter<'a> {
    fn document(&mut self) -> Option<()> {
        self.value(false)?;
        self.peek().is_none().then_some(())
    }

    /// The next byte that is no space, not consumed.
    fn peek(&mut self) -> Option<u8> {
        while self.json.get(self.at)?.is_ascii_whitespace() {
            self.at += 1;
        }
        self.json.get(self.at).copied()
    }

    fn value(&mut self, within_key: bool) -> Option<()> {
        match self.peek()? {
            b'{' => self.nested(|rewriter| rewriter.object(within_key)),
            b'[' => self.nested(|rewriter| rewriter.array(within_key)),
            quote @ (b'"' | b'\'') => self.string(quote),
            _ => {
                let word = self.bare_word()?;
                self.out.extend_from_slice(word);
                Some(())
            }
        }
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Option<()>) -> Option<()> {
        if self.depth == DEPTH_MAX {
            return None;
        }
        self.depth += 1;
        self.at += 1;
        read(self)?;
        self.depth -= 1;
        Some(())
    }

    /// The rest of an object whose brace is read. Within a key no further object key is allowed: each level would double
    /// the escapes of the one below.
    fn object(&mut self, within_key: bool) -> Option<()> {
        self.out.push(b'{');
        let mut first = true;
        loop {
            if self.peek()? == b'}' {
                self.at += 1;
                self.out.push(b'}');
                return Some(());
            }
            let member_at = self.out.len();
            if !first {
                self.out.push(b',');
            }
            self.key(within_key)?;
            if self.peek()? != b':' {
                return None;
            }
            self.at += 1;
            self.out.push(b':');
            self.peek()?;
            let value_at = self.out.len();
            self.value(within_key)?;
            if &self.out[value_at..] == b"null" {
                self.out.truncate(member_at);
            } else {
                first = false;
            }
            self.separator(b'}')?;
        }
    }

    fn array(&mut self, within_key: bool) -> Option<()> {
        self.out.push(b'[');
        let mut first = true;
        loop {
            if self.peek()? == b']' {
                self.at += 1;
                self.out.push(b']');
                return Some(());
            }
            if !first {
                self.out.push(b',');
            }
            first = false;
            self.value(within_key)?;
            self.separator(b']')?;
        }
    }

    /// Passes a comma, or stands before `end`.
    fn separator(&mut self, end: u8) -> Option<()> {
        match self.peek()? {
            b',' => {
                self.at += 1;
                Some(())
            }
            byte if byte == end => Some(()),
            _ => None,
        }
    }

    fn key(&mut self, within_key: bool) -> Option<()> {
        match self.peek()? {
            quote @ (b'"' | b'\'') => self.string(quote),
            b'{' if within_key => None,
            b'{' => {
                let outer = std::mem::take(&mut self.out);
                self.nested(|rewriter| rewriter.object(true))?;
                let key = std::mem::replace(&mut self.out, outer);
                self.out.push(b'"');
                for byte in key {
                    if matches!(byte, b'"' | b'\\') {
                        self.out.push(b'\\');
                    }
                    self.out.push(byte);
                }
                self.out.push(b'"');
                Some(())
            }
            _ => {
                let word = self.bare_word()?;
                self.out.push(b'"');
                self.out.extend_from_slice(word);
                self.out.push(b'"');
                Some(())
            }
        }
    }

    /// A number, `true`, `null`, or a bare key.
    fn bare_word(&mut self) -> Option<&'a [u8]> {
        let rest = &self.json[self.at..];
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'.' | b'+' | b'-');
        let bytes = rest.iter().take_while(|byte| is_word(byte)).count();
        self.at += bytes;
        (bytes > 0).then(|| &rest[..bytes])
    }

    fn string(&mut self, quote: u8) -> Option<()> {
        self.at += 1;
        self.out.push(b'"');
        loop {
            let byte = *self.json.get(self.at)?;
            self.at += 1;
            match byte {
                _ if byte == quote => {
                    self.out.push(b'"');
                    return Some(());
                }
                b'\\' => {
                    let escaped = *self.json.get(self.at)?;
                    self.at += 1;
                    if escaped != b'\'' {
                        self.out.push(b'\\');
                    }
                    self.out.push(escaped);
                }
                b'"' => self.out.extend_from_slice(b"\\\""),
                _ => self.out.push(byte),
            }
        }
    }
}

/// `value` as compact JSON in which a key that holds an object's text is written as that object.
///
/// # Errors
/// `value` cannot be written as JSON.
pub fn write_object_keys(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(256);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, ObjectKeys::default()))?;
    Ok(out)
}

/// `value` as JSON on many lines, indented by tabs, as fastjson lays out the files in `store/config`.
///
/// # Errors
/// `value` cannot be written as JSON.
pub fn write_pretty(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(1024);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Tabs::default()))?;
    Ok(out)
}

/// Where the writer is in an object's key.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Key {
    /// Not in a key.
    #[default]
    Outside,
    /// Before the first character, which decides.
    Begun,
    /// In an object's text: quotes and escapes are left out.
    Object,
    /// In a text like any other.
    Text,
}

/// Writes object keys bare.
#[derive(Default)]
struct ObjectKeys {
    key: Key,
}

impl Formatter for ObjectKeys {
    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.key = Key::Begun;
        if first { Ok(()) } else { writer.write_all(b",") }
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.key = Key::Outside;
        Ok(())
    }

    fn begin_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.key == Key::Begun { Ok(()) } else { writer.write_all(b"\"") }
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if self.key == Key::Begun {
            self.key = if fragment.starts_with('{') { Key::Object } else { Key::Text };
            if self.key == Key::Text {
                writer.write_all(b"\"")?;
            }
        }
        writer.write_all(fragment.as_bytes())
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        match (self.key, escape) {
            (Key::Object, CharEscape::Quote) => writer.write_all(b"\""),
            (Key::Object, CharEscape::ReverseSolidus) => writer.write_all(b"\\"),
            (Key::Begun, escape) => {
                self.key = Key::Text;
                writer.write_all(b"\"")?;
                Standard.write_char_escape(writer, escape)
            }
            (_, escape) => Standard.write_char_escape(writer, escape),
        }
    }

    fn end_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        match self.key {
            Key::Begun => writer.write_all(b"\"\""),
            Key::Object => Ok(()),
            Key::Text | Key::Outside => writer.write_all(b"\""),
        }
    }
}

/// Every method as serde_json provides it.
struct Standard;

impl Formatter for Standard {}

/// One member a line, indented by tabs, nothing after a colon.
#[derive(Default)]
struct Tabs {
    depth: usize,
    has_value: bool,
}

impl Tabs {
    fn begin<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.has_value = false;
        writer.write_all(bracket)
    }

    fn end<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if self.has_value {
            self.line(writer)?;
        }
        self.has_value = true;
        writer.write_all(bracket)
    }

    fn line<W: ?Sized + Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"\n")?;
        for _ in 0..self.depth {
            writer.write_all(b"\t")?;
        }
        Ok(())
    }

    fn item<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        self.line(writer)
    }
}

impl Formatter for Tabs {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.item(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.item(writer, first)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }
}
