//! The `checkpoint` file (`StoreCheckpoint`): how much of the store is known to be on the drive.
//!
//! ```text
//! @0      as Apache's: i64 physicMsgTimestamp, logicsMsgTimestamp, indexMsgTimestamp, and, as 5.x has it, masterFlushedOffset,
//!         confirmPhyOffset
//! @1024   ours: magic "QUEUES/1" | u32 CRC-32 of the 40 bytes at 0 and of what follows here | u32 its length |
//!         i64 recoverFrom | i64 logMin | u32 count | count × (u16 length, topic | i32 queueId | i64 min | i64 max | i64 last)
//! ```
//! All big-endian, and at least 4096 bytes long. Everything in it is a lower bound and claims only what was synced before the
//! checkpoint was written. It is replaced as a whole, never overwritten: a torn number would be a claim.
//!
//! Apache's broker does not look at our part, and changes numbers of its own before it: the checksum then tells that what is here
//! is not ours any more, or is damaged. Nothing of it is believed then.

use std::{path::Path, sync::Arc};

use protocol::PhysicalOffset;
use sim::disk;

use crate::{
    durable,
    error::{StoreError, io_error},
};

const FILE_BYTES: usize = 4096;
const APACHES_BYTES: usize = 40;
const OURS_AT: usize = 1024;
const MAGIC: &[u8; 8] = b"QUEUES/1";
/// The magic, the checksum and the length.
const HEAD_BYTES: usize = 16;

/// What the checkpoint claims. Zero claims nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Every record stored before this time (milliseconds) is flushed.
    pub physic_msg_timestamp_ms: i64,
    /// Every record stored up to this time has its ConsumeQueue unit flushed.
    pub logics_msg_timestamp_ms: i64,
    /// Every record stored up to this time is in index files that are full and flushed.
    pub index_msg_timestamp_ms: i64,
    /// The log is flushed below this physical offset (5.x; Apache 4.9 leaves it as it is).
    pub master_flushed_offset: i64,
    /// What lies below was visible to consumers, and is flushed (5.x's confirm offset).
    pub confirm_phy_offset: i64,
    /// What is known of each queue.
    pub queues: QueueClaims,
}

/// What the ConsumeQueues have on the drive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueueClaims {
    /// A record begins here, and all records before it have their units on the drive; 0 if no place is known.
    pub recover_from: PhysicalOffset,
    /// Where the log began.
    pub log_min: PhysicalOffset,
    /// The queues that have units on the drive.
    pub queues: Arc<[QueueClaim]>,
}

/// What one queue has on the drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueueClaim {
    pub topic: Arc<str>,
    pub queue_id: i32,
    /// It begins here,
    pub min: i64,
    /// ends here,
    pub max: i64,
    /// and its last unit leads there.
    pub last: PhysicalOffset,
}

/// Whether a checkpoint is what a broker of ours has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It is.
    Ours,
    /// There is none, or one of a broker that writes no checksum.
    Unknown,
    /// One of ours was changed since, by another broker or by damage.
    Changed,
}

impl Checkpoint {
    /// Reads the file; a missing or short one claims nothing. One that was changed since it was written is given as it is.
    pub(crate) async fn load(path: &Path) -> Result<(Checkpoint, Origin), StoreError> {
        if !disk::exists(path).await.map_err(io_error("look for", path))? {
            return Ok((Checkpoint::default(), Origin::Unknown));
        }
        let bytes = disk::read(path).await.map_err(io_error("read", path))?;
        Ok(Checkpoint::decode(&bytes))
    }

    /// Writes the file durably; with `checksum` our part of it too.
    pub(crate) async fn store(&self, path: &Path, checksum: bool) -> Result<(), StoreError> {
        durable::replace_file(Some(durable::parent_of(path)), path, &self.encode(checksum), None).await
    }

    fn decode(bytes: &[u8]) -> (Checkpoint, Origin) {
        let number = |position: usize| {
            bytes
                .get(position..position + 8)
                .and_then(|bytes| bytes.try_into().ok())
                .map_or(0, |bytes| i64::from_be_bytes(bytes).max(0))
        };
        let checkpoint = Checkpoint {
            physic_msg_timestamp_ms: number(0),
            logics_msg_timestamp_ms: number(8),
            index_msg_timestamp_ms: number(16),
            master_flushed_offset: number(24),
            confirm_phy_offset: number(32),
            queues: QueueClaims::default(),
        };
        let ours = bytes.get(OURS_AT..).unwrap_or_default();
        if ours.iter().all(|byte| *byte == 0) {
            return (checkpoint, Origin::Unknown);
        }
        match decode_queues(bytes, ours) {
            Some(queues) => (Checkpoint { queues, ..checkpoint }, Origin::Ours),
            None => (checkpoint, Origin::Changed),
        }
    }

    fn encode(&self, checksum: bool) -> Vec<u8> {
        let mut bytes = vec![0; FILE_BYTES];
        let numbers = [
            self.physic_msg_timestamp_ms,
            self.logics_msg_timestamp_ms,
            self.index_msg_timestamp_ms,
            self.master_flushed_offset,
            self.confirm_phy_offset,
        ];
        for (number, place) in numbers.iter().zip(bytes.chunks_exact_mut(8)) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        if checksum {
            let queues = self.queues.encode();
            let crc = checksum_of(&bytes[..APACHES_BYTES], &queues);
            let length = u32::try_from(queues.len()).expect("queues have less than 4 GiB of names");
            let ours = [&MAGIC[..], &crc.to_be_bytes(), &length.to_be_bytes(), &queues].concat();
            bytes.resize(FILE_BYTES.max(OURS_AT + ours.len()), 0);
            bytes[OURS_AT..OURS_AT + ours.len()].copy_from_slice(&ours);
        }
        bytes
    }
}

fn checksum_of(apaches: &[u8], queues: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(apaches);
    hasher.update(queues);
    hasher.finalize()
}

fn decode_queues(bytes: &[u8], ours: &[u8]) -> Option<QueueClaims> {
    let (head, rest) = ours.split_at_checked(HEAD_BYTES)?;
    let number = |at: usize| head[at..at + 4].try_into().map(u32::from_be_bytes).ok();
    let (payload, padding) = rest.split_at_checked(number(12)? as usize)?;
    let is_whole = head[..8] == *MAGIC
        && number(8)? == checksum_of(bytes.get(..APACHES_BYTES)?, payload)
        && padding.iter().all(|byte| *byte == 0);
    if is_whole { QueueClaims::decode(payload) } else { None }
}

impl QueueClaims {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.recover_from.0.to_be_bytes());
        bytes.extend(self.log_min.0.to_be_bytes());
        bytes.extend((self.queues.len() as u32).to_be_bytes());
        for QueueClaim { topic, queue_id, min, max, last } in &*self.queues {
            bytes.extend((topic.len() as u16).to_be_bytes());
            bytes.extend(topic.as_bytes());
            bytes.extend(queue_id.to_be_bytes());
            for number in [*min, *max, last.0] {
                bytes.extend(number.to_be_bytes());
            }
        }
        bytes
    }

    fn decode(mut bytes: &[u8]) -> Option<QueueClaims> {
        fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
            let (taken, rest) = bytes.split_first_chunk()?;
            *bytes = rest;
            Some(*taken)
        }
        let recover_from = PhysicalOffset(i64::from_be_bytes(take(&mut bytes)?));
        let log_min = PhysicalOffset(i64::from_be_bytes(take(&mut bytes)?));
        let count = u32::from_be_bytes(take(&mut bytes)?);
        let mut queues = Vec::new();
        for _ in 0..count {
            let length = usize::from(u16::from_be_bytes(take(&mut bytes)?));
            let (topic, rest) = bytes.split_at_checked(length)?;
            bytes = rest;
            queues.push(QueueClaim {
                topic: std::str::from_utf8(topic).ok()?.into(),
                queue_id: i32::from_be_bytes(take(&mut bytes)?),
                min: i64::from_be_bytes(take(&mut bytes)?),
                max: i64::from_be_bytes(take(&mut bytes)?),
                last: PhysicalOffset(i64::from_be_bytes(take(&mut bytes)?)),
            });
        }
        bytes.is_empty().then_some(QueueClaims { recover_from, log_min, queues: queues.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(queues: usize) -> Checkpoint {
        let claim = |number: usize| QueueClaim {
            topic: format!("Topic{number}").into(),
            queue_id: number as i32,
            min: 3,
            max: 1 << 33,
            last: PhysicalOffset(1 << 40),
        };
        Checkpoint {
            physic_msg_timestamp_ms: 0x01a2_042e_4ca7,
            logics_msg_timestamp_ms: 0x01a2_042e_4ca8,
            index_msg_timestamp_ms: 3,
            master_flushed_offset: 12_400,
            confirm_phy_offset: 0,
            queues: QueueClaims {
                recover_from: PhysicalOffset(77),
                log_min: PhysicalOffset(5),
                queues: (0..queues).map(claim).collect(),
            },
        }
    }

    #[test]
    fn the_layout_is_apaches() {
        for checksum in [false, true] {
            let bytes = checkpoint(3).encode(checksum);
            assert_eq!(bytes.len(), 4096);
            assert_eq!(bytes[..16], [0, 0, 1, 0xa2, 4, 0x2e, 0x4c, 0xa7, 0, 0, 1, 0xa2, 4, 0x2e, 0x4c, 0xa8]);
            let (decoded, origin) = Checkpoint::decode(&bytes);
            let queues = if checksum { checkpoint(3).queues } else { QueueClaims::default() };
            assert_eq!(decoded, Checkpoint { queues, ..checkpoint(0) });
            assert_eq!(origin, if checksum { Origin::Ours } else { Origin::Unknown });
        }
        assert_eq!(Checkpoint::decode(&[]), (Checkpoint::default(), Origin::Unknown));
        assert_eq!(Checkpoint::decode(&checkpoint(1).encode(true)[..24]).0.master_flushed_offset, 0);
        let large = checkpoint(500);
        assert_eq!(Checkpoint::decode(&large.encode(true)), (large, Origin::Ours), "longer than Apache's");
    }

    #[test]
    fn any_change_of_what_is_claimed_is_noticed() {
        let bytes = checkpoint(3).encode(true);
        for at in (0..APACHES_BYTES).chain(OURS_AT..bytes.len()) {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                let (decoded, origin) = Checkpoint::decode(&changed);
                assert_eq!(
                    (origin, decoded.queues),
                    (Origin::Changed, QueueClaims::default()),
                    "bit {bit} of byte {at}"
                );
            }
        }
        for length in OURS_AT + 1..OURS_AT + 100 {
            assert_eq!(Checkpoint::decode(&bytes[..length]).1, Origin::Changed, "{length}");
        }
    }
}
