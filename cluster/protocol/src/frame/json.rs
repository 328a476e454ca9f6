//! The JSON header encoding (`RemotingSerializable`, fastjson underneath).
//!
//! Written exactly as fastjson writes it: names in alphabetical order, nothing that is null, control characters as
//! `\uXXXX`, no spaces. Read tolerantly: numbers and booleans in `extFields` become text (`ali-ons` sends them),
//! unknown fields are skipped, null is absence. It is written by hand because it is on the path of every message and a
//! generic reader would build a tree only to take it apart.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{BufMut, BytesMut};

use super::{FIELDS_MAX, FrameError, header_text};
use crate::command::{Language, RemotingCommand, SerializeType};
use crate::ext_fields::ExtFields;

pub(super) fn encode(command: &RemotingCommand, out: &mut BytesMut) {
    out.put_slice(b"{\"code\":");
    put_number(command.code, out);
    if command.has_ext || !command.ext_fields.is_empty() {
        out.put_slice(b",\"extFields\":{");
        let mut before_name: &[u8] = b"\"";
        for (name, value) in command.ext_fields.iter() {
            out.put_slice(before_name);
            put_text(name, out);
            out.put_slice(b"\":\"");
            put_text(value, out);
            before_name = b"\",\"";
        }
        out.put_slice(if command.ext_fields.is_empty() { b"}" } else { b"\"}" });
    }
    out.put_slice(b",\"flag\":");
    put_number(command.flag, out);
    out.put_slice(b",\"language\":\"");
    out.put_slice(command.language.name().as_bytes());
    out.put_slice(b"\",\"opaque\":");
    put_number(command.opaque, out);
    if let Some(remark) = &command.remark {
        out.put_slice(b",\"remark\":\"");
        put_text(remark, out);
        out.put_u8(b'"');
    }
    out.put_slice(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
    put_number(command.version, out);
    out.put_u8(b'}');
}

fn put_number(number: i32, out: &mut BytesMut) {
    out.put_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Whether fastjson writes this byte as an escape.
fn is_escaped(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\') | (byte == 0x7F)
}

/// Whether fastjson writes one of these eight bytes as an escape: the tests of [`is_escaped`], each on all bytes at once. The
/// highest bit of a byte is set where it is; borrows reach only beyond a byte that is one.
fn any_escaped(bytes: [u8; 8]) -> bool {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let word = u64::from_le_bytes(bytes);
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | is(b'"') | is(b'\\') | is(0x7F)) & (ONES << 7) != 0
}

/// Whether the text can be written as it is.
fn is_plain(text: &[u8]) -> bool {
    match text.last_chunk::<8>() {
        // The last eight bytes may be looked at twice.
        Some(last) => {
            let (eights, _) = text.as_chunks::<8>();
            !any_escaped(*last) && !eights.iter().any(|eight| any_escaped(*eight))
        }
        None => !text.iter().any(|&byte| is_escaped(byte)),
    }
}

/// Writes what stands between the quotes of a string.
fn put_text(text: &str, out: &mut BytesMut) {
    if is_plain(text.as_bytes()) {
        out.put_slice(text.as_bytes());
    } else {
        put_escaped(text.as_bytes(), out);
    }
}

fn put_escaped(bytes: &[u8], out: &mut BytesMut) {
    let mut plain_from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if is_escaped(byte) {
            out.put_slice(&bytes[plain_from..at]);
            put_escape(byte, out);
            plain_from = at + 1;
        }
    }
    out.put_slice(&bytes[plain_from..]);
}

fn put_escape(byte: u8, out: &mut BytesMut) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0C => b'f',
        b'\r' => b'r',
        _ => {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xF)]];
            out.put_slice(&[b'\\', b'u', b'0', b'0', digits[0], digits[1]]);
            return;
        }
    };
    out.put_slice(&[b'\\', short]);
}

pub(super) fn decode(header: &[u8]) -> Result<RemotingCommand, FrameError> {
    let text = header_text(header, header.len()).ok_or(FrameError::BadHeader {
        encoding: "JSON",
        at: 0,
        reason: "it is long and no UTF-8",
    })?;
    let mut reader = Reader { text: &text, at: 0 };
    let mut command = RemotingCommand {
        language: Language::Java,
        version: 0,
        serialize_type: SerializeType::Json,
        ..RemotingCommand::request(0, &())
    };
    reader.object(|reader, name| {
        match &*name.text {
            "code" => command.code = reader.number()?,
            "flag" => command.flag = reader.number()?,
            "opaque" => command.opaque = reader.number()?,
            "version" => command.version = reader.number()?,
            "language" => command.language = Language::from_name(&reader.text_value()?.unwrap_or_default()),
            "remark" => command.remark = reader.text_value()?,
            "extFields" if reader.peek() == Some(b'{') => {
                command.has_ext = true;
                command.ext_fields = reader.fields()?;
            }
            _ => reader.skip_value()?,
        }
        Ok(())
    })?;
    reader.skip_space();
    if reader.at < text.len() {
        return Err(reader.error("bytes follow the object"));
    }
    Ok(command)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// A piece of the header, or what it stands for.
struct Text<'a> {
    /// Where it begins, if it is borrowed.
    start: usize,
    text: Cow<'a, str>,
}

impl Text<'_> {
    /// Where it lies in the text of a map that is over the header from `from` on; put there if need be.
    fn within(&self, from: usize, fields: &mut ExtFields) -> Range<usize> {
        match &self.text {
            Cow::Borrowed(text) => self.start - from..self.start - from + text.len(),
            Cow::Owned(text) => fields.append_text(text),
        }
    }
}

impl<'a> Reader<'a> {
    fn error(&self, reason: &'static str) -> FrameError {
        FrameError::BadHeader { encoding: "JSON", at: self.at, reason }
    }

    fn skip_space(&mut self) {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The next byte that is no space, not consumed.
    fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.text.as_bytes().get(self.at).copied()
    }

    fn expect(&mut self, byte: u8, reason: &'static str) -> Result<(), FrameError> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.error(reason))
        }
    }

    /// Reads an object, calling `member` at each value with its name.
    fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Text<'a>) -> Result<(), FrameError>,
    ) -> Result<(), FrameError> {
        self.expect(b'{', "an object is expected")?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let name = self.string()?;
            self.expect(b':', "':' is expected after a name")?;
            member(self, name)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.error("',' or '}' is expected after a value")),
            }
        }
    }

    /// The map over the rest of the header, in which most names and values are found as they lie there.
    fn fields(&mut self) -> Result<ExtFields, FrameError> {
        let start = self.at;
        let rest = &self.text[start..];
        // What has escapes is appended without them.
        let room = if memchr::memchr(b'\\', rest.as_bytes()).is_some() { 2 * rest.len() } else { rest.len() };
        let mut text = String::with_capacity(room);
        text.push_str(rest);
        let mut fields = ExtFields::over(text, 16);
        self.object(|reader, name| {
            if fields.len() == FIELDS_MAX {
                return Err(reader.error("too many ext fields"));
            }
            let name = name.within(start, &mut fields);
            if let Some(value) = reader.field_value()? {
                let value = value.within(start, &mut fields);
                fields.insert_within(name, value);
            }
            Ok(())
        })?;
        Ok(fields)
    }

    /// A value of `extFields` as text; `None` is null.
    fn field_value(&mut self) -> Result<Option<Text<'a>>, FrameError> {
        match self.peek() {
            Some(b'"') => self.string().map(Some),
            Some(_) => {
                let start = self.at;
                self.skip_value()?;
                let raw = &self.text[start..self.at];
                Ok((raw != "null").then_some(Text { start, text: Cow::Borrowed(raw) }))
            }
            None => Err(self.error("the header ends within an object")),
        }
    }

    /// An integer, bare or quoted; null is 0.
    fn number(&mut self) -> Result<i32, FrameError> {
        let text = match self.peek() {
            Some(b'"') => self.string()?.text,
            _ => Cow::Borrowed(self.bare_word()?),
        };
        if text == "null" {
            return Ok(0);
        }
        text.parse().map_err(|_| self.error("a 32-bit integer is expected"))
    }

    /// A string, or `None` for null; a bare number or boolean as its text.
    fn text_value(&mut self) -> Result<Option<String>, FrameError> {
        Ok(self.field_value()?.map(|value| value.text.into_owned()))
    }

    /// A run of letters, digits and signs: a number, `true`, `false` or `null`.
    fn bare_word(&mut self) -> Result<&'a str, FrameError> {
        self.skip_space();
        let rest = &self.text[self.at..];
        let length =
            rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')).count();
        if length == 0 {
            return Err(self.error("a value is expected"));
        }
        self.at += length;
        Ok(&rest[..length])
    }

    /// Passes over one value of any kind, without recursion: only the depth is counted.
    fn skip_value(&mut self) -> Result<(), FrameError> {
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                }
                Some(b'}' | b']') if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                Some(b',' | b':') if depth > 0 => self.at += 1,
                Some(_) => {
                    self.bare_word()?;
                }
                None => return Err(self.error("the header ends within a value")),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// A string; borrowed from the header unless it has escapes.
    fn string(&mut self) -> Result<Text<'a>, FrameError> {
        self.expect(b'"', "a string is expected")?;
        let start = self.at;
        let plain = self.plain_run()?;
        if self.text.as_bytes()[self.at] == b'"' {
            self.at += 1;
            return Ok(Text { start, text: Cow::Borrowed(plain) });
        }
        let mut out = String::with_capacity(2 * plain.len() + 32);
        self.at = start;
        self.string_rest_into(&mut out)?;
        Ok(Text { start, text: Cow::Owned(out) })
    }

    /// The text up to the next quote or backslash, at which the reader stops.
    fn plain_run(&mut self) -> Result<&'a str, FrameError> {
        let rest = &self.text[self.at..];
        let Some(length) = memchr::memchr2(b'"', b'\\', rest.as_bytes()) else {
            return Err(self.error("a string does not end"));
        };
        self.at += length;
        Ok(&rest[..length])
    }

    fn string_rest_into(&mut self, out: &mut String) -> Result<(), FrameError> {
        loop {
            out.push_str(self.plain_run()?);
            let delimiter = self.text.as_bytes()[self.at];
            self.at += 1;
            if delimiter == b'"' {
                return Ok(());
            }
            let character = self.escape()?;
            out.push(character);
        }
    }

    /// The character of an escape whose backslash has been read.
    fn escape(&mut self) -> Result<char, FrameError> {
        let byte = self.text.as_bytes().get(self.at).copied().ok_or_else(|| self.error("a string does not end"))?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' | b'\'' => char::from(byte),
            b'b' => '\u{8}',
            b't' => '\t',
            b'n' => '\n',
            b'f' => '\u{C}',
            b'r' => '\r',
            b'u' => {
                let first = self.hex_unit()?;
                if (0xD800..0xDC00).contains(&first) && self.text[self.at..].starts_with("\\u") {
                    let before = self.at;
                    self.at += 2;
                    let second = self.hex_unit()?;
                    if let Some(Ok(pair)) = char::decode_utf16([first, second]).next() {
                        return Ok(pair);
                    }
                    self.at = before;
                }
                char::from_u32(u32::from(first)).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return Err(self.error("unknown escape in a string")),
        })
    }

    fn hex_unit(&mut self) -> Result<u16, FrameError> {
        let digits = self.text.get(self.at..self.at + 4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let unit = digits
            .and_then(|digits| u16::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.error("\\u needs four hexadecimal digits"))?;
        self.at += 4;
        Ok(unit)
    }
}
