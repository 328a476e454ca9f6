//! Random numbers as a function of (seed, process, purpose, counter).

use super::kernel;

/// A uniform 64-bit number: the next of the stream that belongs to this process and this purpose.
pub fn u64(purpose: &'static str) -> u64 {
    draw(purpose, super::key::Stream::u64)
}

/// A uniform number in `0..bound`; 0 when `bound` is 0.
pub fn below(purpose: &'static str, bound: u64) -> u64 {
    draw(purpose, |stream| stream.below(bound))
}

fn draw<R>(purpose: &'static str, draw: impl FnOnce(&mut super::key::Stream) -> R) -> R {
    kernel::with(|kernel| {
        let process = kernel.current().expect("random numbers of the seam belong to a process; the harness has keys");
        let key = kernel.core.key();
        let stream = kernel.streams.entry((process, purpose)).or_insert_with(|| {
            let host = u64::from(process.host.0);
            key.derive("process").index(host).index(u64::from(process.incarnation)).derive(purpose).stream()
        });
        draw(stream)
    })
}
