//! The real body of the seam: plain tokio and the operating system.

pub mod disk;
pub mod net;
pub mod process;
pub mod rng;
pub mod signal;
pub mod task;
pub mod time;
