//! Links: what the way from one host to another does to a packet.
//!
//! One link per ordered pair of hosts, the way back being another, and one per host to itself (loopback). A link delays
//! by a fixed latency, an exponential jitter and a rare long tail, serialises by its bandwidth, and loses packets with a
//! probability. What it does to the n-th packet of a connection is a function of the connection's key and n alone: every
//! packet costs two draws, whatever becomes of it.

use super::super::{core::HostId, key::Stream};
use std::collections::BTreeMap;

/// The properties of the way from one host to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkSpec {
    /// One way, nanoseconds; no packet is faster.
    pub latency_ns_min: u64,
    /// Added to every packet: exponentially distributed with this mean.
    pub jitter_ns_mean: u64,
    /// The share of packets that meet a queue on their way, 0 to 1.
    pub tail_probability: f64,
    /// What those packets wait in addition: exponentially distributed with this mean.
    pub tail_ns_mean: u64,
    /// How fast the sender's network card puts packets onto this way.
    pub bandwidth_bytes_per_s: u64,
    /// The probability that a packet is lost, 0 to 1.
    pub loss: f64,
}

impl LinkSpec {
    /// Two racks of one data centre: 150 µs and a jitter of 30 µs, 10 Gbit/s, one packet of 1,000 late by milliseconds.
    pub const LAN: LinkSpec = LinkSpec {
        latency_ns_min: 150_000,
        jitter_ns_mean: 30_000,
        tail_probability: 0.001,
        tail_ns_mean: 3_000_000,
        bandwidth_bytes_per_s: 1_250_000_000,
        loss: 0.0,
    };

    /// A host to itself.
    pub const LOOPBACK: LinkSpec = LinkSpec {
        latency_ns_min: 15_000,
        jitter_ns_mean: 2_000,
        tail_probability: 0.0,
        tail_ns_mean: 0,
        bandwidth_bytes_per_s: 5_000_000_000,
        loss: 0.0,
    };

    /// How long the network card is busy with so many bytes.
    pub(super) fn serialisation_ns(&self, bytes: u64) -> u64 {
        bytes * 1_000_000_000 / self.bandwidth_bytes_per_s.max(1)
    }
}

impl Default for LinkSpec {
    fn default() -> Self {
        LinkSpec::LAN
    }
}

/// What makes a way longer and narrower for a time, on top of its [`LinkSpec`]: a switch port that fell back to an older
/// speed, a cable full of errors, a detour over another site.
///
/// The narrow place lies behind the sender's network card and has a queue of its own, so that what goes elsewhere is not held
/// up. The queue drops nothing: it is as long as the windows of the connections on it, and what stands in it when the slowdown
/// ends still comes at the old pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkSlowdown {
    /// Added to every packet.
    pub added_latency_ns: u64,
    /// What passes the narrow place; 0 counts as 1.
    pub bytes_per_s_max: u64,
}

impl LinkSlowdown {
    /// How long the narrow place is busy with so many bytes.
    pub(super) fn serialisation_ns(&self, bytes: u64) -> u64 {
        bytes * 1_000_000_000 / self.bytes_per_s_max.max(1)
    }
}

/// What happened on a link so far. Packets are segments of up to 64 KiB.
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
}

impl std::ops::AddAssign for LinkStats {
    fn add_assign(&mut self, other: LinkStats) {
        self.delivered += other.delivered;
        self.delivered_bytes += other.delivered_bytes;
        self.dropped_by_cut += other.dropped_by_cut;
        self.lost += other.lost;
        self.slowed += other.slowed;
        self.dropped_by_silence += other.dropped_by_silence;
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
    /// Segments that were sent again, after a time-out or three duplicate acknowledgements.
    pub retransmissions: u64,
}

/// What a link does to one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Lost,
    /// After so many nanoseconds, counted from the moment when its last bit has left the network card.
    Arrives(u64),
}

/// One direction of one connection on its link: its own randomness, and first in, first out.
pub(super) struct Lane {
    stream: Stream,
    pub last_arrival_ns: u64,
}

impl Lane {
    pub fn new(stream: Stream) -> Lane {
        Lane { stream, last_arrival_ns: 0 }
    }

    /// The fate of the next packet.
    pub fn draw(&mut self, link: &LinkSpec) -> Fate {
        let (delay, events) = (self.stream.u64(), self.stream.u64());
        if chance(events >> 32, link.loss) {
            return Fate::Lost;
        }
        let mut latency = link.latency_ns_min + exponential(delay, link.jitter_ns_mean);
        if chance(events & u64::from(u32::MAX), link.tail_probability) {
            latency += exponential(delay.rotate_left(32), link.tail_ns_mean);
        }
        Fate::Arrives(latency)
    }
}

/// Whether 32 random bits fall into this probability.
fn chance(bits: u64, probability: f64) -> bool {
    (bits as f64) < probability * 4_294_967_296.0
}

/// The exponential distribution's quantile at 64 random bits.
fn exponential(bits: u64, mean: u64) -> u64 {
    let unit = (bits >> 11) as f64 / (1_u64 << 53) as f64;
    (-(mean as f64) * (1.0 - unit).ln()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated::key::Key;

    fn fates(link: LinkSpec) -> Vec<Fate> {
        let mut lane = Lane::new(Key::root(1).stream());
        (0..20_000).map(|_| lane.draw(&link)).collect()
    }

    #[test]
    fn latencies_have_the_mean_and_the_tail_that_the_spec_says() {
        let latencies: Vec<u64> = fates(LinkSpec::LAN)
            .into_iter()
            .map(|fate| match fate {
                Fate::Arrives(latency) => latency,
                Fate::Lost => panic!("a LAN loses nothing"),
            })
            .collect();
        let mean = latencies.iter().sum::<u64>() / latencies.len() as u64;
        assert!((180_000..187_000).contains(&mean), "{mean}");
        assert!(latencies.iter().all(|&latency| latency >= 150_000));
        let late = latencies.iter().filter(|&&latency| latency > 1_000_000).count();
        assert!((5..30).contains(&late), "{late} of 20,000");
    }

    #[test]
    fn loss_does_not_reshuffle_the_packets_that_arrive() {
        let (clean, lossy) = (fates(LinkSpec::LAN), fates(LinkSpec { loss: 0.1, ..LinkSpec::LAN }));
        let lost = lossy.iter().filter(|&&fate| fate == Fate::Lost).count();
        assert!((1_800..2_200).contains(&lost), "{lost}");
        assert!(clean.iter().zip(&lossy).all(|(a, b)| a == b || *b == Fate::Lost));
    }
}
