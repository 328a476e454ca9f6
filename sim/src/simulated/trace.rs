//! The rolling trace hash: a digest over every step of the simulation, and the steps themselves when asked for.
//!
//! Two runs with the same hash took the same steps at the same times on the same hosts. The hash is a 64-bit
//! multiply-and-rotate mix; it guards against accidents, not against adversaries.

use super::core::HostId;

/// One step, as written to a trace file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceStep {
    pub at_ns: u64,
    pub host: HostId,
    pub step: &'static str,
    pub a: u64,
    pub b: u64,
}

/// The digest of all steps so far.
pub struct Trace {
    hash: u64,
    count: u64,
    kept: Option<Vec<TraceStep>>,
}

impl Trace {
    /// A new trace; `keep` also keeps every step in memory for writing it out.
    pub fn new(keep: bool) -> Trace {
        Trace { hash: 0x9e37_79b9_7f4a_7c15, count: 0, kept: keep.then(Vec::new) }
    }

    /// Adds a step: its time, its host, a fixed name, and two words of digest (sizes, offsets, identifiers).
    pub fn step(&mut self, at_ns: u64, host: HostId, step: &'static str, a: u64, b: u64) {
        self.mix(at_ns);
        // The name enters by length and first bytes: names are few and fixed, and this runs at every step.
        let name = step.bytes().fold(u64::from(host.0), |word, byte| word.rotate_left(7) ^ u64::from(byte));
        self.mix(name);
        self.mix(a);
        self.mix(b);
        self.count += 1;
        if let Some(kept) = &mut self.kept {
            kept.push(TraceStep { at_ns, host, step, a, b });
        }
    }

    fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29);
    }

    /// The hash over all steps so far.
    pub fn hash(&self) -> u64 {
        let mut hash = self.hash ^ self.count;
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ (hash >> 33)
    }

    /// How many steps were taken.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The steps themselves, if they were kept.
    pub fn take_kept(&mut self) -> Vec<TraceStep> {
        self.kept.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

/// A 64-bit digest of some bytes, for the trace.
pub fn digest(bytes: &[u8]) -> u64 {
    let mut hash = 0x9e37_79b9_7f4a_7c15_u64 ^ bytes.len() as u64;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().expect("chunks of eight bytes"));
        hash = (hash ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29);
    }
    for &byte in chunks.remainder() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29);
    }
    hash ^ (hash >> 31)
}
