//! What time does to an endpoint: retransmission, probes of a shut window, giving up, and the waits at the end.
//!
//! The retransmission time-out is Linux's (`tcp_rtt_estimator`): the smoothed round trip and four times its mean deviation,
//! of which the latter counts at least 200 ms. One segment per round trip is timed, none that was sent twice (Karn).
//!
//! An endpoint has one deadline, whose purpose follows from its state. Moving it later, which every acknowledgement does,
//! costs nothing: the event on the agenda stays, finds at its time that it is early, and goes on the agenda again.

use super::{
    super::core::{Core, Event},
    config::{
        DATA_RETRIES, FIN_WAIT_2_NS, HANDSHAKE_RTO_NS, ORPHAN_RETRIES, REORDERING_NS_MIN, RTO_NS_MAX, RTO_NS_MIN,
        SYN_ACK_RETRIES, SYN_RETRIES, TIME_WAIT_NS,
    },
    endpoint::{Endpoint, Outcome, Phase},
    error::SocketError,
    model::NetEvent,
    segment::{EndpointId, Kind},
    wire::Wire,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Handshake,
    Retransmit,
    /// Something later has arrived: what is missing is late, or lost.
    Reordering,
    /// Several segments are in flight, and nothing later will prove that the last of them is lost.
    TailLoss,
    /// The window is shut: ask whether it is still.
    Probe,
    /// An orphan waits for its peer's FIN.
    FinWait2,
    /// Nothing is in flight: is anybody still there?
    KeepAlive,
    TimeWait,
}

/// The deadline of an endpoint, and the event on the agenda that will look at it.
#[derive(Debug)]
pub(super) struct Timer {
    purpose: Option<Purpose>,
    deadline_ns: u64,
    event_ns: u64,
    /// Which of the events on the agenda counts; others are left over.
    event: u32,
}

impl Default for Timer {
    fn default() -> Self {
        Timer { purpose: None, deadline_ns: u64::MAX, event_ns: u64::MAX, event: 0 }
    }
}

impl Timer {
    fn start(&mut self, core: &mut Core, endpoint: EndpointId, purpose: Purpose, after_ns: u64) {
        self.purpose = Some(purpose);
        self.deadline_ns = core.now_ns().saturating_add(after_ns);
        if self.deadline_ns < self.event_ns {
            self.event_ns = self.deadline_ns;
            self.event = self.event.wrapping_add(1);
            core.schedule(self.deadline_ns, Event::Net(NetEvent::Timer { endpoint, event: self.event }));
        }
    }

    pub fn is_for(&self, purpose: Purpose) -> bool {
        self.purpose == Some(purpose)
    }

    pub fn stop(&mut self) {
        self.purpose = None;
        self.deadline_ns = u64::MAX;
    }

    /// Whether this event, now, means that the deadline has come; and for what.
    fn take_due(&mut self, core: &mut Core, endpoint: EndpointId, event: u32) -> Option<Purpose> {
        if event != self.event || self.event_ns == u64::MAX {
            return None;
        }
        self.event_ns = u64::MAX;
        let purpose = self.purpose?;
        let now_ns = core.now_ns();
        if self.deadline_ns > now_ns {
            self.start(core, endpoint, purpose, self.deadline_ns - now_ns);
            return None;
        }
        self.stop();
        Some(purpose)
    }
}

/// What an endpoint knows about the round trip and about the losses of its own segments.
#[derive(Debug, Default)]
pub(super) struct Retransmission {
    srtt_ns: u64,
    /// Four times the mean deviation of the round trip.
    deviation_ns: u64,
    /// The shortest round trip.
    rtt_ns_min: u64,
    /// The segment whose acknowledgement will be timed: its end and when it was sent (Karn: never one sent twice).
    timed: Option<(u64, u64)>,
    /// Time-outs since the peer was last heard.
    unanswered: u32,
    /// Time-outs since the last progress; the exponent of the back-off.
    backoff: u32,
    /// The time-out has been put off once for a slowed way, see [`Endpoint::puts_off`].
    put_off: bool,
    /// When the first time-out since the last progress was.
    stalled_ns: u64,
}

impl Retransmission {
    /// The smoothed round trip; 0 before the first.
    pub fn srtt_ns(&self) -> u64 {
        self.srtt_ns
    }

    pub fn rto_ns(&self) -> u64 {
        let first = (self.srtt_ns + self.deviation_ns.max(RTO_NS_MIN)).min(RTO_NS_MAX);
        first.saturating_mul(1 << self.backoff.min(20)).min(RTO_NS_MAX)
    }

    /// A segment ending before `end` was sent for the first time.
    pub fn time_segment(&mut self, end: u64, now_ns: u64) {
        self.timed.get_or_insert((end, now_ns));
    }

    /// Something below `acknowledged` is news.
    pub fn on_progress(&mut self, acknowledged: u64, now_ns: u64) {
        (self.unanswered, self.backoff, self.put_off) = (0, 0, false);
        if let Some((end, sent_ns)) = self.timed
            && acknowledged >= end
        {
            self.timed = None;
            let sample_ns = now_ns - sent_ns;
            // RFC 6298: gains of 1/8 and 1/4, the first sample taken as it is with a deviation of its half.
            if self.srtt_ns == 0 {
                (self.srtt_ns, self.deviation_ns, self.rtt_ns_min) = (sample_ns, 2 * sample_ns, sample_ns);
            } else {
                let error_ns = self.srtt_ns.abs_diff(sample_ns);
                self.srtt_ns = self.srtt_ns - self.srtt_ns / 8 + sample_ns / 8;
                self.deviation_ns = self.deviation_ns - self.deviation_ns / 4 + error_ns;
                self.rtt_ns_min = self.rtt_ns_min.min(sample_ns);
            }
        }
    }

    /// How long a missing segment may be late once a later one has arrived: see [`super::scoreboard`].
    fn reordering_ns(&self, saw_reordering: bool) -> u64 {
        let window_ns = if saw_reordering { self.srtt_ns } else { self.rtt_ns_min / 4 };
        window_ns + REORDERING_NS_MIN
    }

    /// How long to wait for the acknowledgement of the last of several segments: `tcp_schedule_loss_probe`.
    fn tail_ns(&self) -> u64 {
        (2 * self.srtt_ns + REORDERING_NS_MIN).min(self.rto_ns())
    }

    /// The segment that is timed was sent again, or may have been.
    pub fn forget_timed(&mut self) {
        self.timed = None;
    }

    /// The peer answered while nothing was in flight: a probe, as a rule. The next may come soon if the window opened.
    pub fn on_answer(&mut self, opened: bool) {
        self.unanswered = 0;
        if opened {
            self.backoff = 0;
        }
    }

    /// Since when nothing has been acknowledged although it was sent again, or a shut window has been probed.
    pub fn stalled_since_ns(&self) -> Option<u64> {
        (self.backoff > 0).then_some(self.stalled_ns)
    }

    fn on_timeout(&mut self, now_ns: u64) {
        if self.backoff == 0 {
            self.stalled_ns = now_ns;
        }
        self.unanswered += 1;
        self.backoff += 1;
        self.timed = None;
    }
}

impl Endpoint {
    /// Begins to wait for the answer to a SYN or SYN/ACK.
    pub fn start_handshake(&mut self, core: &mut Core) {
        self.retransmission.time_segment(1, core.now_ns());
        self.timer.start(core, self.id, Purpose::Handshake, HANDSHAKE_RTO_NS);
    }

    /// The handshake's answer is there.
    pub fn end_handshake(&mut self, core: &mut Core) {
        self.retransmission.on_progress(1, core.now_ns());
        self.timer.stop();
        self.phase = Phase::Open;
    }

    /// Acknowledgements made progress: what is still in flight gets a full time-out from now on.
    pub fn restart_timer(&mut self) {
        if matches!(self.timer.purpose, Some(Purpose::Retransmit | Purpose::TailLoss)) {
            self.timer.stop();
        }
    }

    fn purpose(&self) -> Option<Purpose> {
        match self.phase {
            Phase::SynSent | Phase::SynReceived => Some(Purpose::Handshake),
            Phase::Open if self.scoreboard.waits() => Some(Purpose::Reordering),
            Phase::Open if self.awaits_tail() => Some(Purpose::TailLoss),
            Phase::Open if self.send.in_flight() => Some(Purpose::Retransmit),
            Phase::Open if self.send.has_unsent() => Some(Purpose::Probe),
            Phase::Open if self.is_orphan() && self.send.fin_acknowledged() => Some(Purpose::FinWait2),
            Phase::TimeWait => Some(Purpose::TimeWait),
            Phase::Open if self.watch.as_ref().is_some_and(|watch| watch.keepalive.is_some()) => {
                Some(Purpose::KeepAlive)
            }
            Phase::Open | Phase::Dead => None,
        }
    }

    /// Linux's `tcp_schedule_loss_probe`. With one segment in flight the probe would come no sooner than the time-out.
    fn awaits_tail(&self) -> bool {
        self.tail.probes
            && self.send.in_flight()
            && self.send.acknowledged() < self.tail.start
            && self.scoreboard.is_idle()
            && self.retransmission.backoff == 0
    }

    /// Starts the timer that the state asks for, unless it runs already.
    pub fn plan_timer(&mut self, core: &mut Core) {
        let purpose = self.purpose();
        if purpose == self.timer.purpose {
            return;
        }
        let Some(purpose) = purpose else {
            self.timer.stop();
            return;
        };
        let mut after_ns = match purpose {
            Purpose::Handshake => HANDSHAKE_RTO_NS << self.retransmission.backoff,
            Purpose::Retransmit | Purpose::Probe => self.retransmission.rto_ns(),
            Purpose::TailLoss => self.retransmission.tail_ns(),
            Purpose::Reordering => self.retransmission.reordering_ns(self.scoreboard.saw_reordering()),
            Purpose::FinWait2 => FIN_WAIT_2_NS,
            Purpose::KeepAlive => {
                let watch = self.watch.as_ref();
                watch.and_then(|watch| watch.keepalive_after_ns(core.now_ns())).unwrap_or(u64::MAX)
            }
            Purpose::TimeWait => TIME_WAIT_NS,
        };
        if let (Purpose::Retransmit | Purpose::Probe, Some(ends_ns)) = (purpose, self.patience_ends_ns()) {
            after_ns = after_ns.min(ends_ns.saturating_sub(core.now_ns()));
        }
        self.timer.start(core, self.id, purpose, after_ns);
    }

    /// On a way that has become slow a time-out is early, and resending what merely waits would make the queue longer still.
    /// Linux finds out by time stamps and F-RTO (RFC 5682), which are not modelled; here the time-out waits once for all that
    /// stands on the way at present.
    fn puts_off(&mut self, wire: &Wire, core: &mut Core) -> bool {
        let detour_ns = self.route.remote_host.map_or(0, |to| wire.detour_ns(self.route.host, to, core.now_ns()));
        let puts_off = detour_ns > 0 && !self.retransmission.put_off;
        if puts_off {
            self.retransmission.put_off = true;
            self.timer.start(core, self.id, Purpose::Retransmit, detour_ns);
        }
        puts_off
    }

    /// An event of this endpoint's timer has come.
    pub fn on_timer(&mut self, wire: &mut Wire, core: &mut Core, event: u32) -> Outcome {
        let Some(purpose) = self.timer.take_due(core, self.id, event) else {
            return Outcome::Stays;
        };
        if purpose == Purpose::Retransmit && self.puts_off(wire, core) {
            return Outcome::Stays;
        }
        if purpose == Purpose::TailLoss {
            self.probe_tail(wire, core);
            self.plan_timer(core);
            return Outcome::Stays;
        }
        if purpose == Purpose::KeepAlive {
            return self.on_keepalive(wire, core);
        }
        if purpose == Purpose::Reordering {
            self.repair(wire, core);
            self.plan_timer(core);
            return Outcome::Stays;
        }
        let (unanswered, backoff) = (self.retransmission.unanswered, self.retransmission.backoff);
        let retries = if self.is_orphan() { ORPHAN_RETRIES } else { DATA_RETRIES };
        let patience_ends_ns = self.patience_ends_ns();
        let out_of_patience = patience_ends_ns.is_some_and(|ends_ns| ends_ns <= core.now_ns());
        let spent = match purpose {
            Purpose::Handshake if self.phase == Phase::SynReceived => unanswered >= SYN_ACK_RETRIES,
            Purpose::Handshake => unanswered >= SYN_RETRIES,
            Purpose::Retransmit if patience_ends_ns.is_some() => out_of_patience,
            Purpose::Retransmit => unanswered >= retries,
            Purpose::Probe if out_of_patience => true,
            // An orphan does not probe for ever, even if the peer answers each time.
            Purpose::Probe => unanswered >= retries || (self.is_orphan() && backoff >= ORPHAN_RETRIES),
            Purpose::FinWait2 | Purpose::TimeWait | Purpose::Reordering | Purpose::TailLoss | Purpose::KeepAlive => {
                return Outcome::Vanishes;
            }
        };
        if spent {
            core.trace(self.route.host, "net.timeout", self.route.connection, u64::from(unanswered));
            if self.phase == Phase::SynReceived {
                return Outcome::Vanishes;
            }
            return self.die(core, SocketError::TimedOut(self.route.remote));
        }
        self.retransmission.on_timeout(core.now_ns());
        match purpose {
            Purpose::Handshake => {
                wire.retransmissions += 1;
                let kind = if self.phase == Phase::SynSent { Kind::Syn } else { Kind::SynAck };
                self.send_bare(wire, core, kind);
            }
            Purpose::Retransmit => {
                self.resend_first(wire, core, backoff == 0);
            }
            _ => self.send_bare(wire, core, Kind::Probe),
        }
        self.plan_timer(core);
        Outcome::Stays
    }
}
