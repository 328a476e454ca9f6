//! The simulated network: the TCP stacks of all hosts, the links between them, and the sockets that programs use.
//!
//! Two floors. The *model* (`Net` and its parts) is plain data with plain functions: it knows no futures and no executor,
//! reads the time from `Core` and puts its packets and timers on `Core`'s agenda. The *shell* ([`TcpListener`],
//! [`TcpStream`], [`resolve`], [`local_ip`]) gives it the shape of `tokio::net`, which is what the real body of the seam is.
//!
//! What is modelled, one file each:
//! * `link`, `lane`: what a path between two hosts does to a packet: latency with a tail, bandwidth, loss, disorder;
//! * `wire`, `arrival`, `stats`: packets on their way, network cards with their queues, cuts, jams, counters;
//! * `segment`, `buffers`, `endpoint`, `receiving`, `timers`: one end of a connection: windows and back-pressure,
//!   acknowledgement, retransmission, half close, reset, the time-outs of Linux;
//! * `acknowledging`, `congestion`: when a receiver answers, and how much a sender may have on its way;
//! * `reassembly`, `scoreboard`: what waits beyond a gap at the receiver, and what its sender knows of that;
//! * `liveness`: keep-alive, and a program's own limit of patience;
//! * `names`, `filter`: name services that fail, and middleboxes that read what passes;
//! * `host`: addresses, ports and what is bound to them on one host;
//! * `model`: the stacks together: arrivals, the end of a process, the silence of a host;
//! * `sockets`: what a program can ask of them;
//! * `control`: what the world does to all of it.
//!
//! Left out on purpose: IPv6, UDP, time stamps and what Linux learns from them about needless time-outs (F-RTO, Eifel), ICMP (an
//! address that nobody has is silent, as behind a router), and queues in switches that drop what they have no room for.

mod acknowledging;
mod arrival;
mod buffers;
mod config;
mod congestion;
mod control;
mod endpoint;
mod error;
mod filter;
mod host;
mod lane;
mod link;
mod listener;
mod liveness;
mod model;
mod names;
mod reassembly;
mod receiving;
mod resolve;
mod scoreboard;
mod segment;
mod sockets;
mod stats;
mod stream;
#[cfg(test)]
mod tests;
mod timers;
mod wire;

// The seam, the same in both bodies.
pub use crate::socket_options::KeepAlive;
pub use listener::TcpListener;
pub use resolve::{local_ip, resolve};
pub use stream::{OwnedReadHalf, OwnedWriteHalf, TcpStream, set_keepalive, set_user_timeout};

// For the control panel, which exports it.
pub use filter::{LinkFilter, Passing, Verdict};
pub use link::{LatencyDistribution, LinkSlowdown, LinkSpec};
pub use names::NameService;
pub use stats::{LinkStats, NetStats};

// For the kernel.
pub(crate) use model::{Net, NetEvent};

#[cfg(test)]
use {config::NetConfig, error::SocketError};
