//! Conformance: the simulated machine answers as a real one does.
//!
//! Every body here is written once and runs on two machines: on simulated hosts (`cargo test -p sim`), and on the real kernel
//! with loopback sockets and a temporary directory (`cargo test -p sim --features real`). It states what Linux does, by values
//! and by `io::ErrorKind`; so where a body passes on one machine and not on the other, the model or the seam is wrong.
//!
//! In the simulation each body runs four times: with both ends of its connections on one host and on two, and with two
//! seeds. Bodies say nothing about how long something takes, except where the order of events needs a pause.
//!
//! The `*_programs` modules run random programs, and compare every answer with a small reference written from the manual
//! pages: simulation = reference = kernel.

#[macro_use]
mod stand;
mod answers;

mod file_content;
mod file_handles;
mod file_names;
mod file_programs;
mod file_reference;
mod net_close;
mod net_connect;
mod net_data;
mod net_listen;
mod socket_programs;
mod tasks_and_time;
