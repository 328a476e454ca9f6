//! What can be done to hosts, each fault with a test that shows that it mattered to a program.

#![cfg(not(feature = "real"))]

mod clocks;
mod memory;
mod misuse;
mod stalls;
mod support;
mod switches;
mod together;
