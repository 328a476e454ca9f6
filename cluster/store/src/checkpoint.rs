//! The `checkpoint` file (`StoreCheckpoint`): how much of the store is known to be on the drive.
//!
//! Layout: big-endian i64 physicMsgTimestamp @0, logicsMsgTimestamp @8, indexMsgTimestamp @16, and, as 5.x has it,
//! masterFlushedOffset @24 and confirmPhyOffset @32; 4096 bytes. Everything in it is a lower bound and claims only what was
//! synced before the checkpoint was written. It is replaced as a whole, never overwritten: a torn number would be a claim.

use std::path::Path;

use sim::disk;

use crate::{
    durable,
    error::{StoreError, io_error},
};

const FILE_BYTES: usize = 4096;

/// What the checkpoint claims. Zero claims nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
}

impl Checkpoint {
    /// Reads the file; a missing or short one claims nothing.
    pub(crate) async fn load(path: &Path) -> Result<Checkpoint, StoreError> {
        if !disk::exists(path).await.map_err(io_error("look for", path))? {
            return Ok(Checkpoint::default());
        }
        let bytes = disk::read(path).await.map_err(io_error("read", path))?;
        Ok(Checkpoint::decode(&bytes))
    }

    /// Writes the file durably.
    pub(crate) async fn store(&self, path: &Path) -> Result<(), StoreError> {
        durable::replace_file(Some(durable::parent_of(path)), path, &self.encode(), None).await
    }

    fn decode(bytes: &[u8]) -> Checkpoint {
        let number = |position: usize| {
            bytes
                .get(position..position + 8)
                .and_then(|bytes| bytes.try_into().ok())
                .map_or(0, |bytes| i64::from_be_bytes(bytes).max(0))
        };
        Checkpoint {
            physic_msg_timestamp_ms: number(0),
            logics_msg_timestamp_ms: number(8),
            index_msg_timestamp_ms: number(16),
            master_flushed_offset: number(24),
            confirm_phy_offset: number(32),
        }
    }

    fn encode(&self) -> Vec<u8> {
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
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_apaches() {
        let checkpoint = Checkpoint {
            physic_msg_timestamp_ms: 0x01a2_042e_4ca7,
            logics_msg_timestamp_ms: 0x01a2_042e_4ca8,
            index_msg_timestamp_ms: 3,
            master_flushed_offset: 12_400,
            confirm_phy_offset: 0,
        };
        let bytes = checkpoint.encode();
        assert_eq!(bytes.len(), 4096);
        assert_eq!(bytes[..16], [0, 0, 1, 0xa2, 4, 0x2e, 0x4c, 0xa7, 0, 0, 1, 0xa2, 4, 0x2e, 0x4c, 0xa8]);
        assert_eq!(Checkpoint::decode(&bytes), checkpoint);
        assert_eq!(Checkpoint::decode(&[]), Checkpoint::default());
        assert_eq!(Checkpoint::decode(&bytes[..24]).master_flushed_offset, 0);
    }
}
