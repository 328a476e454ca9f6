//! When an endpoint acknowledges what has arrived: at once, with the next data that it sends, or after 40 ms.
//!
//! Linux's rules (`__tcp_ack_snd_check`, `tcp_cleanup_rbuf`, `tcp_event_data_recv`, RFC 1122 section 4.2.3.2): at once what is out of
//! order, what fills a gap, more than one full segment, and the first sixteen segments of a burst; as soon as the program has
//! read all of it, unless the connection is interactive; otherwise late. A connection is interactive once its program has
//! answered within 40 ms, until an acknowledgement had to go alone. It is why a small write that waits for the acknowledgement
//! of another one (Nagle) may wait for 40 ms.
//!
//! Left out: acknowledgement time-outs that adapt to the peer's pace (always Linux's least, 40 ms), compressed selective
//! acknowledgements.

use super::{
    super::core::{Core, Event},
    config::{DELAYED_ACK_NS, MSS_BYTES, QUICK_ACKS},
    endpoint::{Endpoint, Phase},
    model::NetEvent,
    segment::Kind,
    wire::Wire,
};

/// What an endpoint owes its peer.
#[derive(Debug, Default)]
pub(super) struct Acknowledging {
    /// What the last segment that went out has acknowledged.
    told: u64,
    /// So many more acknowledgements go out at once.
    quick: u32,
    is_interactive: bool,
    /// Something in order has arrived since.
    is_owed: bool,
    /// Small segments since then, of which two are enough for a program that has read them.
    small: u32,
    received_ns: u64,
    deadline_ns: u64,
    /// An event is on the agenda, for a deadline of then.
    is_planned: bool,
}

impl Acknowledging {
    /// A segment goes out that acknowledges everything up to `next`; with data, or bare.
    pub fn on_sent(&mut self, next: u64, kind: Kind, now_ns: u64) {
        if kind == Kind::Data && now_ns.saturating_sub(self.received_ns) < DELAYED_ACK_NS && self.received_ns > 0 {
            self.is_interactive = true;
        }
        if self.is_owed {
            self.quick = self.quick.saturating_sub(1);
        }
        (self.told, self.is_owed, self.small) = (next, false, 0);
    }

    /// Data in order has arrived, up to `next`. Whether it must be acknowledged at once.
    fn on_data(&mut self, next: u64, bytes: usize, now_ns: u64, rto_ns: u64) -> bool {
        // The sender starts slowly after a pause, and waits for every acknowledgement then.
        if self.received_ns == 0 || now_ns - self.received_ns > rto_ns {
            self.quick = QUICK_ACKS;
        }
        self.received_ns = now_ns;
        if !self.is_owed {
            (self.is_owed, self.deadline_ns) = (true, now_ns + DELAYED_ACK_NS);
        }
        self.small += u32::from(bytes < MSS_BYTES);
        next.saturating_sub(self.told) > MSS_BYTES as u64 || (self.quick > 0 && !self.is_interactive)
    }
}

impl Endpoint {
    /// Acknowledges data that was in order (`is_regular`) or not, now or later. `bytes` is the length of the segment.
    pub fn acknowledge(&mut self, wire: &mut Wire, core: &mut Core, bytes: usize, is_regular: bool) {
        let (next, now_ns) = (self.receive.next(), core.now_ns());
        let rto_ns = self.retransmission.rto_ns();
        if !is_regular {
            (self.acknowledging.quick, self.acknowledging.is_interactive) = (QUICK_ACKS, false);
            return self.send_bare(wire, core, Kind::Ack);
        }
        if self.receive.is_finished() {
            if self.send.is_finished() {
                return self.send_bare(wire, core, Kind::Ack);
            }
            // `tcp_fin`: the program is likely to close now.
            self.acknowledging.is_interactive = true;
        }
        if self.acknowledging.on_data(next, bytes, now_ns, rto_ns) {
            return self.send_bare(wire, core, Kind::Ack);
        }
        if !self.acknowledging.is_planned {
            self.acknowledging.is_planned = true;
            core.schedule(self.acknowledging.deadline_ns, Event::Net(NetEvent::DelayedAck { endpoint: self.id }));
        }
    }

    /// The program has read.
    pub fn on_read(&mut self, wire: &mut Wire, core: &mut Core) {
        if self.phase != Phase::Open {
            return;
        }
        let Acknowledging { told, is_interactive, is_owed, small, .. } = self.acknowledging;
        let has_read_all = self.receive.buffered() == 0 && (small >= 2 || (small > 0 && !is_interactive));
        let is_due = is_owed && (self.receive.next() - told > MSS_BYTES as u64 || has_read_all);
        if is_due || (!self.receive.is_finished() && self.receive.wants_update()) {
            self.send_bare(wire, core, Kind::Ack);
        }
    }

    /// The event of [`NetEvent::DelayedAck`].
    pub fn on_delayed_ack(&mut self, wire: &mut Wire, core: &mut Core) {
        self.acknowledging.is_planned = false;
        if !self.acknowledging.is_owed || self.phase != Phase::Open {
            return;
        }
        if self.acknowledging.deadline_ns > core.now_ns() {
            self.acknowledging.is_planned = true;
            core.schedule(self.acknowledging.deadline_ns, Event::Net(NetEvent::DelayedAck { endpoint: self.id }));
            return;
        }
        self.acknowledging.is_interactive = false;
        self.send_bare(wire, core, Kind::Ack);
    }
}
