//! What a program may ask of the kernel's TCP for one connection, the same in both bodies of the seam.

use std::time::Duration;

/// How the kernel finds out whether the peer of an idle connection is still there (`man 7 tcp`, SO_KEEPALIVE). The defaults are
/// Linux's: a dead peer is noticed after 7,875 s. Linux counts in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// A connection on which nothing was heard for so long is probed (TCP_KEEPIDLE).
    pub idle: Duration,
    /// The time between probes (TCP_KEEPINTVL).
    pub interval: Duration,
    /// After so many probes without an answer the connection is given up (TCP_KEEPCNT).
    pub probes: u32,
}

impl Default for KeepAlive {
    fn default() -> Self {
        KeepAlive { idle: Duration::from_secs(7_200), interval: Duration::from_secs(75), probes: 9 }
    }
}
