//! The two ways of writing that serde_json does not have: keys that are objects, and files as fastjson lays them out.
//!
//! fastjson writes the keys of a map as it writes values: an object key stays an object, `{{"queueId":0}:1}`.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter};

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
