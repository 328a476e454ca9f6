//! The JSON header encoding (`RemotingSerializable`, fastjson underneath).
//!
//! Written exactly as fastjson writes it: names in alphabetical order, nothing that is null, control characters as
//! `\uXXXX`, no spaces.
//!
//! Read in two ways. The first is written by hand because it is on the path of every message, and knows the JSON that most
//! peers write; numbers and booleans in `extFields` become text (`ali-ons` sends them), unknown members are skipped, null is
//! absence. What it does not understand is read again as [`fastjson`] reads it.

use std::fmt;
use std::ops::Range;

use bytes::{BufMut, BytesMut};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::{FIELDS_MAX, FrameError, header_text};
use crate::command::{Language, RemotingCommand, SerializeType};
use crate::ext_fields::ExtFields;
use crate::fastjson;

pub(super) fn encode(command: &RemotingCommand, out: &mut BytesMut) {
    out.put_slice(b"{\"code\":");
    put_number(command.code, out);
    if command.has_ext || !command.ext_fields.is_empty() {
        out.put_slice(b",\"extFields\":{");
        // One look at all of them, which nearly always finds nothing.
        let put = if is_plain(command.ext_fields.all_text().as_bytes()) { put_plain } else { put_text };
        let mut before_name: &[u8] = b"\"";
        for (name, value) in command.ext_fields.iter() {
            out.put_slice(before_name);
            put(name, out);
            out.put_slice(b"\":\"");
            put(value, out);
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

/// Each byte is 1.
const ONES: u64 = u64::from_le_bytes([1; 8]);
/// The highest bit of each byte.
const HIGHEST: u64 = ONES << 7;

/// The highest bit is set in the first byte, from the lowest on, that is below the bound, and in none before it.
fn below(word: u64, bound: u64) -> u64 {
    word.wrapping_sub(ONES * bound) & !word
}

/// As [`below`], for bytes that are this one.
fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (ONES * u64::from(byte)), 1)
}

/// Whether fastjson writes one of these eight bytes as an escape: the tests of [`is_escaped`], each on all bytes at once. The
/// highest bit of a byte is set where it is; borrows reach only beyond a byte that is one.
fn any_escaped(bytes: [u8; 8]) -> bool {
    let word = u64::from_le_bytes(bytes);
    (below(word, 0x20) | equal(word, b'"') | equal(word, b'\\') | equal(word, 0x7F)) & HIGHEST != 0
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

/// Writes text without anything to be escaped.
fn put_plain(text: &str, out: &mut BytesMut) {
    out.put_slice(text.as_bytes());
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
    // Which of the two readers says what is wrong does not matter; the first one is more precise.
    decode_usual(&text).or_else(|error| decode_dialect(&text).ok_or(error))
}

fn bare_command() -> RemotingCommand {
    RemotingCommand { version: 0, serialize_type: SerializeType::Json, ..RemotingCommand::request(0, &()) }
}

/// The members of a header (`RemotingCommand`) that are read.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Dialect {
    code: i32,
    ext_fields: Option<DialectFields>,
    flag: i32,
    language: Language,
    opaque: i32,
    remark: Option<String>,
    version: i32,
}

#[derive(Default)]
struct DialectFields(ExtFields);

impl<'de> Deserialize<'de> for DialectFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = ExtFields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("names and values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<ExtFields, A::Error> {
                let (mut fields, mut read) = (ExtFields::new(), 0);
                while let Some((name, value)) = access.next_entry::<String, String>()? {
                    // One that comes again counts again.
                    if read == FIELDS_MAX {
                        return Err(A::Error::custom("too many ext fields"));
                    }
                    read += 1;
                    fields.insert(&name, &value);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Pairs).map(Self)
    }
}

/// Reads a header as fastjson would.
#[cold]
fn decode_dialect(text: &str) -> Option<RemotingCommand> {
    let Dialect { code, ext_fields, flag, language, opaque, remark, version } = fastjson::from_str(text).ok()?;
    Some(RemotingCommand {
        code,
        flag,
        language,
        opaque,
        remark,
        version,
        has_ext: ext_fields.is_some(),
        ext_fields: ext_fields.unwrap_or_default().0,
        ..bare_command()
    })
}

/// The names of all members of a header, in the order of [`Dialect`]'s.
const NAMES: [&str; 7] = ["code", "extFields", "flag", "language", "opaque", "remark", "version"];

/// Reads a header of the usual kind; the error may only mean that it is of another one.
fn decode_usual(text: &str) -> Result<RemotingCommand, FrameError> {
    let mut reader = Reader { text, at: 0 };
    let mut command = bare_command();
    reader.object(|reader, name| {
        match name.in_text(reader.text) {
            "code" => command.code = reader.number()?,
            "flag" => command.flag = reader.number()?,
            "opaque" => command.opaque = reader.number()?,
            "version" => command.version = reader.number()?,
            "language" => {
                let value = reader.field_value()?;
                command.language = Language::from_name(value.as_ref().map_or("", |value| value.in_text(reader.text)));
            }
            "remark" => command.remark = reader.field_value()?.map(|value| value.into_string(reader.text)),
            "extFields" if reader.peek() == Some(b'{') => {
                command.has_ext = true;
                command.ext_fields = reader.fields()?;
            }
            "extFields" if reader.peek() != Some(b'n') => return Err(reader.error("an object is expected")),
            "serializeTypeCurrentRPC" | "extFields" => reader.skip_value()?,
            other if NAMES.iter().any(|name| fastjson::same_name(name, other)) => {
                return Err(reader.error("a member's name is spelt in another way"));
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
enum Text {
    /// It lies there as it is.
    Plain(Range<usize>),
    /// It had escapes.
    Unescaped(String),
}

impl Text {
    fn in_text<'s>(&'s self, header: &'s str) -> &'s str {
        match self {
            Text::Plain(range) => &header[range.clone()],
            Text::Unescaped(text) => text,
        }
    }

    fn into_string(self, header: &str) -> String {
        match self {
            Text::Plain(range) => header[range].to_owned(),
            Text::Unescaped(text) => text,
        }
    }

    /// Where it lies in the text of a map that is over the header from `from` on; put there if need be.
    fn within(&self, from: usize, fields: &mut ExtFields) -> Range<usize> {
        match self {
            Text::Plain(range) => range.start - from..range.end - from,
            Text::Unescaped(text) => fields.append_text(text),
        }
    }
}

/// Where the next quote or backslash is, from `at` on. Most strings of a header have a few bytes.
#[inline]
fn delimiter(bytes: &[u8], at: usize) -> Option<usize> {
    let mut rest = bytes.get(at..)?;
    for _ in 0..SHORT_STRING_WORDS {
        let Some((eight, after)) = rest.split_first_chunk::<8>() else { break };
        let word = u64::from_le_bytes(*eight);
        let found = (equal(word, b'"') | equal(word, b'\\')) & HIGHEST;
        if found != 0 {
            return Some(bytes.len() - rest.len() + found.trailing_zeros() as usize / 8);
        }
        rest = after;
    }
    memchr::memchr2(b'"', b'\\', rest).map(|more| bytes.len() - rest.len() + more)
}

/// The string without escapes that begins with a quote at `at`, and where it is over.
#[inline]
fn plain_string(bytes: &[u8], at: usize) -> Option<(Range<usize>, usize)> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let end = delimiter(bytes, at + 1)?;
    (bytes[end] == b'"').then_some((at + 1..end, end + 1))
}

/// The number at `at` and where it is over, if it is of the kind that nearly all are: nine digits at most, and a value ends there.
#[inline]
fn small_number(bytes: &[u8], at: usize) -> Option<(i32, usize)> {
    let mut number = 0;
    for (count, byte) in bytes.get(at..)?.iter().take(10).enumerate() {
        match byte {
            b'0'..=b'9' if count < 9 => number = number * 10 + i32::from(byte - b'0'),
            b',' | b'}' if count > 0 => return Some((number, at + count)),
            _ => return None,
        }
    }
    None
}

/// So many words of eight bytes are looked at before the search for long strings is begun.
const SHORT_STRING_WORDS: usize = 4;

impl Reader<'_> {
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
        let next = self.text.as_bytes().get(self.at).copied();
        if next.is_none_or(|byte| byte > b' ') {
            return next;
        }
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
    fn object(&mut self, mut member: impl FnMut(&mut Self, Text) -> Result<(), FrameError>) -> Result<(), FrameError> {
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
        // Also those whose name was there before: each is looked for among all others.
        let mut read = 0;
        self.object(|reader, mut name| {
            loop {
                if read == FIELDS_MAX {
                    return Err(reader.error("too many ext fields"));
                }
                read += 1;
                let place = name.within(start, &mut fields);
                let Some((value, next)) = reader.plain_value() else {
                    if let Some(value) = reader.field_value()? {
                        let value = value.within(start, &mut fields);
                        fields.insert_within(place, value);
                    }
                    return Ok(());
                };
                fields.insert_within(place, value.start - start..value.end - start);
                match next {
                    Some(next) => name = Text::Plain(next),
                    None => return Ok(()),
                }
            }
        })?;
        Ok(fields)
    }

    /// The way through nearly all fields: a string without escapes as value, and if a field of the same kind follows without
    /// spaces, its name, so that its value is next. `None`, and nothing consumed, when this value is not of that kind.
    fn plain_value(&mut self) -> Option<(Range<usize>, Option<Range<usize>>)> {
        let bytes = self.text.as_bytes();
        let (value, behind) = plain_string(bytes, self.at)?;
        self.at = behind;
        if bytes.get(behind) == Some(&b',')
            && let Some((name, behind)) = plain_string(bytes, behind + 1)
            && bytes.get(behind) == Some(&b':')
        {
            self.at = behind + 1;
            return Some((value, Some(name)));
        }
        Some((value, None))
    }

    /// A value of `extFields` as text; `None` is null.
    fn field_value(&mut self) -> Result<Option<Text>, FrameError> {
        match self.peek() {
            Some(b'"') => self.string().map(Some),
            Some(_) => {
                let raw = self.bare_word()?;
                let is_plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
                match &self.text[raw.clone()] {
                    "null" => Ok(None),
                    word if matches!(word, "true" | "false") || word.bytes().all(is_plain) => {
                        Ok(Some(Text::Plain(raw)))
                    }
                    _ => Err(self.error("a string, a number, true, false or null is expected")),
                }
            }
            None => Err(self.error("the header ends within an object")),
        }
    }

    /// An integer, bare or quoted; null is 0.
    fn number(&mut self) -> Result<i32, FrameError> {
        if let Some((number, behind)) = small_number(self.text.as_bytes(), self.at) {
            self.at = behind;
            return Ok(number);
        }
        let value = match self.peek() {
            Some(b'"') => self.string()?,
            _ => Text::Plain(self.bare_word()?),
        };
        match value.in_text(self.text) {
            "null" => Ok(0),
            text => text.parse().map_err(|_| self.error("a 32-bit integer is expected")),
        }
    }

    /// A run of letters, digits and signs: a number, `true`, `false` or `null`.
    fn bare_word(&mut self) -> Result<Range<usize>, FrameError> {
        self.skip_space();
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        let length =
            rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')).count();
        if length == 0 {
            return Err(self.error("a value is expected"));
        }
        self.at += length;
        Ok(start..self.at)
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

    /// A string.
    #[inline]
    fn string(&mut self) -> Result<Text, FrameError> {
        self.skip_space();
        match plain_string(self.text.as_bytes(), self.at) {
            Some((range, behind)) => {
                self.at = behind;
                Ok(Text::Plain(range))
            }
            None => self.escaped_string(),
        }
    }

    /// A string with escapes, or none at all.
    fn escaped_string(&mut self) -> Result<Text, FrameError> {
        self.expect(b'"', "a string is expected")?;
        let mut out = String::new();
        loop {
            let end = self.plain_run()?;
            out.push_str(&self.text[self.at..end]);
            self.at = end + 1;
            if self.text.as_bytes()[end] == b'"' {
                return Ok(Text::Unescaped(out));
            }
            let character = self.escape()?;
            out.push(character);
        }
    }

    /// Where the next quote or backslash is.
    fn plain_run(&self) -> Result<usize, FrameError> {
        delimiter(self.text.as_bytes(), self.at).ok_or_else(|| self.error("a string does not end"))
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
