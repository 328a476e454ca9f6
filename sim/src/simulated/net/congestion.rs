//! Congestion control: how much a sender may have on its way, whatever the receiver's window allows.
//!
//! Linux's default, CUBIC (RFC 9438, `tcp_cubic.c`), counted in bytes: ten segments to begin with (RFC 6928), slow start, growth
//! by the cubic function, proportional rate reduction during fast recovery (RFC 6937), one segment after a time-out, and a
//! window that falls back after an idle time (`tcp_slow_start_after_idle`). A window that was not used does not grow
//! (`tcp_is_cwnd_limited`).
//!
//! Left out: HyStart, ECN, pacing, and taking a reduction back that reordering or a slow way had caused (DSACK, Eifel).

use super::config::MSS_BYTES;

const MSS: u64 = MSS_BYTES as u64;
/// `TCP_INIT_CWND`.
const INITIAL_SEGMENTS: u64 = 10;
/// RFC 9438, section 4.6: what is left of the window after a loss.
const BETA: f64 = 0.7;
/// RFC 9438, section 4.1, in segments per second cubed.
const C: f64 = 0.4;
/// RFC 9438, section 4.3: with this additive increase the window is as large as Reno's on average.
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);

/// Fast recovery, as RFC 6937 counts it.
#[derive(Debug)]
struct Reduction {
    /// What was on its way when the loss was seen.
    flight_bytes: u64,
    delivered_bytes: u64,
    sent_bytes: u64,
}

/// The cubic function's parameters, in segments and seconds.
#[derive(Debug, Default)]
struct Cubic {
    /// The window before the last reduction.
    window_max: f64,
    /// The plateau of the curve, and when it is reached.
    origin: f64,
    k_s: f64,
    /// What Reno would have.
    estimate: f64,
    /// When growth began.
    epoch_ns: Option<u64>,
}

impl Cubic {
    /// The window after so many bytes of it were acknowledged.
    fn grow(&mut self, window_bytes: u64, acknowledged_bytes: u64, now_ns: u64, rtt_ns: u64) -> u64 {
        let (window, acknowledged) = (window_bytes as f64 / MSS as f64, acknowledged_bytes as f64 / MSS as f64);
        let epoch_ns = *self.epoch_ns.get_or_insert_with(|| {
            (self.origin, self.k_s) = if self.window_max > window {
                (self.window_max, ((self.window_max - window) / C).cbrt())
            } else {
                (window, 0.0)
            };
            self.estimate = window;
            now_ns
        });
        let t_s = now_ns.saturating_sub(epoch_ns).saturating_add(rtt_ns) as f64 / 1e9;
        let target = (self.origin + C * (t_s - self.k_s).powi(3)).clamp(window, 1.5 * window);
        self.estimate += ALPHA * acknowledged / window;
        let grown = (window + (target - window) * (acknowledged / window)).max(self.estimate);
        (grown * MSS as f64) as u64
    }

    fn on_loss(&mut self, window_bytes: u64) {
        let window = window_bytes as f64 / MSS as f64;
        // Fast convergence: whoever gives way twice leaves room for others.
        self.window_max = if window < self.window_max { window * (1.0 + BETA) / 2.0 } else { window };
        self.epoch_ns = None;
    }
}

/// The congestion window of one direction of a connection.
#[derive(Debug)]
pub(super) struct Congestion {
    window_bytes: u64,
    /// Below it the window doubles every round trip.
    threshold_bytes: u64,
    cubic: Cubic,
    reduction: Option<Reduction>,
    /// The most that was on its way since the last acknowledgement.
    flight_bytes_max: u64,
    sent_ns: u64,
}

impl Default for Congestion {
    fn default() -> Self {
        Congestion {
            window_bytes: INITIAL_SEGMENTS * MSS,
            threshold_bytes: u64::MAX,
            cubic: Cubic::default(),
            reduction: None,
            flight_bytes_max: 0,
            sent_ns: 0,
        }
    }
}

impl Congestion {
    /// How much may be sent while so much is on its way.
    pub fn room_bytes(&self, flight_bytes: u64) -> u64 {
        self.window_bytes.saturating_sub(flight_bytes)
    }

    /// So much is going out, after which so much is on its way.
    pub fn on_sent(&mut self, bytes: u64, flight_bytes: u64, now_ns: u64) {
        self.flight_bytes_max = self.flight_bytes_max.max(flight_bytes);
        self.sent_ns = now_ns;
        if let Some(reduction) = &mut self.reduction {
            reduction.sent_bytes += bytes;
        }
    }

    /// Nothing is on its way and something will be: `tcp_cwnd_restart`.
    pub fn on_restart(&mut self, now_ns: u64, rto_ns: u64) {
        let mut idle_ns = now_ns.saturating_sub(self.sent_ns);
        if idle_ns <= rto_ns || self.sent_ns == 0 {
            return;
        }
        if let Some(epoch_ns) = &mut self.cubic.epoch_ns {
            *epoch_ns += idle_ns;
        }
        let initial = INITIAL_SEGMENTS * MSS;
        if self.window_bytes > initial {
            self.threshold_bytes = self.threshold_bytes.max(self.window_bytes / 4 * 3);
        }
        while idle_ns > rto_ns && self.window_bytes > initial {
            self.window_bytes = (self.window_bytes / 2).max(initial);
            idle_ns -= rto_ns;
        }
    }

    /// So much was acknowledged, and so much is still on its way. Not during fast recovery.
    pub fn on_acknowledged(&mut self, mut bytes: u64, flight_bytes: u64, now_ns: u64, rtt_ns: u64) {
        let is_slow_start = self.window_bytes < self.threshold_bytes;
        let flight_max = std::mem::replace(&mut self.flight_bytes_max, flight_bytes);
        let is_used =
            if is_slow_start { flight_max * 2 > self.window_bytes } else { flight_max + MSS > self.window_bytes };
        if !is_used {
            return;
        }
        if is_slow_start {
            let grows = bytes.min(self.threshold_bytes - self.window_bytes);
            self.window_bytes += grows;
            bytes -= grows;
        }
        if bytes > 0 {
            self.window_bytes = self.cubic.grow(self.window_bytes, bytes, now_ns, rtt_ns);
        }
    }

    /// A segment is lost while so much is on its way: fast recovery begins.
    pub fn on_loss(&mut self, flight_bytes: u64) {
        self.reduce();
        self.reduction = Some(Reduction { flight_bytes: flight_bytes.max(MSS), delivered_bytes: 0, sent_bytes: 0 });
        // Nothing but the first repair until acknowledgements make room.
        self.window_bytes = flight_bytes + MSS;
    }

    /// During fast recovery: so much has arrived, and so much is on its way.
    pub fn on_delivered(&mut self, bytes: u64, flight_bytes: u64) {
        let Some(reduction) = &mut self.reduction else {
            return;
        };
        reduction.delivered_bytes += bytes;
        let Reduction { flight_bytes: at_first, delivered_bytes: delivered, sent_bytes: sent } = *reduction;
        let may_send = if flight_bytes > self.threshold_bytes {
            (delivered * self.threshold_bytes).div_ceil(at_first).saturating_sub(sent)
        } else {
            (self.threshold_bytes - flight_bytes).min(delivered.saturating_sub(sent).max(bytes) + MSS)
        };
        self.window_bytes = flight_bytes + may_send;
    }

    /// Fast recovery or the repairs after a time-out are complete.
    pub fn on_recovered(&mut self) {
        if self.reduction.take().is_some() {
            self.window_bytes = self.threshold_bytes;
        }
    }

    /// Whether fast recovery is under way.
    pub fn is_reducing(&self) -> bool {
        self.reduction.is_some()
    }

    /// A time-out; `is_first` since the last progress.
    pub fn on_timeout(&mut self, is_first: bool) {
        if is_first {
            self.reduce();
        }
        (self.reduction, self.window_bytes, self.flight_bytes_max) = (None, MSS, 0);
    }

    fn reduce(&mut self) {
        self.cubic.on_loss(self.window_bytes);
        self.threshold_bytes = (self.window_bytes * 7 / 10).max(2 * MSS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT_NS: u64 = 100_000_000;

    /// Lets a sender that always has something to send go through so many loss-free round trips from `now_ns` on.
    fn round_trips(congestion: &mut Congestion, count: u64, now_ns: &mut u64) {
        for _ in 0..count {
            let window = congestion.window_bytes;
            congestion.on_sent(window, window, *now_ns);
            *now_ns += RTT_NS;
            let mut left = window;
            while left > 0 {
                let bytes = left.min(2 * MSS);
                left -= bytes;
                // The sender fills the window again at once.
                congestion.on_acknowledged(bytes, congestion.window_bytes, *now_ns, RTT_NS);
            }
        }
    }

    #[test]
    fn the_window_doubles_every_round_trip_until_something_is_lost() {
        let mut congestion = Congestion::default();
        round_trips(&mut congestion, 3, &mut 1);
        assert_eq!(congestion.window_bytes, 80 * MSS);
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut congestion = Congestion::default();
        for at in 1..1_000 {
            congestion.on_sent(300, 300, at);
            congestion.on_acknowledged(300, 0, at, RTT_NS);
        }
        assert_eq!(congestion.window_bytes, 10 * MSS);
    }

    /// RFC 9438, figure 1: after a reduction at W the curve is back at W after K = cbrt(0.3 W / 0.4) seconds.
    #[test]
    fn growth_after_a_loss_is_cubic() {
        let mut congestion = Congestion { window_bytes: 1_000 * MSS, ..Congestion::default() };
        congestion.on_loss(1_000 * MSS);
        congestion.on_recovered();
        assert_eq!(congestion.window_bytes, 700 * MSS);
        let k_s = (0.3_f64 * 1_000.0 / C).cbrt();
        let mut now_ns = 1;
        let half_way = (k_s / 2.0 * 10.0) as u64;
        round_trips(&mut congestion, half_way, &mut now_ns);
        let at_half = congestion.window_bytes / MSS;
        assert!((940..985).contains(&at_half), "{at_half}: 1000 - 300 / 8 on the curve");
        round_trips(&mut congestion, half_way, &mut now_ns);
        let at_k = congestion.window_bytes / MSS;
        assert!((990..=1_010).contains(&at_k), "{at_k}");
    }

    #[test]
    fn fast_recovery_sends_seven_segments_for_ten_that_arrive() {
        let mut congestion = Congestion { window_bytes: 100 * MSS, ..Congestion::default() };
        congestion.on_loss(100 * MSS);
        let (mut flight, mut sent) = (100 * MSS, 0);
        for _ in 0..50 {
            flight -= MSS;
            congestion.on_delivered(MSS, flight);
            while congestion.room_bytes(flight) >= MSS {
                flight += MSS;
                sent += MSS;
                congestion.on_sent(MSS, flight, 1);
            }
        }
        assert!((34..=35).contains(&(sent / MSS)), "{}", sent / MSS);
        congestion.on_recovered();
        assert_eq!(congestion.window_bytes, 70 * MSS);
    }

    #[test]
    fn a_time_out_begins_again_with_one_segment_and_reduces_once() {
        let mut congestion = Congestion { window_bytes: 100 * MSS, ..Congestion::default() };
        congestion.on_timeout(true);
        congestion.on_timeout(false);
        assert_eq!((congestion.window_bytes, congestion.threshold_bytes), (MSS, 70 * MSS));
        round_trips(&mut congestion, 7, &mut 1);
        assert!((70..=80).contains(&(congestion.window_bytes / MSS)), "{}", congestion.window_bytes / MSS);
    }

    #[test]
    fn an_idle_connection_falls_back_by_half_for_every_time_out_that_it_sleeps() {
        let mut congestion = Congestion { window_bytes: 100 * MSS, ..Congestion::default() };
        congestion.on_sent(MSS, MSS, 1);
        congestion.on_restart(200_000_000, 201_000_000);
        assert_eq!(congestion.window_bytes, 100 * MSS);
        congestion.on_restart(450_000_000, 201_000_000);
        assert_eq!(congestion.window_bytes, 25 * MSS);
        congestion.on_restart(10_000_000_000, 201_000_000);
        assert_eq!(congestion.window_bytes, 10 * MSS);
    }
}
