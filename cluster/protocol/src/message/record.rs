//! The CommitLog record, read without copying (`CommitLog.checkMessageAndReturnSize`, `MessageDecoder`).
//!
//! Reading tells apart what recovery must tell apart: the end of what was written, the end of a file, a record that was
//! cut, and a record that is damaged. Whether the PHYSICALOFFSET is the place where the record was found is the caller's
//! to check: it knows the place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::newtypes::{PhysicalOffset, QueueOffset};
use crate::properties::find_property;
use crate::sysflag;

/// MAGICCODE of a record whose topic has one byte of length (`MessageDecoder.MESSAGE_MAGIC_CODE`).
pub const MAGIC_V1: u32 = 0xDAA3_20A7;
/// MAGICCODE of a record whose topic has two bytes of length (`MESSAGE_MAGIC_CODE_V2`).
pub const MAGIC_V2: u32 = 0xDAA3_20AB;
/// MAGICCODE of the blank at the end of a file (`CommitLog.BLANK_MAGIC_CODE`).
pub const BLANK_MAGIC: u32 = 0xCBD4_3194;
/// What a file must keep free behind its last record for the blank's size and magic (`END_FILE_MIN_BLANK_LENGTH`).
pub const BLANK_RECORD_BYTES: usize = 8;

/// Where QUEUEOFFSET is in a record.
pub const QUEUE_OFFSET_POSITION: usize = 20;
/// Where PHYSICALOFFSET is in a record.
pub const PHYSICAL_OFFSET_POSITION: usize = 28;
/// Where SYSFLAG is in a record.
const SYS_FLAG_POSITION: usize = 36;
/// Where BORNHOST is in a record, the last field before lengths vary.
const BORN_HOST_POSITION: usize = 48;
/// The shortest record: version 1, IPv4, with no body, topic or properties.
pub const RECORD_BYTES_MIN: usize = 91;

const HOST_V4_BYTES: usize = 8;
const HOST_V6_BYTES: usize = 20;

/// Why there is no whole, sound record at a place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Nothing was ever written here: the zeros of a fresh file, or the end of the buffer.
    #[error("no record: the log ends here")]
    Zeros,
    /// The blank at the end of a file: the next record is at the start of the next file.
    #[error("no record: {blank_bytes} bytes of this file are left blank")]
    Blank {
        /// The file's rest, the blank record included.
        blank_bytes: usize,
    },
    /// The buffer ends within the record.
    #[error("the record is cut: it takes {need_bytes} bytes, {have_bytes} are there")]
    Truncated {
        /// The record's length as far as is known.
        need_bytes: usize,
        /// The buffer's length.
        have_bytes: usize,
    },
    /// The magic is that of no record.
    #[error("bad magic {magic:#010x}: this is no record, or a damaged one")]
    BadMagic {
        /// What was there.
        magic: u32,
    },
    /// The lengths within the record contradict one another.
    #[error("damaged record: {field} does not fit into its {total_bytes} bytes")]
    BadLength {
        /// The field that does not fit.
        field: &'static str,
        /// What TOTALSIZE says.
        total_bytes: i32,
    },
    /// The topic is no UTF-8.
    #[error("damaged record: its topic is no text")]
    BadTopic,
    /// The body is not what was written.
    #[error("damaged record: the CRC of its body is {found:#010x}, it should be {expected:#010x}")]
    BadCrc {
        /// BODYCRC.
        expected: u32,
        /// The CRC of the body that is there.
        found: u32,
    },
    /// The record is not what was written, by the checksum in its last property.
    #[error("damaged record: its checksum {name} does not fit", name = crate::properties::property::CRC32)]
    BadChecksum,
    /// The body says that it is compressed, and cannot be expanded.
    #[error("the body cannot be expanded: {reason}")]
    BadCompression {
        /// Why not.
        reason: &'static str,
    },
}

/// A record within a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// TOTALSIZE: how far the next record is.
    pub total_bytes: usize,
    /// MAGICCODE, [`MAGIC_V1`] or [`MAGIC_V2`].
    pub magic: u32,
    /// BODYCRC, see [`body_crc`].
    pub body_crc: u32,
    /// QUEUEID.
    pub queue_id: i32,
    /// FLAG: the user's.
    pub flag: i32,
    /// QUEUEOFFSET.
    pub queue_offset: QueueOffset,
    /// PHYSICALOFFSET: where the writer put it.
    pub physical_offset: PhysicalOffset,
    /// SYSFLAG: [`sysflag::message`] bits.
    pub sys_flag: i32,
    /// BORNTIMESTAMP: the producer's wall clock, in ms.
    pub born_timestamp_ms: i64,
    /// BORNHOST: the producer.
    pub born_host: SocketAddr,
    /// STORETIMESTAMP: the broker's wall clock, in ms.
    pub store_timestamp_ms: i64,
    /// STOREHOST: the broker.
    pub store_host: SocketAddr,
    /// RECONSUMETIMES.
    pub reconsume_times: i32,
    /// PREPARED_TX_OFFSET: the half message of a committed one.
    pub prepared_transaction_offset: PhysicalOffset,
    /// BODY, as stored: compressed if the flag says so.
    pub body: &'a [u8],
    /// TOPIC.
    pub topic: &'a str,
    /// PROPERTIES, in their text form.
    pub properties: &'a [u8],
    /// All of it.
    pub bytes: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// Whether the record is what was written: its body, and all of it if it has a [checksum](super::write_checksum).
    ///
    /// # Errors
    /// [`RecordError::BadCrc`], [`RecordError::BadChecksum`].
    pub fn check_crc(&self) -> Result<(), RecordError> {
        let found = body_crc(self.body);
        if found != self.body_crc {
            return Err(RecordError::BadCrc { expected: self.body_crc, found });
        }
        super::checksum::check(self.bytes, self.properties)
    }

    /// Whether the record has a [checksum](super::write_checksum) of the whole: one without is believed by
    /// [`check_crc`](RecordView::check_crc), and only who knows that it was written with one can tell that it is damaged.
    #[must_use]
    pub fn has_checksum(&self) -> bool {
        super::checksum::is_there(self.properties)
    }

    /// The value of one property.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&'a str> {
        find_property(self.properties, name)
    }
}

/// What the first [`RECORD_BYTES_MIN`] bytes of a record say of it: enough to tell whether one can begin there, before
/// all of it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHead {
    /// TOTALSIZE.
    pub total_bytes: usize,
    /// PHYSICALOFFSET: where the writer put it.
    pub physical_offset: PhysicalOffset,
}

/// Reads the head of the record at the start of `buffer`. `None`: no record begins like that.
#[must_use]
pub fn parse_record_head(buffer: &[u8]) -> Option<RecordHead> {
    let head = buffer.first_chunk::<RECORD_BYTES_MIN>()?;
    let mut fields = Fields { rest: head, total_bytes: 0 };
    let total_bytes = usize::try_from(fields.i32("TOTALSIZE").ok()?).ok()?;
    let magic = fields.u32("MAGICCODE").ok()?;
    fields.take("the fields before PHYSICALOFFSET", PHYSICAL_OFFSET_POSITION as i64 - 8).ok()?;
    let physical_offset = PhysicalOffset(fields.i64("PHYSICALOFFSET").ok()?);
    let is_one = matches!(magic, MAGIC_V1 | MAGIC_V2) && total_bytes >= RECORD_BYTES_MIN;
    is_one.then_some(RecordHead { total_bytes, physical_offset })
}

/// BODYCRC of a body (`UtilAll.crc32`): CRC-32 without its top bit.
#[must_use]
pub fn body_crc(body: &[u8]) -> u32 {
    crc32fast::hash(body) & 0x7FFF_FFFF
}

/// Reads the record at the start of `buffer`, which may go on behind it. Checksums are not looked at:
/// see [`RecordView::check_crc`].
///
/// # Errors
/// There is none; the error says what is there instead.
pub fn parse_record(buffer: &[u8]) -> Result<RecordView<'_>, RecordError> {
    let Some(head) = buffer.first_chunk::<8>() else {
        let zeros = buffer.iter().all(|byte| *byte == 0);
        return Err(if zeros {
            RecordError::Zeros
        } else {
            RecordError::Truncated { need_bytes: BLANK_RECORD_BYTES, have_bytes: buffer.len() }
        });
    };
    let [s0, s1, s2, s3, m0, m1, m2, m3] = *head;
    let total = i32::from_be_bytes([s0, s1, s2, s3]);
    let magic = u32::from_be_bytes([m0, m1, m2, m3]);
    let topic_length_bytes = match magic {
        MAGIC_V1 => 1,
        MAGIC_V2 => 2,
        BLANK_MAGIC => {
            let blank_bytes = usize::try_from(total)
                .ok()
                .filter(|blank_bytes| *blank_bytes >= BLANK_RECORD_BYTES)
                .ok_or(RecordError::BadLength { field: "BLANK", total_bytes: total })?;
            return Err(RecordError::Blank { blank_bytes });
        }
        0 if total == 0 => return Err(RecordError::Zeros),
        _ => return Err(RecordError::BadMagic { magic }),
    };
    let total_bytes = usize::try_from(total)
        .ok()
        .filter(|total_bytes| *total_bytes >= RECORD_BYTES_MIN)
        .ok_or(RecordError::BadLength { field: "TOTALSIZE", total_bytes: total })?;
    let record = buffer
        .get(..total_bytes)
        .ok_or(RecordError::Truncated { need_bytes: total_bytes, have_bytes: buffer.len() })?;
    let mut fields = Fields { rest: &record[8..], total_bytes: total };
    let body_crc = fields.u32("BODYCRC")?;
    let queue_id = fields.i32("QUEUEID")?;
    let flag = fields.i32("FLAG")?;
    let queue_offset = QueueOffset(fields.i64("QUEUEOFFSET")?);
    let physical_offset = PhysicalOffset(fields.i64("PHYSICALOFFSET")?);
    let sys_flag = fields.i32("SYSFLAG")?;
    let born_timestamp_ms = fields.i64("BORNTIMESTAMP")?;
    let born_host = fields.host("BORNHOST", sys_flag & sysflag::message::BORN_HOST_V6 != 0)?;
    let store_timestamp_ms = fields.i64("STORETIMESTAMP")?;
    let store_host = fields.host("STOREHOST", sys_flag & sysflag::message::STORE_HOST_V6 != 0)?;
    let reconsume_times = fields.i32("RECONSUMETIMES")?;
    let prepared_transaction_offset = PhysicalOffset(fields.i64("PREPARED_TX_OFFSET")?);
    let body_bytes = i64::from(fields.i32("BODYLENGTH")?);
    let body = fields.take("BODY", body_bytes)?;
    let topic_bytes = if topic_length_bytes == 1 {
        i64::from(fields.array::<1>("TOPICLENGTH")?[0])
    } else {
        i64::from(fields.i16("TOPICLENGTH")?)
    };
    let topic = fields.take("TOPIC", topic_bytes)?;
    let properties_bytes = i64::from(fields.i16("PROPERTIESLENGTH")?);
    let properties = fields.take("PROPERTIES", properties_bytes)?;
    if !fields.rest.is_empty() {
        return Err(RecordError::BadLength { field: "TOTALSIZE", total_bytes: total });
    }
    let topic = std::str::from_utf8(topic).map_err(|_| RecordError::BadTopic)?;
    Ok(RecordView {
        total_bytes,
        magic,
        body_crc,
        queue_id,
        flag,
        queue_offset,
        physical_offset,
        sys_flag,
        born_timestamp_ms,
        born_host,
        store_timestamp_ms,
        store_host,
        reconsume_times,
        prepared_transaction_offset,
        body,
        topic,
        properties,
        bytes: record,
    })
}

/// The blank record for a file's last `blank_bytes` bytes; what follows its 8 bytes has no meaning.
///
/// # Panics
/// `blank_bytes` is less than [`BLANK_RECORD_BYTES`] or over 2 GiB: the caller rolls over to a new file earlier.
#[must_use]
pub fn blank_record(blank_bytes: usize) -> [u8; BLANK_RECORD_BYTES] {
    assert!(blank_bytes >= BLANK_RECORD_BYTES, "a file keeps {BLANK_RECORD_BYTES} bytes free for its blank record");
    let size = i32::try_from(blank_bytes).expect("a CommitLog file is smaller than 2 GiB");
    let [s0, s1, s2, s3] = size.to_be_bytes();
    let [m0, m1, m2, m3] = BLANK_MAGIC.to_be_bytes();
    [s0, s1, s2, s3, m0, m1, m2, m3]
}

/// Writes the QUEUEOFFSET of the record at the start of `record`.
///
/// # Panics
/// `record` is shorter than a record.
pub fn patch_queue_offset(record: &mut [u8], offset: QueueOffset) {
    patch(record, QUEUE_OFFSET_POSITION, offset.0);
}

/// Writes the PHYSICALOFFSET of the record at the start of `record`.
///
/// # Panics
/// `record` is shorter than a record.
pub fn patch_physical_offset(record: &mut [u8], offset: PhysicalOffset) {
    patch(record, PHYSICAL_OFFSET_POSITION, offset.0);
}

/// Writes the STORETIMESTAMP of the record at the start of `record`, whose SYSFLAG must be there already.
///
/// # Panics
/// `record` is shorter than a record.
pub fn patch_store_timestamp(record: &mut [u8], store_timestamp_ms: i64) {
    let position = store_timestamp_position(record);
    patch(record, position, store_timestamp_ms);
}

/// Where STORETIMESTAMP is in this record: 56, or 68 if the producer's address is an IPv6 one.
///
/// # Panics
/// `record` is shorter than a record.
#[must_use]
pub fn store_timestamp_position(record: &[u8]) -> usize {
    // Bits 0 to 7 of the big-endian SYSFLAG are its last byte.
    let born_host_v6 = i32::from(record[SYS_FLAG_POSITION + 3]) & sysflag::message::BORN_HOST_V6 != 0;
    BORN_HOST_POSITION + if born_host_v6 { HOST_V6_BYTES } else { HOST_V4_BYTES }
}

fn patch(record: &mut [u8], position: usize, value: i64) {
    record[position..position + 8].copy_from_slice(&value.to_be_bytes());
}

/// How many bytes an address takes in a record.
pub(super) fn host_bytes(host: SocketAddr) -> usize {
    if host.is_ipv4() { HOST_V4_BYTES } else { HOST_V6_BYTES }
}

/// What is left of a record, taken off field by field.
struct Fields<'a> {
    rest: &'a [u8],
    total_bytes: i32,
}

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], RecordError> {
        let (taken, rest) =
            self.rest.split_first_chunk().ok_or(RecordError::BadLength { field, total_bytes: self.total_bytes })?;
        self.rest = rest;
        Ok(*taken)
    }

    fn take(&mut self, field: &'static str, bytes: i64) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = usize::try_from(bytes)
            .ok()
            .and_then(|bytes| self.rest.split_at_checked(bytes))
            .ok_or(RecordError::BadLength { field, total_bytes: self.total_bytes })?;
        self.rest = rest;
        Ok(taken)
    }

    fn i16(&mut self, field: &'static str) -> Result<i16, RecordError> {
        self.array(field).map(i16::from_be_bytes)
    }

    fn i32(&mut self, field: &'static str) -> Result<i32, RecordError> {
        self.array(field).map(i32::from_be_bytes)
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, RecordError> {
        self.array(field).map(u32::from_be_bytes)
    }

    fn i64(&mut self, field: &'static str) -> Result<i64, RecordError> {
        self.array(field).map(i64::from_be_bytes)
    }

    /// An address; of the four bytes of its port Java uses what fits, and so do we.
    fn host(&mut self, field: &'static str, v6: bool) -> Result<SocketAddr, RecordError> {
        let ip = if v6 {
            IpAddr::V6(Ipv6Addr::from(self.array::<16>(field)?))
        } else {
            IpAddr::V4(Ipv4Addr::from(self.array::<4>(field)?))
        };
        Ok(SocketAddr::new(ip, self.u32(field)? as u16))
    }
}
