//! Known defects and defaults of Apache's brokers, as switches: what `profile = "apache-4.9.8"` turns on.
//!
//! The cluster behaves as RocketMQ should. Where Apache's broker does not, the place asks [`QuirkSet::has`] and does as
//! Apache's does, so that people see what *their* broker loses, and oracles are tried on bugs that really happened. Only
//! simulations can turn quirks on: without the feature `quirks`, and always with `real`, `has` is `false` at compile time.

mod profile;
mod quirk;

pub use profile::{Profile, UnknownProfile};
pub use quirk::{Quirk, UnknownQuirk};

/// Which quirks are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuirkSet {
    #[cfg(all(feature = "quirks", not(feature = "real")))]
    bits: u64,
}

impl QuirkSet {
    /// No quirk: the cluster as it should be.
    pub const NONE: QuirkSet = QuirkSet {
        #[cfg(all(feature = "quirks", not(feature = "real")))]
        bits: 0,
    };

    /// Whether this quirk is on.
    #[cfg(all(feature = "quirks", not(feature = "real")))]
    pub const fn has(self, quirk: Quirk) -> bool {
        self.bits & (1 << quirk as u32) != 0
    }

    /// Whether this quirk is on: never, in this build.
    #[cfg(not(all(feature = "quirks", not(feature = "real"))))]
    pub const fn has(self, _quirk: Quirk) -> bool {
        false
    }

    /// These quirks and one more.
    #[cfg(all(feature = "quirks", not(feature = "real")))]
    #[must_use]
    pub const fn with(self, quirk: Quirk) -> QuirkSet {
        QuirkSet { bits: self.bits | 1 << quirk as u32 }
    }

    /// These quirks without one.
    #[cfg(all(feature = "quirks", not(feature = "real")))]
    #[must_use]
    pub const fn without(self, quirk: Quirk) -> QuirkSet {
        QuirkSet { bits: self.bits & !(1 << quirk as u32) }
    }

    /// Those that are on.
    pub fn iter(self) -> impl Iterator<Item = Quirk> {
        Quirk::ALL.into_iter().filter(move |quirk| self.has(*quirk))
    }
}
