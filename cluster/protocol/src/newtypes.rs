//! The numbers that must not be mistaken for one another: a place in the CommitLog, a place in a queue, a broker's id.
//!
//! They are transparent and `Copy`; the inner number is public because the codecs of this crate are where the types become
//! numbers. Arithmetic is what the meaning allows: an offset plus a length is an offset, offset minus offset is a length.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Serialize};

macro_rules! offset_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl $name {
            /// Where a log or a queue begins.
            pub const ZERO: Self = Self(0);
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<i64> for $name {
            fn from(value: i64) -> Self {
                Self(value)
            }
        }

        impl Add<i64> for $name {
            type Output = Self;
            fn add(self, distance: i64) -> Self {
                Self(self.0 + distance)
            }
        }

        impl AddAssign<i64> for $name {
            fn add_assign(&mut self, distance: i64) {
                self.0 += distance;
            }
        }

        impl Sub<i64> for $name {
            type Output = Self;
            fn sub(self, distance: i64) -> Self {
                Self(self.0 - distance)
            }
        }

        impl Sub for $name {
            type Output = i64;
            fn sub(self, earlier: Self) -> i64 {
                self.0 - earlier.0
            }
        }
    };
}

offset_type! {
    /// A byte position in the CommitLog of one broker, counted from the first byte ever written.
    PhysicalOffset
}

offset_type! {
    /// A position in one message queue, in messages: the number of a ConsumeQueue unit. Peers may send -1 for "none".
    QueueOffset
}

/// A broker's number within its broker name: 0 is the master, every other number a slave (`MixAll.MASTER_ID`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BrokerId(pub i64);

impl BrokerId {
    /// The id of a master.
    pub const MASTER: Self = Self(0);

    /// Whether this is the id of a master.
    #[must_use]
    pub const fn is_master(self) -> bool {
        self.0 == Self::MASTER.0
    }
}

impl fmt::Display for BrokerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
