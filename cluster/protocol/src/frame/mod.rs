//! Frames: how commands follow one another on a connection.
//!
//! ```text
//! offset size  field
//! 0      4     length of all that follows          (big-endian, as every number here)
//! 4      4     serialize type << 24 | header length
//! 8      h     header, JSON or binary
//! 8+h    rest  body
//! ```
//! A frame that cannot be understood is an error after which the stream has no meaning: the caller closes the
//! connection, as RocketMQ's `NettyDecoder` does. Left out on purpose: TLS and the PROXY preface, whose first bytes are read
//! here as a length far beyond the limit.

mod binary;
mod json;

use std::borrow::Cow;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::command::{RemotingCommand, SerializeType};

/// The longest frame, its length word included, in bytes (`NettyDecoder`'s frameMaxLength, 16 MiB).
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The most fields one header may have. RocketMQ has no such limit; its headers have some twenty.
pub const FIELDS_MAX: usize = 1024;

/// The longest header, in bytes. RocketMQ's own limit is that of the frame; but its longest fields are the properties of a
/// message, 32,767 bytes, of which JSON makes six times as much at most.
pub const HEADER_BYTES_MAX: usize = 512 * 1024;

/// The length word and the header word.
const PREFIX_BYTES: usize = 8;

/// Why a frame cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length word is negative or too small to hold the header word.
    #[error(
        "frame with an impossible length word {length}: the peer does not speak RocketMQ remoting, or lost its place"
    )]
    BadLength {
        /// The word.
        length: i32,
    },
    /// The frame is longer than [`FRAME_BYTES_MAX`].
    #[error(
        "frame of {frame_bytes} bytes is over the limit of {FRAME_BYTES_MAX}: too big a batch, or no RocketMQ remoting (TLS?)"
    )]
    TooLong {
        /// Its length with the length word.
        frame_bytes: usize,
    },
    /// The header does not fit into the frame.
    #[error("frame with a header of {header_bytes} bytes, but only {rest_bytes} bytes follow")]
    BadHeaderLength {
        /// What the header word says.
        header_bytes: usize,
        /// What the frame has.
        rest_bytes: usize,
    },
    /// The header is longer than [`HEADER_BYTES_MAX`].
    #[error("frame with a header of {header_bytes} bytes, over the limit of {HEADER_BYTES_MAX}")]
    HeaderTooLong {
        /// What the header word says.
        header_bytes: usize,
    },
    /// The serialize type is neither 0 (JSON) nor 1 (ROCKETMQ).
    #[error("frame with the unknown serialize type {number}: 0 (JSON) and 1 (ROCKETMQ) are understood")]
    UnknownSerializeType {
        /// The byte.
        number: u8,
    },
    /// The header is not what its type says.
    #[error("{encoding} header is malformed at byte {at}: {reason}")]
    BadHeader {
        /// `JSON` or `ROCKETMQ`.
        encoding: &'static str,
        /// Where in the header.
        at: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// The binary header has 16 bits for the code.
    #[error("code {code} does not fit into a ROCKETMQ header: send it with the JSON serialize type")]
    CodeTooWide {
        /// The code.
        code: i32,
    },
    /// A field's name is longer than the binary header can say.
    #[error("the name of an ext field has {bytes} bytes, a ROCKETMQ header has room for {}", i16::MAX)]
    FieldNameTooLong {
        /// The name's length.
        bytes: usize,
    },
}

/// Appends the frame of `command` to `out`.
///
/// # Errors
/// The command cannot be written: too long, or not expressible in its serialize type. `out` is then as it was.
pub fn encode(command: &RemotingCommand, out: &mut BytesMut) -> Result<(), FrameError> {
    encode_head(command, out)?;
    out.put_slice(&command.body);
    Ok(())
}

/// Appends the frame of `command` but its body, which the caller writes next: for bodies that are worth not copying.
///
/// # Errors
/// As [`encode`].
pub fn encode_head(command: &RemotingCommand, out: &mut BytesMut) -> Result<(), FrameError> {
    let start = out.len();
    out.reserve(PREFIX_BYTES + 256);
    out.put_bytes(0, PREFIX_BYTES);
    let written = match command.serialize_type {
        SerializeType::Json => {
            json::encode(command, out);
            Ok(())
        }
        SerializeType::RocketMq => binary::encode(command, out),
    };
    let header_bytes = out.len() - start - PREFIX_BYTES;
    let frame_bytes = PREFIX_BYTES + header_bytes + command.body.len();
    let within_limit = if frame_bytes > FRAME_BYTES_MAX {
        Err(FrameError::TooLong { frame_bytes })
    } else if header_bytes > HEADER_BYTES_MAX {
        Err(FrameError::HeaderTooLong { header_bytes })
    } else {
        Ok(())
    };
    if let Err(error) = written.and(within_limit) {
        out.truncate(start);
        return Err(error);
    }
    // Both numbers are below FRAME_BYTES_MAX = 2^24, so they fit their words.
    let length = (frame_bytes - 4) as u32;
    let header_word = (u32::from(command.serialize_type.number()) << 24) | header_bytes as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    out[start + 4..start + 8].copy_from_slice(&header_word.to_be_bytes());
    Ok(())
}

/// How many bytes the frame at the start of `buffer` has, the length word included; `None` if that has not arrived yet.
///
/// # Errors
/// The bytes are no frame: close the connection.
pub fn frame_len(buffer: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(length_word) = buffer.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(*length_word);
    let rest_bytes = match usize::try_from(length) {
        Ok(rest_bytes) if rest_bytes >= 4 => rest_bytes,
        _ => return Err(FrameError::BadLength { length }),
    };
    let frame_bytes = rest_bytes + 4;
    if frame_bytes > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong { frame_bytes });
    }
    if let Some(header_word) = buffer.get(4..).and_then(<[u8]>::first_chunk::<4>) {
        let header_bytes = (u32::from_be_bytes(*header_word) & 0x00FF_FFFF) as usize;
        if header_bytes > HEADER_BYTES_MAX && header_bytes <= frame_bytes - PREFIX_BYTES {
            return Err(FrameError::HeaderTooLong { header_bytes });
        }
    }
    Ok(Some(frame_bytes))
}

/// Takes the next frame off `buffer`; `None` means that its bytes have not all arrived, and nothing was taken.
///
/// The body of the command shares `buffer`'s memory. A frame over the limit is refused on its first four bytes.
///
/// # Errors
/// The bytes are no frame: close the connection.
pub fn decode(buffer: &mut BytesMut) -> Result<Option<RemotingCommand>, FrameError> {
    let Some(frame_bytes) = frame_len(buffer)? else {
        return Ok(None);
    };
    if buffer.len() < frame_bytes {
        return Ok(None);
    }
    read(buffer.split_to(frame_bytes).freeze()).map(Some)
}

/// The command of the frame at the start of `buffer` without its body, and how long that is: of a frame that is still coming.
/// Nothing is taken. `None` while its head has not all arrived.
///
/// # Errors
/// The bytes are no frame: close the connection.
pub fn peek_head(buffer: &[u8]) -> Result<Option<(RemotingCommand, usize)>, FrameError> {
    let (Some(frame_bytes), Some(header_word)) = (frame_len(buffer)?, buffer.get(4..).and_then(<[u8]>::first_chunk))
    else {
        return Ok(None);
    };
    let (serialize_type, header_bytes) = header_word_of(u32::from_be_bytes(*header_word), frame_bytes - PREFIX_BYTES)?;
    let Some(header) = buffer.get(PREFIX_BYTES..PREFIX_BYTES + header_bytes) else { return Ok(None) };
    Ok(Some((serialize_type.read(header)?, frame_bytes - PREFIX_BYTES - header_bytes)))
}

/// Reads one frame, with its length word and nothing behind it. The body of the command shares its memory.
///
/// # Errors
/// The bytes are no frame: close the connection.
pub fn decode_whole(frame: Bytes) -> Result<RemotingCommand, FrameError> {
    if frame_len(&frame)? == Some(frame.len()) {
        return read(frame);
    }
    let length = frame.first_chunk::<4>().map_or(0, |word| i32::from_be_bytes(*word));
    Err(FrameError::BadLength { length })
}

/// Reads a frame whose length has been looked at.
fn read(mut frame: Bytes) -> Result<RemotingCommand, FrameError> {
    frame.advance(4);
    let (serialize_type, header_bytes) = header_word_of(frame.get_u32(), frame.len())?;
    let mut command = serialize_type.read(&frame[..header_bytes])?;
    command.body = if header_bytes == frame.len() { Bytes::new() } else { frame.split_off(header_bytes) };
    Ok(command)
}

/// What a header word says of the `rest_bytes` that follow it.
fn header_word_of(word: u32, rest_bytes: usize) -> Result<(SerializeType, usize), FrameError> {
    let number = (word >> 24) as u8;
    let header_bytes = (word & 0x00FF_FFFF) as usize;
    if header_bytes > rest_bytes {
        return Err(FrameError::BadHeaderLength { header_bytes, rest_bytes });
    }
    let serialize_type = SerializeType::from_number(number).ok_or(FrameError::UnknownSerializeType { number })?;
    Ok((serialize_type, header_bytes))
}

impl SerializeType {
    fn read(self, header: &[u8]) -> Result<RemotingCommand, FrameError> {
        match self {
            Self::Json => json::decode(header),
            Self::RocketMq => binary::decode(header),
        }
    }
}

/// A header longer than this must be UTF-8, because replacing what is not makes it longer still.
const LOSSY_HEADER_BYTES_MAX: usize = FRAME_BYTES_MAX / 8;

/// `bytes` of a header of `header_bytes` as text; like Java, what is no UTF-8 is replaced rather than refused.
fn header_text(bytes: &[u8], header_bytes: usize) -> Option<Cow<'_, str>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(Cow::Borrowed(text)),
        Err(_) if header_bytes <= LOSSY_HEADER_BYTES_MAX => Some(String::from_utf8_lossy(bytes)),
        Err(_) => None,
    }
}
