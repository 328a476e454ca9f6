//! Compresses bodies (`UtilAll.compress`): zlib.

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};

use crate::lock::Lock;

/// A compressor that is kept between messages: its tables take some 300 KiB, which cost more to make than to use.
pub(super) struct Compressor {
    level: Compression,
    idle: Lock<Option<Compress>>,
}

impl Compressor {
    /// `level` is zlib's, 0 to 9.
    pub(super) fn new(level: u32) -> Self {
        Self { level: Compression::new(level), idle: Lock::default() }
    }

    pub(super) fn compress(&self, body: &[u8]) -> Bytes {
        // Another task may be using it: then this one has its own.
        let idle = self.idle.lock().take();
        let mut compress = idle.unwrap_or_else(|| Compress::new(self.level, true));
        let mut out = Vec::with_capacity(body.len() / 2 + 64);
        loop {
            let read = usize::try_from(compress.total_in()).expect("no more is read than there is");
            let status = compress
                .compress_vec(&body[read..], &mut out, FlushCompress::Finish)
                .expect("compressing fails only with a dictionary");
            if status == Status::StreamEnd {
                break;
            }
            out.reserve(body.len() / 2 + 64);
        }
        compress.reset();
        *self.idle.lock() = Some(compress);
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::Compressor;
    use proptest::prelude::*;
    use protocol::message::inflate_body;
    use protocol::sysflag;

    proptest! {
        #[test]
        fn consumers_read_what_was_compressed(
            bodies in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..50), 1_usize..300), 1..5)
        ) {
            let compressor = Compressor::new(5);
            for (piece, times) in bodies {
                let body = piece.repeat(times);
                let compressed = compressor.compress(&body);
                let inflated = inflate_body(&compressed, sysflag::message::COMPRESSED).expect("zlib");
                prop_assert_eq!(&inflated[..], &body[..]);
            }
        }
    }
}
