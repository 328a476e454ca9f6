//! One end of a TCP connection: its state, and how it sends.
//!
//! The eleven states of RFC 9293 are written as a phase and the two directions' own progress: `ESTABLISHED` to `LAST_ACK`
//! follow from whether each side's FIN was queued, sent, acknowledged or received. What comes in is in `receiving`, what
//! time does in `timers`.

use super::{
    super::core::{Core, HostId, ProcessId},
    acknowledging::Acknowledging,
    buffers::{ReceiveBuffer, SendBuffer},
    config::{MSS_BYTES, NetConfig},
    congestion::Congestion,
    error::SocketError,
    lane::Lane,
    liveness::Watch,
    scoreboard::Scoreboard,
    segment::{EndpointId, Kind, ListenerId, Payload, Segment},
    timers::{Retransmission, Timer},
    wire::Wire,
};
use std::{net::SocketAddrV4, task::Waker};

/// Who holds an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Process(ProcessId),
    /// Opened by a peer and not accepted yet.
    Listener(ListenerId),
    /// Closed by its process; the kernel brings it to its end.
    Orphan,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    SynSent,
    SynReceived,
    /// From the end of the handshake on.
    Open,
    /// Both FINs are acknowledged, ours was first: answers a repeated FIN, and keeps the 4-tuple from being used again.
    TimeWait,
    /// Reset or timed out; what arrived before can still be read.
    Dead,
}

/// The last segment that was sent, for Linux's tail-loss probe (RFC 8985, section 7).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tail {
    pub start: u64,
    /// It may be probed for: it went out on a bad way and was not probed for yet. On other ways nothing is lost but by cuts and
    /// crashes, which outlast a probe: to leave it out there saves every transfer a timer.
    pub probes: bool,
}

/// What becomes of an endpoint after it has met a segment or a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Stays,
    /// The handshake that a peer began is complete.
    Established,
    /// It has reached its end.
    Vanishes,
    /// It vanishes and its peer shall hear a reset.
    Aborts,
}

/// Between whom a connection is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub host: HostId,
    pub local: SocketAddrV4,
    /// `None` when no host has the remote address.
    pub remote_host: Option<HostId>,
    pub remote: SocketAddrV4,
    /// The ordinal of the connection between the two hosts.
    pub connection: u64,
}

pub(super) struct Endpoint {
    pub id: EndpointId,
    pub route: Route,
    pub owner: Owner,
    pub phase: Phase,
    /// The other end, once it is known.
    pub peer: Option<EndpointId>,
    /// Why it is dead, until somebody was told.
    pub error: Option<SocketError>,
    pub send: SendBuffer,
    pub receive: ReceiveBuffer,
    pub nodelay: bool,
    /// Its FIN went out before the peer's came in.
    pub closed_first: bool,
    pub reader: Option<Waker>,
    /// Waits for room in the send buffer, or for the handshake.
    pub writer: Option<Waker>,
    pub retransmission: Retransmission,
    pub scoreboard: Scoreboard,
    pub congestion: Congestion,
    pub acknowledging: Acknowledging,
    pub tail: Tail,
    /// Keep-alive and the like, if the program asked for it.
    pub watch: Option<Box<Watch>>,
    pub timer: Timer,
    pub lane: Lane,
}

impl Endpoint {
    pub fn new(id: EndpointId, route: Route, owner: Owner, phase: Phase, lane: Lane, config: &NetConfig) -> Endpoint {
        Endpoint {
            id,
            route,
            owner,
            phase,
            peer: None,
            error: None,
            send: SendBuffer::new(config.send_buffer_bytes),
            receive: ReceiveBuffer::new(config.receive_buffer_bytes),
            nodelay: false,
            closed_first: false,
            reader: None,
            writer: None,
            retransmission: Retransmission::default(),
            scoreboard: Scoreboard::default(),
            congestion: Congestion::default(),
            acknowledging: Acknowledging::default(),
            tail: Tail::default(),
            watch: None,
            timer: Timer::default(),
            lane,
        }
    }

    /// The listener that it waits at to be accepted.
    pub fn listener(&self) -> Option<ListenerId> {
        match self.owner {
            Owner::Listener(listener) => Some(listener),
            Owner::Process(_) | Owner::Orphan => None,
        }
    }

    pub fn is_orphan(&self) -> bool {
        self.owner == Owner::Orphan
    }

    fn transmit(&mut self, wire: &mut Wire, core: &mut Core, kind: Kind, sequence: u64, payload: Payload, fin: bool) {
        let segment = Segment {
            kind,
            fin,
            from: self.route.host,
            to: self.route.remote_host,
            source: self.route.local,
            destination: self.route.remote,
            sender: self.id,
            receiver: self.peer,
            connection: self.route.connection,
            sequence,
            acknowledged: self.receive.next(),
            window_bytes: self.receive.window(),
            sack: self.receive.sack(),
            payload,
        };
        self.acknowledging.on_sent(segment.acknowledged, kind, core.now_ns());
        wire.send(core, &mut self.lane, segment);
    }

    /// Sends a segment of this kind without payload.
    pub fn send_bare(&mut self, wire: &mut Wire, core: &mut Core, kind: Kind) {
        let sequence = match kind {
            Kind::Syn | Kind::SynAck => 0,
            // One that the peer has acknowledged long ago: it must answer.
            Kind::Probe => self.send.acknowledged() - 1,
            Kind::Ack | Kind::Data | Kind::Reset => self.send.next(),
        };
        self.transmit(wire, core, kind, sequence, Payload::default(), false);
    }

    /// What is on its way to the peer, as far as is known: `pipe` of RFC 6675.
    pub fn flight_bytes(&mut self) -> u64 {
        let acknowledged = self.send.acknowledged();
        let unacknowledged = self.send.next() - acknowledged;
        if self.scoreboard.is_idle() {
            return unacknowledged;
        }
        let lost: u64 = self.scoreboard.holes(acknowledged).iter().map(|(start, end)| end - start).sum();
        unacknowledged.saturating_sub(self.scoreboard.sacked_bytes() + lost)
    }

    /// Sends one data segment if both windows and Nagle allow it.
    pub fn send_one(&mut self, wire: &mut Wire, core: &mut Core) -> bool {
        let bytes_max = wire.segment_bytes_max(self.route.host, self.route.remote_host);
        if self.send.has_unsent() && !self.send.in_flight() {
            self.congestion.on_restart(core.now_ns(), self.retransmission.rto_ns());
        }
        let flight = self.flight_bytes();
        let room = self.congestion.room_bytes(flight);
        let Some((sequence, payload, fin)) = self.send.take_segment(self.nodelay, bytes_max, room) else {
            return false;
        };
        let bytes = payload.len() as u64;
        self.congestion.on_sent(bytes, flight + bytes, core.now_ns());
        self.retransmission.time_segment(self.send.next(), core.now_ns());
        self.tail = Tail { start: sequence, probes: bytes_max == MSS_BYTES };
        if fin && !self.receive.is_finished() {
            self.closed_first = true;
        }
        self.transmit(wire, core, Kind::Data, sequence, payload, fin);
        true
    }

    /// Sends one range again, as far as there is room, in whole segments; how much that was.
    fn send_again(&mut self, wire: &mut Wire, core: &mut Core, (start, end): (u64, u64), room_bytes: u64) -> u64 {
        let bytes_max = wire.segment_bytes_max(self.route.host, self.route.remote_host);
        self.retransmission.forget_timed();
        let mut at = start;
        while at < end && at - start < room_bytes {
            let room = (room_bytes - (at - start)).next_multiple_of(MSS_BYTES as u64);
            let (payload, fin) = self.send.sent_again(at, end, bytes_max.min(room as usize));
            let after = at + payload.len() as u64 + u64::from(fin);
            wire.retransmissions += 1;
            self.scoreboard.repaired(at, after, self.send.next());
            self.transmit(wire, core, Kind::Data, at, payload, fin);
            at = after;
        }
        let flight = self.flight_bytes();
        self.congestion.on_sent(at - start, flight, core.now_ns());
        at - start
    }

    /// Sends again what is lost and not on its way already, as far as the congestion window allows.
    pub fn repair(&mut self, wire: &mut Wire, core: &mut Core) {
        if self.scoreboard.begin(self.send.next()) {
            let flight = self.flight_bytes();
            self.congestion.on_loss(flight);
        }
        let flight = self.flight_bytes();
        let mut room = self.congestion.room_bytes(flight);
        for hole in self.scoreboard.holes(self.send.acknowledged()) {
            if room == 0 {
                break;
            }
            room = room.saturating_sub(self.send_again(wire, core, hole, room));
        }
    }

    /// Sends the last segment again: should it be that one which is lost, its arrival is all that is missing; should others be
    /// lost, it proves that.
    pub fn probe_tail(&mut self, wire: &mut Wire, core: &mut Core) {
        self.tail.probes = false;
        self.retransmission.forget_timed();
        let (start, end) = (self.tail.start.max(self.send.acknowledged()), self.send.next());
        let (payload, fin) = self.send.sent_again(start, end, MSS_BYTES);
        wire.retransmissions += 1;
        self.transmit(wire, core, Kind::Data, start, payload, fin);
    }

    /// A time-out: everything is lost that is not known to have arrived; its first segment asks whether anybody is there.
    pub fn resend_first(&mut self, wire: &mut Wire, core: &mut Core, is_first_timeout: bool) {
        self.scoreboard.on_timeout(self.send.next());
        self.congestion.on_timeout(is_first_timeout);
        if let Some(&hole) = self.scoreboard.holes(self.send.acknowledged()).first() {
            self.send_again(wire, core, hole, MSS_BYTES as u64);
        }
    }

    /// Sends all that may be sent, and sets the timer for what then is in flight.
    pub fn push(&mut self, wire: &mut Wire, core: &mut Core) {
        if self.phase == Phase::Open {
            while self.send_one(wire, core) {}
            self.plan_timer(core);
        }
    }

    /// Ends the connection here and now; both sides of the program are told.
    pub fn die(&mut self, core: &mut Core, error: SocketError) -> Outcome {
        self.send.clear();
        self.scoreboard = Scoreboard::default();
        self.timer.stop();
        core.wake_slot(&mut self.reader);
        core.wake_slot(&mut self.writer);
        self.phase = Phase::Dead;
        self.error = Some(error);
        if self.is_orphan() { Outcome::Vanishes } else { Outcome::Stays }
    }

    /// Moves an orphan on when one of the FINs has made progress.
    pub fn settle(&mut self, core: &mut Core) -> Outcome {
        if self.phase != Phase::Open
            || !self.is_orphan()
            || !self.send.fin_acknowledged()
            || !self.receive.is_finished()
        {
            return Outcome::Stays;
        }
        if !self.closed_first {
            return Outcome::Vanishes;
        }
        self.phase = Phase::TimeWait;
        self.receive.clear();
        self.plan_timer(core);
        Outcome::Stays
    }
}
