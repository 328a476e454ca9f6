//! The runtime seam: everything that a program asks of the machine beneath it, in two bodies.
//!
//! | module | simulated body (feature `sim`, the default) | real body (feature `real`, which wins when both are on) |
//! |---|---|---|
//! | [`net`] | our TCP model | `tokio::net` |
//! | [`disk`] | our disk model, three tiers deep | the file system |
//! | [`time`] | virtual; per host an offset and a drift | the system's |
//! | [`task`] | madsim's executor | tokio, multi-threaded |
//! | [`rng`] | a function of (seed, host, purpose, counter) | the system's |
//! | [`process`], [`signal`] | the simulated process | the real process |
//! | [`fault_point!`] | rare branches made common, if the run asks for it | `false` |
//!
//! Programs written on these modules do not know in which body they run. Synchronisation, `select!` and codecs are
//! tokio's own in both bodies: they need no reactor. [`world`] is the control panel of the simulation and exists in the
//! simulated body only; programs must not use it.

#[cfg(not(any(feature = "sim", feature = "real")))]
compile_error!("enable the feature `sim` (the default) or `real`");

#[cfg(all(not(feature = "real"), feature = "sim", not(all(madsim, tokio_unstable))))]
compile_error!(
    "cfg(madsim) and cfg(tokio_unstable) are not set, so this would not be a simulation: either an environment RUSTFLAGS \
     replaced the list in .cargo/config.toml (unset it, or add `--cfg madsim --cfg tokio_unstable` to it), or cargo does \
     not run inside the workspace. For the deployable binaries use `--features real`."
);

mod fault_point;
mod file_types;
#[cfg(feature = "real")]
mod real;
mod socket_options;
#[cfg(feature = "real")]
pub use real::{disk, net, process, rng, signal, task, time};

#[cfg(all(not(feature = "real"), feature = "sim", madsim, tokio_unstable))]
mod simulated;
#[cfg(all(not(feature = "real"), feature = "sim", madsim, tokio_unstable))]
pub use simulated::{disk, net, process, rng, signal, task, time, world};

#[cfg(all(not(feature = "real"), feature = "sim", madsim, tokio_unstable))]
#[doc(hidden)]
pub use simulated::fault_point::fires as fault_point_fires;
