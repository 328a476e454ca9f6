//! Counters: what happened on the links and in the stacks, so that a run can report that a fault mattered.

use super::super::core::HostId;
use std::collections::BTreeMap;

/// What happened on a link so far. A packet is a segment of up to 64 KiB, or a frame where the link is a bad one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Packets that arrived.
    pub delivered: u64,
    /// Payload of the packets that arrived, repeated ones included.
    pub delivered_bytes: u64,
    /// Packets that met a cut, when they left or when they would have arrived.
    pub dropped_by_cut: u64,
    /// Packets lost by the link's own probability.
    pub lost: u64,
    /// Packets that were held up by a slowdown.
    pub slowed: u64,
    /// Packets that vanished because their receiver was off, or their sender went silent before they had left it.
    pub dropped_by_silence: u64,
    /// Packets that a jam held until it ended.
    pub jam_holds_injected: u64,
    /// Packets that were damaged, and dropped by a checksum.
    pub corruptions_injected: u64,
    /// Packets that were put onto the way twice.
    pub duplicates_injected: u64,
    /// Packets that were made late, so that later ones could overtake them.
    pub reorders_injected: u64,
    /// Packets in which a bit flipped that no checksum noticed.
    pub bit_flips_injected: u64,
    /// Packets that a filter dropped, delayed, or reset the connection of.
    pub filter_hits_injected: u64,
}

impl std::ops::AddAssign for LinkStats {
    fn add_assign(&mut self, other: LinkStats) {
        self.delivered += other.delivered;
        self.delivered_bytes += other.delivered_bytes;
        self.dropped_by_cut += other.dropped_by_cut;
        self.lost += other.lost;
        self.slowed += other.slowed;
        self.dropped_by_silence += other.dropped_by_silence;
        self.jam_holds_injected += other.jam_holds_injected;
        self.corruptions_injected += other.corruptions_injected;
        self.duplicates_injected += other.duplicates_injected;
        self.reorders_injected += other.reorders_injected;
        self.bit_flips_injected += other.bit_flips_injected;
        self.filter_hits_injected += other.filter_hits_injected;
    }
}

/// The counters of the whole network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetStats {
    /// The sum over all links.
    pub total: LinkStats,
    /// By (from, to); links on which nothing happened are left out.
    pub links: BTreeMap<(HostId, HostId), LinkStats>,
    /// Connections that were asked for.
    pub connects: u64,
    /// Segments that were sent again, after a time-out or because later ones had arrived.
    pub retransmissions: u64,
    /// Connections that the world reset.
    pub resets_injected: u64,
    /// SYNs and last parts of handshakes that were dropped because an accept queue was full.
    pub accept_overflows: u64,
    /// Those of them that met a queue which the world had filled.
    pub accept_overflows_injected: u64,
    /// Keep-alive probes that were sent.
    pub keepalive_probes: u64,
    /// Names that were resolved late because the world wanted it.
    pub slow_names_injected: u64,
    /// Attempts to resolve a name that failed because the world wanted it.
    pub failed_names_injected: u64,
}
