//! Crash states: what the simulated disk may leave after a crash, against a contract that does not know the model.
//!
//! * [`program`]: programs of file operations, run on a simulated host that is crashed and read again;
//! * [`contract`]: what may be left, as ALICE (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014) and
//!   CrashMonkey (Mohan et al., "Finding Crash-Consistency Bugs with Bounded Black-Box Crash Testing", OSDI 2018) reason about it;
//! * [`exhaustive`]: small programs, whose whole set of images is computed: the model leaves each of them, and no other;
//! * [`random`]: random programs and moments;
//! * [`patterns`]: the update protocols of ALICE, each with the outcomes that are possible.

#![cfg(not(feature = "real"))]

mod contract;
mod exhaustive;
mod patterns;
mod program;
mod random;
