//! The simulated body of the seam: machine models driven by one agenda of events. See `kernel` for how it runs.

mod clock;
mod core;
mod descriptors;
pub mod disk;
mod executor;
pub mod fault_point;
mod host;
mod kernel;
pub mod key;
mod memory;
mod misuse;
pub mod net;
pub mod process;
pub mod rng;
pub mod signal;
mod stall;
mod strobe;
pub mod task;
pub mod time;
mod timer;
pub mod trace;
pub mod world;
