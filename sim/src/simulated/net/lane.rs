//! Lanes: one direction of one connection on its link, with its own randomness; first in, first out unless reordered.
//!
//! Every packet costs two draws, whatever becomes of it. What only bad links do is drawn from a second stream, four words per
//! packet, so that it changes nothing for the packets it spares; a link that is not bad never opens that stream.

use super::{
    super::key::Stream,
    link::{LatencyDistribution, LinkSpec},
};

/// What a link does to one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Lost,
    /// After so many nanoseconds, counted from the moment when its last bit has left the network card.
    Arrives(u64),
}

/// What a bad link does to a packet that it does not lose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Disturbance {
    /// Damaged, and a checksum notices.
    pub corrupted: bool,
    /// So much later than its turn.
    pub late_by_ns: Option<u64>,
    /// A second copy comes so much later than the first.
    pub copy_after_ns: Option<u64>,
    /// A random number that names the bit that flips.
    pub flip: Option<u64>,
}

pub(super) struct Lane {
    stream: Stream,
    disturbances: Option<Box<Stream>>,
    pub last_arrival_ns: u64,
}

impl Lane {
    pub fn new(stream: Stream) -> Lane {
        Lane { stream, disturbances: None, last_arrival_ns: 0 }
    }

    /// The fate of the next packet.
    pub fn draw(&mut self, link: &LinkSpec) -> Fate {
        let (delay, events) = (self.stream.u64(), self.stream.u64());
        if chance(events >> 32, link.loss) {
            return Fate::Lost;
        }
        let mut latency = link.latency_ns_min.saturating_add(sample(link.distribution, delay, link.jitter_ns_mean));
        if chance(events & u64::from(u32::MAX), link.tail_probability) {
            latency = latency.saturating_add(sample(link.distribution, delay.rotate_left(32), link.tail_ns_mean));
        }
        Fate::Arrives(latency.min(link.latency_ns_max))
    }

    /// What else a link that [disturbs](LinkSpec::disturbs) does to a packet.
    pub fn disturb(&mut self, link: &LinkSpec) -> Disturbance {
        let stream = self.disturbances.get_or_insert_with(|| Box::new(self.stream.sibling("disturbance")));
        let [damage, order, delays, flip] = std::array::from_fn(|_| stream.u64());
        let low = u64::from(u32::MAX);
        let late_ns = |bits: u64| exponential(spread(bits), link.disorder_ns_mean);
        Disturbance {
            corrupted: chance(damage >> 32, link.corrupt),
            late_by_ns: chance(order >> 32, link.reorder).then(|| late_ns(delays)),
            copy_after_ns: chance(order & low, link.duplicate).then(|| late_ns(delays.rotate_left(32))),
            flip: chance(damage & low, link.undetected_corruption).then_some(flip),
        }
    }
}

/// Whether 32 random bits fall into this probability.
fn chance(bits: u64, probability: f64) -> bool {
    (bits as f64) < probability * 4_294_967_296.0
}

/// The quantile of a distribution with this mean at 64 random bits.
fn sample(distribution: LatencyDistribution, bits: u64, mean: u64) -> u64 {
    match distribution {
        LatencyDistribution::Exponential => exponential(bits, mean),
        LatencyDistribution::LogNormal { sigma } => log_normal(spread(bits), mean, sigma),
    }
}

/// The exponential distribution's quantile at 64 random bits.
fn exponential(bits: u64, mean: u64) -> u64 {
    let unit = (bits >> 11) as f64 / (1_u64 << 53) as f64;
    (-(mean as f64) * (1.0 - unit).ln()) as u64
}

/// A log-normally distributed number, by the method of Box and Muller.
fn log_normal(bits: u64, mean: u64, sigma: f64) -> u64 {
    let scale = 1.0 / 4_294_967_296.0;
    let radius = (-2.0 * (((bits >> 32) as f64 + 1.0) * scale).ln()).sqrt();
    let normal = radius * (std::f64::consts::TAU * (bits & u64::from(u32::MAX)) as f64 * scale).cos();
    (mean as f64 * (sigma * normal - sigma * sigma / 2.0).exp()) as u64
}

/// Makes all bits depend on all others (the finaliser of SplitMix64), so that rotated words give independent numbers.
fn spread(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated::key::Key;

    const PACKETS: usize = 20_000;

    fn fates(link: LinkSpec) -> Vec<Fate> {
        let mut lane = Lane::new(Key::root(1).stream());
        (0..PACKETS).map(|_| lane.draw(&link)).collect()
    }

    fn latencies(link: LinkSpec) -> Vec<u64> {
        let latency = |fate| match fate {
            Fate::Arrives(latency) => latency,
            Fate::Lost => panic!("this link loses nothing"),
        };
        fates(link).into_iter().map(latency).collect()
    }

    fn disturbances(link: LinkSpec) -> Vec<Disturbance> {
        let mut lane = Lane::new(Key::root(2).stream());
        (0..PACKETS).map(|_| lane.disturb(&link)).collect()
    }

    fn mean(values: &[u64]) -> u64 {
        values.iter().sum::<u64>() / values.len() as u64
    }

    #[test]
    fn latencies_have_the_mean_and_the_tail_that_the_spec_says() {
        let latencies = latencies(LinkSpec::LAN);
        let mean = mean(&latencies);
        assert!((180_000..187_000).contains(&mean), "{mean}");
        assert!(latencies.iter().all(|&latency| latency >= 150_000));
        let late = latencies.iter().filter(|&&latency| latency > 1_000_000).count();
        assert!((5..30).contains(&late), "{late} of 20,000");
    }

    #[test]
    fn log_normal_latencies_have_mean_and_median_and_keep_to_the_limit() {
        let sigma = 1.0;
        let link = LinkSpec {
            latency_ns_min: 0,
            jitter_ns_mean: 1_000_000,
            tail_probability: 0.0,
            distribution: LatencyDistribution::LogNormal { sigma },
            ..LinkSpec::LAN
        };
        let mut free = latencies(link);
        let mean = mean(&free);
        assert!((950_000..1_050_000).contains(&mean), "{mean}");
        free.sort_unstable();
        let (median, expected) = (free[PACKETS / 2] as f64, 1e6 * (-sigma * sigma / 2.0).exp());
        assert!((median / expected - 1.0).abs() < 0.03, "{median} {expected}");
        let limited = latencies(LinkSpec { latency_ns_max: 2_000_000, ..link });
        let cut_off = free.iter().filter(|&&latency| latency > 2_000_000).count();
        assert!(cut_off > 1_000 && limited.iter().all(|&latency| latency <= 2_000_000), "{cut_off}");
    }

    #[test]
    fn loss_does_not_reshuffle_the_packets_that_arrive() {
        let (clean, lossy) = (fates(LinkSpec::LAN), fates(LinkSpec { loss: 0.1, ..LinkSpec::LAN }));
        let lost = lossy.iter().filter(|&&fate| fate == Fate::Lost).count();
        assert!((1_800..2_200).contains(&lost), "{lost}");
        assert!(clean.iter().zip(&lossy).all(|(a, b)| a == b || *b == Fate::Lost));
    }

    /// The rates seen are the rates asked for: within four standard deviations of the binomial distribution.
    #[test]
    fn disturbances_come_at_the_rates_that_the_spec_says() {
        for rate in [0.001, 0.02, 0.3, 1.0] {
            let link = LinkSpec { corrupt: rate, duplicate: rate, reorder: rate, ..LinkSpec::LAN };
            let seen = disturbances(LinkSpec { undetected_corruption: rate, ..link });
            let count = |is: fn(&Disturbance) -> bool| seen.iter().filter(|disturbance| is(disturbance)).count() as f64;
            let counts = [
                count(|it| it.corrupted),
                count(|it| it.copy_after_ns.is_some()),
                count(|it| it.late_by_ns.is_some()),
                count(|it| it.flip.is_some()),
            ];
            let (expected, deviation) = (rate * PACKETS as f64, (rate * (1.0 - rate) * PACKETS as f64).sqrt());
            assert!(counts.iter().all(|seen| (seen - expected).abs() <= 4.0 * deviation), "{rate}: {counts:?}");
        }
    }

    #[test]
    fn one_disturbance_does_not_reshuffle_another() {
        let both = disturbances(LinkSpec { duplicate: 0.2, reorder: 0.2, ..LinkSpec::LAN });
        let alone = disturbances(LinkSpec { reorder: 0.2, ..LinkSpec::LAN });
        assert!(both.iter().zip(&alone).all(|(a, b)| a.late_by_ns == b.late_by_ns && b.copy_after_ns.is_none()));
        let late = alone.iter().filter_map(|it| it.late_by_ns).collect::<Vec<_>>();
        assert!((900_000..1_100_000).contains(&mean(&late)), "{}", mean(&late));
    }
}
