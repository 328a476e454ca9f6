//! Crash states: what a crash may leave, on simulated disks and on this machine's, against a contract that knows neither.
//!
//! * [`program`]: programs of file operations; [`programs`]: which ones;
//! * [`contract`]: what may be left, as ALICE (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014) and
//!   CrashMonkey (Mohan et al., "Finding Crash-Consistency Bugs with Bounded Black-Box Crash Testing", OSDI 2018) reason about it;
//! * [`patterns`]: the update protocols of ALICE, each with the outcomes that are possible; [`protocols`]: those of the store;
//! * `simulated/`: simulated machines that crash;
//! * `kernel/`, with `--features real`: file systems of this machine's kernel that lose their power.

mod contract;
#[cfg(feature = "real")]
mod kernel;
mod patterns;
mod program;
mod programs;
mod protocols;
#[cfg(not(feature = "real"))]
mod simulated;
