//! The simulated body of the seam: machine models driven by one agenda of events. See `kernel` for how it runs.

pub mod core;
pub mod disk;
pub mod key;
pub mod net;
pub mod trace;
