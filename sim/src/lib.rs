//! sim
#[cfg(all(not(feature = "real"), feature = "sim"))]
pub mod simulated;
