//! Benchmarks of the simulated seam beside madsim's own network and turmoil: `benches/seam/`.
//!
//! A package of its own, so that nothing but a benchmark or a check of all targets compiles what is compared. The library has
//! what all benchmarks of simulations measure with: the CPU time of the process.

mod cpu_time;

pub use cpu_time::{CpuTime, cpu_time};
