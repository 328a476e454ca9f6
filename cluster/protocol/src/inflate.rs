//! zlib, expanded with a limit: a few bytes of a peer's must not become gigabytes here.

use flate2::{Decompress, FlushDecompress, Status};

use crate::frame::FRAME_BYTES_MAX;

/// The first allocation, in bytes; each further one doubles it up to the limit.
const FIRST_BYTES: usize = 4096;

/// Expands `zlib`, to at most [`FRAME_BYTES_MAX`] bytes; allocates no more than that at once.
pub(crate) fn inflate(zlib: &[u8]) -> Result<Vec<u8>, &'static str> {
    const DAMAGED: &str = "it is no zlib data, or damaged";
    let mut expanded = Vec::with_capacity(zlib.len().saturating_mul(2).clamp(FIRST_BYTES, FRAME_BYTES_MAX));
    let mut decompress = Decompress::new(true);
    loop {
        let rest = &zlib[decompress.total_in() as usize..];
        let before = (decompress.total_in(), decompress.total_out());
        let status = decompress.decompress_vec(rest, &mut expanded, FlushDecompress::None).map_err(|_| DAMAGED)?;
        if status == Status::StreamEnd {
            return Ok(expanded);
        }
        if expanded.len() < expanded.capacity() {
            if before == (decompress.total_in(), decompress.total_out()) {
                return Err(DAMAGED);
            }
        } else if expanded.capacity() >= FRAME_BYTES_MAX {
            return Err("it expands beyond the frame limit");
        } else {
            let capacity = (expanded.capacity() * 2).min(FRAME_BYTES_MAX);
            expanded.reserve_exact(capacity - expanded.len());
        }
    }
}
