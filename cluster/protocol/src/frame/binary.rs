//! The ROCKETMQ header encoding (`RocketMQSerializable`).
//!
//! ```text
//! 2 code   1 language   2 version   4 opaque   4 flag
//! 4 length, remark
//! 4 length, fields: { 2 length, name, 4 length, value } ...
//! ```
//! An empty remark and an empty value cannot be told from none: they are read as absent, as Java reads them.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};

use super::{FIELDS_MAX, FrameError, header_text};
use crate::command::{Language, RemotingCommand, SerializeType};
use crate::ext_fields::ExtFields;

pub(super) fn encode(command: &RemotingCommand, out: &mut BytesMut) -> Result<(), FrameError> {
    let code = i16::try_from(command.code).map_err(|_| FrameError::CodeTooWide { code: command.code })?;
    out.put_i16(code);
    out.put_u8(command.language.number());
    // Versions are ordinals of some hundreds; the wire has 16 bits for them.
    out.put_i16(command.version as i16);
    out.put_i32(command.opaque);
    out.put_i32(command.flag);
    put_text(command.remark.as_deref().unwrap_or_default(), out);
    let fields_at = out.len();
    out.put_u32(0);
    for (name, value) in command.ext_fields.iter() {
        let name_bytes = i16::try_from(name.len()).map_err(|_| FrameError::FieldNameTooLong { bytes: name.len() })?;
        out.put_i16(name_bytes);
        out.put_slice(name.as_bytes());
        put_text(value, out);
    }
    let fields_bytes = (out.len() - fields_at - 4) as u32;
    out[fields_at..fields_at + 4].copy_from_slice(&fields_bytes.to_be_bytes());
    Ok(())
}

fn put_text(text: &str, out: &mut BytesMut) {
    // A text of 4 GiB would exceed the frame limit, which is checked on the whole.
    out.put_u32(text.len() as u32);
    out.put_slice(text.as_bytes());
}

pub(super) fn decode(header: &[u8]) -> Result<RemotingCommand, FrameError> {
    let mut reader = Reader { header, at: 0 };
    let code = i32::from(i16::from_be_bytes(reader.array()?));
    let [language] = reader.array()?;
    let version = i32::from(i16::from_be_bytes(reader.array()?));
    let opaque = i32::from_be_bytes(reader.array()?);
    let flag = i32::from_be_bytes(reader.array()?);
    let mut command = RemotingCommand {
        language: Language::from_number(language),
        version,
        opaque,
        flag,
        serialize_type: SerializeType::RocketMq,
        ..RemotingCommand::response(code)
    };
    let remark_bytes = reader.length()?;
    let remark = reader.take(remark_bytes)?;
    if !remark.is_empty() {
        command.remark = Some(reader.text(remark)?.into_owned());
    }
    let fields_bytes = reader.length()?;
    let fields = Reader { header: reader.take(fields_bytes)?, at: 0 };
    if !fields.header.is_empty() {
        command.has_ext = true;
        command.ext_fields = decode_fields(fields)?;
    }
    Ok(command)
}

fn decode_fields(mut reader: Reader<'_>) -> Result<ExtFields, FrameError> {
    let mut fields = ExtFields::with_capacity(reader.header.len(), 16);
    // Also those whose name was there before: each is looked for among all others.
    let mut read = 0;
    while reader.at < reader.header.len() {
        let name_bytes = i16::from_be_bytes(reader.array()?);
        let name_bytes = usize::try_from(name_bytes).map_err(|_| reader.error("negative length of a name"))?;
        let name = reader.take(name_bytes)?;
        let value_bytes = reader.length()?;
        let value = reader.take(value_bytes)?;
        if value.is_empty() {
            continue;
        }
        if read == FIELDS_MAX {
            return Err(reader.error("too many ext fields"));
        }
        read += 1;
        fields.insert(&reader.text(name)?, &reader.text(value)?);
    }
    Ok(fields)
}

struct Reader<'a> {
    header: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn error(&self, reason: &'static str) -> FrameError {
        FrameError::BadHeader { encoding: "ROCKETMQ", at: self.at, reason }
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], FrameError> {
        let taken = self.header[self.at..].get(..bytes).ok_or_else(|| self.error("the header ends within a field"))?;
        self.at += bytes;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let taken = self.header[self.at..].first_chunk().ok_or_else(|| self.error("the header ends within a field"))?;
        self.at += N;
        Ok(*taken)
    }

    fn text<'b>(&self, bytes: &'b [u8]) -> Result<Cow<'b, str>, FrameError> {
        header_text(bytes, self.header.len()).ok_or_else(|| self.error("it is long and no UTF-8"))
    }

    fn length(&mut self) -> Result<usize, FrameError> {
        let word = i32::from_be_bytes(self.array()?);
        usize::try_from(word).map_err(|_| self.error("negative length"))
    }
}
