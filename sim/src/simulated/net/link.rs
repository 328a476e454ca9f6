//! Links: what the way from one host to another does to a packet.
//!
//! One link per ordered pair of hosts, the way back being another, and one per host to itself (loopback). A link delays
//! by a fixed latency, a jitter and a rare long tail, and serialises by its bandwidth. A bad one also loses packets, damages
//! them, delivers them twice or lets later ones overtake them. Who may see that: TCP repairs it, so that a program sees delay
//! alone. The exception is damage that no checksum notices, which is a fault of its own.
//!
//! What a link does to the n-th packet of a connection is a function of the connection's key and n alone, see `lane`.
//!
//! Left out: loss in bursts (every packet is drawn for itself; what lasts is a cut or a jam), and loss by full queues.

/// The properties of the way from one host to another.
///
/// Probabilities are per packet. Ways that lose, damage, repeat or reorder packets carry single Ethernet frames; others
/// carry what segmentation offload hands to the network card, up to 64 KiB at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkSpec {
    /// One way, nanoseconds; no packet is faster.
    pub latency_ns_min: u64,
    /// No packet is slower than this, apart from what it waits for bandwidth, for earlier packets of its connection, or
    /// because it is reordered. `u64::MAX`: no limit.
    pub latency_ns_max: u64,
    /// Added to every packet: distributed by `distribution` with this mean.
    pub jitter_ns_mean: u64,
    /// The share of packets that meet a queue on their way, 0 to 1.
    pub tail_probability: f64,
    /// What those packets wait in addition: distributed by `distribution` with this mean.
    pub tail_ns_mean: u64,
    /// The shape of jitter and tail.
    pub distribution: LatencyDistribution,
    /// How fast the sender's network card puts packets onto this way.
    pub bandwidth_bytes_per_s: u64,
    /// The probability that a packet is lost, 0 to 1.
    pub loss: f64,
    /// The probability that a packet is damaged and a checksum notices: it is lost too, but counted apart. Of damaged
    /// packets TCP's checksum alone would pass one in 2¹⁶, and Ethernet's one in 2³²; that one is not drawn here.
    pub corrupt: f64,
    /// The probability that a packet arrives twice, 0 to 1.
    pub duplicate: f64,
    /// The probability that a packet is late and later ones of its connection overtake it, 0 to 1.
    pub reorder: f64,
    /// How much later a reordered packet, or the second copy of a duplicated one, comes: exponentially distributed with this
    /// mean, nanoseconds.
    pub disorder_ns_mean: u64,
    /// The probability that one bit of a packet's payload flips and no checksum notices, 0 to 1: memory of a switch or a
    /// network card that fails after the checksum was verified, or before it was made (Stone and Partridge, "When the CRC
    /// and TCP checksum disagree", SIGCOMM 2000). The program reads a wrong byte. No plain network does that: off unless a
    /// run is about it.
    pub undetected_corruption: f64,
}

/// The shape of the random part of a latency.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum LatencyDistribution {
    /// What a queue without memory makes.
    #[default]
    Exponential,
    /// What measurements of data centres and of the Internet show: a body around the mean and a heavy tail. `sigma` is the
    /// standard deviation of the logarithm: 0.5 is mild, 1.5 wild.
    LogNormal {
        /// The standard deviation of the natural logarithm.
        sigma: f64,
    },
}

impl LinkSpec {
    /// Two racks of one data centre: 150 µs and a jitter of 30 µs, 10 Gbit/s, one packet of 1,000 late by milliseconds.
    pub const LAN: LinkSpec = LinkSpec {
        latency_ns_min: 150_000,
        latency_ns_max: u64::MAX,
        jitter_ns_mean: 30_000,
        tail_probability: 0.001,
        tail_ns_mean: 3_000_000,
        distribution: LatencyDistribution::Exponential,
        bandwidth_bytes_per_s: 1_250_000_000,
        loss: 0.0,
        corrupt: 0.0,
        duplicate: 0.0,
        reorder: 0.0,
        disorder_ns_mean: 1_000_000,
        undetected_corruption: 0.0,
    };

    /// A host to itself.
    pub const LOOPBACK: LinkSpec = LinkSpec {
        latency_ns_min: 15_000,
        jitter_ns_mean: 2_000,
        tail_probability: 0.0,
        tail_ns_mean: 0,
        bandwidth_bytes_per_s: 5_000_000_000,
        ..LinkSpec::LAN
    };

    /// How long the network card is busy with so many bytes.
    pub(super) fn serialisation_ns(&self, bytes: u64) -> u64 {
        bytes * 1_000_000_000 / self.bandwidth_bytes_per_s.max(1)
    }

    /// Whether it does more to packets than to delay and to lose them.
    pub(super) fn disturbs(&self) -> bool {
        self.corrupt > 0.0 || self.duplicate > 0.0 || self.reorder > 0.0 || self.undetected_corruption > 0.0
    }

    /// Whether packets are to be drawn one frame at a time.
    pub(super) fn is_bad(&self) -> bool {
        self.loss > 0.0 || self.disturbs()
    }

    /// The words that tell two specs apart, for the trace.
    pub(in crate::simulated) fn words(&self) -> [u64; 14] {
        let (shape, sigma) = match self.distribution {
            LatencyDistribution::Exponential => (0, 0.0),
            LatencyDistribution::LogNormal { sigma } => (1, sigma),
        };
        [
            self.latency_ns_min,
            self.latency_ns_max,
            self.jitter_ns_mean,
            self.tail_probability.to_bits(),
            self.tail_ns_mean,
            shape,
            sigma.to_bits(),
            self.bandwidth_bytes_per_s,
            self.loss.to_bits(),
            self.corrupt.to_bits(),
            self.duplicate.to_bits(),
            self.reorder.to_bits(),
            self.disorder_ns_mean,
            self.undetected_corruption.to_bits(),
        ]
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
