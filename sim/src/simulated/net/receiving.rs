//! What an endpoint does with a segment that is meant for it.

use super::{
    super::core::Core,
    buffers::Arrival,
    endpoint::{Endpoint, Outcome, Phase},
    error::SocketError,
    segment::{Kind, Segment},
    wire::Wire,
};

impl Endpoint {
    /// Takes a segment. The dead take none: the caller answers for them as for a connection that does not exist.
    pub fn on_segment(&mut self, wire: &mut Wire, core: &mut Core, segment: Segment) -> Outcome {
        if segment.kind == Kind::Reset {
            return self.on_reset(core);
        }
        if let Some(watch) = &mut self.watch {
            watch.on_heard(core.now_ns());
        }
        match self.phase {
            Phase::SynSent => {
                if segment.kind == Kind::SynAck {
                    self.end_handshake(core);
                    self.peer = Some(segment.sender);
                    self.send.open_window(1 + segment.window_bytes);
                    self.send_bare(wire, core, Kind::Ack);
                    core.wake_slot(&mut self.writer);
                }
                Outcome::Stays
            }
            Phase::SynReceived => {
                self.end_handshake(core);
                // An accepted endpoint has an owner and a peer that may send: it cannot vanish by its first segment.
                self.on_open(wire, core, segment);
                Outcome::Established
            }
            Phase::Open => self.on_open(wire, core, segment),
            Phase::TimeWait => {
                if segment.kind != Kind::Ack {
                    self.send_bare(wire, core, Kind::Ack);
                }
                Outcome::Stays
            }
            Phase::Dead => Outcome::Stays,
        }
    }

    /// Linux's `tcp_reset`: what was not sent is thrown away, what has arrived can still be read.
    pub fn on_reset(&mut self, core: &mut Core) -> Outcome {
        let remote = self.route.remote;
        match self.phase {
            Phase::SynSent => self.die(core, SocketError::Refused(remote)),
            Phase::SynReceived | Phase::TimeWait => Outcome::Vanishes,
            Phase::Open if self.receive.is_finished() => self.die(core, SocketError::BrokenPipe(remote)),
            Phase::Open => self.die(core, SocketError::Reset(remote)),
            Phase::Dead => Outcome::Stays,
        }
    }

    fn on_open(&mut self, wire: &mut Wire, core: &mut Core, segment: Segment) -> Outcome {
        match segment.kind {
            // Our acknowledgement of it was lost.
            Kind::SynAck | Kind::Probe => self.send_bare(wire, core, Kind::Ack),
            Kind::Data => {
                if self.is_orphan() && self.receive.is_news(segment.sequence, &segment.payload) {
                    return Outcome::Aborts;
                }
                self.on_acknowledgement(wire, core, &segment);
                let bytes = segment.payload.len();
                let had_gap = self.receive.has_gap();
                let arrival = self.receive.accept(segment.sequence, segment.payload, segment.fin);
                if arrival == Arrival::News {
                    core.wake_slot(&mut self.reader);
                }
                self.acknowledge(wire, core, bytes, arrival == Arrival::News && !had_gap);
            }
            _ => self.on_acknowledgement(wire, core, &segment),
        }
        self.push(wire, core);
        self.settle(core)
    }

    fn on_acknowledgement(&mut self, wire: &mut Wire, core: &mut Core, segment: &Segment) {
        let acknowledged = segment.acknowledged;
        let opened = self.send.open_window(acknowledged + segment.window_bytes);
        if !self.send.in_flight() {
            self.retransmission.on_answer(opened);
        }
        let (before, sacked_before) = (self.send.acknowledged(), self.scoreboard.sacked_bytes());
        let progress = self.send.acknowledge(acknowledged);
        if progress {
            self.retransmission.on_progress(acknowledged, core.now_ns());
            self.restart_timer();
            if self.send.is_writable() {
                core.wake_slot(&mut self.writer);
            }
        }
        if segment.sack.is_some() || !self.scoreboard.is_idle() {
            self.on_selective(wire, core, segment, (before, sacked_before));
        } else if progress {
            self.on_window_acknowledged(core, self.send.acknowledged() - before);
        }
    }

    fn on_window_acknowledged(&mut self, core: &Core, bytes: u64) {
        let (flight, rtt_ns) = (self.flight_bytes(), self.retransmission.srtt_ns());
        self.congestion.on_acknowledged(bytes, flight, core.now_ns(), rtt_ns);
    }

    /// As Linux does by default, only selective acknowledgements count as hints of a loss: a bare duplicate does not.
    /// `before`: what was acknowledged, and selectively, before this segment came.
    fn on_selective(&mut self, wire: &mut Wire, core: &mut Core, segment: &Segment, before: (u64, u64)) {
        let acknowledged = self.send.acknowledged();
        let progress = acknowledged > before.0;
        if progress {
            let recovered = self.scoreboard.recovers();
            self.scoreboard.on_progress(acknowledged);
            if recovered && !self.scoreboard.recovers() {
                self.congestion.on_recovered();
            }
        }
        let blocks = segment.sack.as_ref().map_or(&[][..], |blocks| &blocks[..]);
        let news = self.scoreboard.merge(blocks, acknowledged);
        let delivered = (acknowledged + self.scoreboard.sacked_bytes()).saturating_sub(before.0 + before.1);
        if self.congestion.is_reducing() {
            let flight = self.flight_bytes();
            self.congestion.on_delivered(delivered, flight);
        } else if progress {
            self.on_window_acknowledged(core, delivered);
        }
        if (progress || news) && self.scoreboard.proves_loss() {
            self.repair(wire, core);
        }
    }
}
