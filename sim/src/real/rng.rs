//! Random numbers from the system. The purpose only matters in the simulation, where it names the stream.

use rand::RngCore;

/// A uniform 64-bit number.
pub fn u64(_purpose: &'static str) -> u64 {
    rand::rng().next_u64()
}

/// A uniform number in `0..bound`; 0 when `bound` is 0.
pub fn below(purpose: &'static str, bound: u64) -> u64 {
    ((u128::from(u64(purpose)) * u128::from(bound)) >> 64) as u64
}
