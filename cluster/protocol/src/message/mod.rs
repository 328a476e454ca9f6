//! Messages as bytes: the CommitLog record, what a broker stores, what a consumer gets, and batches on their way.
//!
//! ```text
//!  # field                 bytes          # field                 bytes
//!  1 TOTALSIZE             4             10 BORNHOST              8 | 20 (ip, port as 4)
//!  2 MAGICCODE             4             11 STORETIMESTAMP        8
//!  3 BODYCRC               4             12 STOREHOST             8 | 20
//!  4 QUEUEID               4             13 RECONSUMETIMES        4
//!  5 FLAG                  4             14 PREPARED_TX_OFFSET    8
//!  6 QUEUEOFFSET           8             15 BODYLENGTH, BODY      4 + n
//!  7 PHYSICALOFFSET        8             16 TOPICLENGTH, TOPIC    1 (V1) | 2 (V2) + n
//!  8 SYSFLAG               4             17 PROPERTIESLENGTH, ..  2 + n
//!  9 BORNTIMESTAMP         8
//! ```
//! All numbers are big-endian. A file's last record is followed by a blank record that says how much is left over.
//! Left out on purpose: inner batches.

mod batch;
mod checksum;
mod ext;
mod owner;
mod record;
mod to_store;

pub use batch::{BatchError, BatchIter, BatchMessage, batch_message_len, decode_batch, encode_batch_message};
pub use checksum::{CHECKSUM_BYTES, reserve_checksum, write_checksum};
pub use ext::{MessageExt, MessageIter, decode_messages, inflate_body};
pub use owner::{RECORD_OWNER_BYTES_MAX, RecordOwner};
pub use record::{
    BLANK_MAGIC, BLANK_RECORD_BYTES, MAGIC_V1, MAGIC_V2, PHYSICAL_OFFSET_POSITION, QUEUE_OFFSET_POSITION,
    RECORD_BYTES_MIN, RecordError, RecordHead, RecordView, blank_record, body_crc, parse_record, parse_record_head,
    patch_physical_offset, patch_queue_offset, patch_store_timestamp, store_timestamp_position,
};
pub use to_store::{MessageIllegal, MessageToStore};
