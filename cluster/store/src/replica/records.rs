//! Records of another replica's log, looked at before they are written.

use std::sync::Arc;

use bytes::Bytes;
use protocol::{
    PhysicalOffset,
    message::{RecordError, parse_record},
};
use quirks::Quirk;

use crate::{
    dispatch::{DispatchRequest, has_queue_offset, record_tags_code},
    error::StoreError,
    history::{self, EpochEntry},
    store::Shared,
};

/// Whole records of one file, or its blank.
#[derive(Debug)]
pub(crate) struct ReplicaRecords {
    pub at: PhysicalOffset,
    pub bytes: Bytes,
    /// The messages among them that have a place in a queue.
    pub messages: Vec<DispatchRequest>,
    /// STORETIMESTAMP of the youngest.
    pub store_timestamp_ms: i64,
}

impl ReplicaRecords {
    pub(crate) fn check(shared: &Shared, at: PhysicalOffset, bytes: Bytes) -> Result<ReplicaRecords, StoreError> {
        let refuse = |at: PhysicalOffset, why: String| StoreError::NotAppendable { at, why };
        let segment_bytes = shared.log.segment_bytes();
        let Ok(start) = u64::try_from(at.0) else { return Err(refuse(at, "a negative offset".to_owned())) };
        let in_file = segment_bytes - start % segment_bytes;
        if bytes.is_empty() || bytes.len() as u64 > in_file {
            let why = format!("{} bytes come where a file has {in_file} left", bytes.len());
            return Err(refuse(at, why));
        }
        let epochs = shared.epochs.for_checks();
        let mut records = ReplicaRecords { at, bytes: Bytes::new(), messages: Vec::new(), store_timestamp_ms: 0 };
        let mut position = 0;
        while position < bytes.len() {
            let here = at + position as i64;
            match records.take(shared, &epochs, here, &bytes[position..], (in_file - position as u64) as usize) {
                Ok(length) => position += length,
                // Apache's slave writes whatever comes; what is no record never reaches a queue.
                Err(_) if shared.config.quirks.has(Quirk::DivergenceUnchecked) => break,
                Err(why) => return Err(refuse(here, why)),
            }
        }
        Ok(ReplicaRecords { bytes, ..records })
    }

    /// Looks at the record at the start of `rest`; its length.
    fn take(
        &mut self,
        shared: &Shared,
        epochs: &[EpochEntry],
        at: PhysicalOffset,
        rest: &[u8],
        in_file: usize,
    ) -> Result<usize, String> {
        let record = match parse_record(rest) {
            Ok(record) => record,
            Err(RecordError::Blank { blank_bytes }) if blank_bytes == in_file && rest.len() == in_file => {
                return Ok(blank_bytes);
            }
            Err(error) => return Err(error.to_string()),
        };
        let is_elsewhere = record.physical_offset != at;
        if is_elsewhere && !shared.config.quirks.has(Quirk::RecordOffsetUnchecked) {
            return Err(format!("a record comes that belongs at {}", record.physical_offset));
        }
        history::check_record(&record, at, epochs)?;
        if !crate::put::is_queue_name(record.topic, record.queue_id) || record.queue_offset.0 < 0 {
            return Err(format!("a record comes of no queue: {}/{}", record.topic, record.queue_id));
        }
        self.store_timestamp_ms = self.store_timestamp_ms.max(record.store_timestamp_ms);
        if has_queue_offset(record.sys_flag) {
            let tags_code =
                record_tags_code(record.topic, record.properties, record.store_timestamp_ms, &shared.deliver_timestamp);
            let previous = self.messages.last().map(|message| &message.topic).filter(|topic| ***topic == *record.topic);
            self.messages.push(DispatchRequest {
                topic: previous.map_or_else(|| record.topic.into(), Arc::clone),
                queue_id: record.queue_id,
                queue_offset: record.queue_offset,
                physical_offset: record.physical_offset,
                // A record's length was an i32 when it was read.
                size_bytes: record.total_bytes as i32,
                tags_code,
                store_timestamp_ms: record.store_timestamp_ms,
                sys_flag: record.sys_flag,
            });
        }
        Ok(record.total_bytes)
    }
}
