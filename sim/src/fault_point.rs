//! Fault points: rare branches of a program, named so that a simulation can make them common.
//!
//! `if sim::fault_point!("store.flush.skipped") { … }` marks a branch that a real machine takes only once in a while, or
//! in an unlucky moment: an early time-out, a short batch, a background task that lags behind. A real build sees the constant
//! `false` and compiles nothing. A simulation draws for each run which sites are active, and an active one fires by keyed
//! randomness, as FoundationDB's BUGGIFY does (`flow/include/flow/Buggify.h`). Unless the run asks for it none ever fires.
//!
//! A branch behind a fault point must be one that the program may take anyhow: a simulation must not find what a real
//! machine cannot do. The program does not ask whether it is simulated; it says where its luck may run out.

/// Whether luck runs out here: `fault_point!("crate.place.what")`, or with a probability of its own,
/// `fault_point!("crate.place.what", 0.01)`. `false` in real builds.
///
/// The name is a literal, stands in one place of the source only, and is listed with what it does in
/// `scenarios/src/fault_points.rs`.
#[cfg(feature = "real")]
#[macro_export]
macro_rules! fault_point {
    ($name:literal $(, $rate:literal)?) => {
        false
    };
}

/// Whether luck runs out here: `fault_point!("crate.place.what")`, or with a probability of its own,
/// `fault_point!("crate.place.what", 0.01)`. `false` in real builds.
///
/// The name is a literal, stands in one place of the source only, and is listed with what it does in
/// `scenarios/src/fault_points.rs`.
#[cfg(not(feature = "real"))]
#[macro_export]
macro_rules! fault_point {
    ($name:literal) => {
        $crate::fault_point!($name, 0.25)
    };
    ($name:literal, $rate:literal) => {
        $crate::fault_point_fires($name, $rate)
    };
}
