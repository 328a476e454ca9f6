//! Keyed randomness: every random choice of the simulation is a function of (seed, purpose, indices).
//!
//! A [`Key`] is a 256-bit ChaCha key. [`Key::derive`] and [`Key::index`] make sub-keys; [`Key::stream`] opens the ChaCha8
//! stream of a key. Two streams never share state, so that removing one fault, host or connection does not reshuffle what
//! the others draw.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

/// A node in the tree of random keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// The root of the tree for one simulation.
    pub fn root(seed: u64) -> Key {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..26].copy_from_slice(b"staticfire key v1\0");
        Key(bytes).mix(0)
    }

    /// The sub-key for a purpose, for example `"disk"`.
    pub fn derive(self, purpose: &str) -> Key {
        // FNV-1a, 64 bit: spreads short labels well; ChaCha does the rest.
        let hash = purpose
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        self.mix(hash | 1 << 63)
    }

    /// The sub-key for one member of a numbered family: a host, a connection, an operation.
    pub fn index(self, index: u64) -> Key {
        self.mix(index & !(1 << 63))
    }

    /// The stream of random numbers of this key.
    pub fn stream(self) -> Stream {
        Stream(ChaCha8Rng::from_seed(self.0))
    }

    /// The first number of this key's stream: one keyed draw.
    pub fn u64(self) -> u64 {
        self.stream().u64()
    }

    fn mix(self, word: u64) -> Key {
        let mut rng = ChaCha8Rng::from_seed(self.0);
        rng.set_stream(word);
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Key(bytes)
    }
}

/// A ChaCha8 stream of random numbers, with the few distributions that machine models need.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of a sub-key of this stream's key, for a purpose that comes up late.
    pub fn sibling(&self, purpose: &str) -> Stream {
        Key(self.0.get_seed()).derive(purpose).stream()
    }

    /// A uniform 64-bit number.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A uniform number in `0..bound`; 0 when `bound` is 0. (Multiply-shift; the bias is below 2⁻⁶⁴·bound.)
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A uniform number in `low..=high`.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// A uniform number in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// An exponentially distributed number with this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Fills `bytes` with uniform random bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}
