//! The end of a packet's way: what may keep it from its receiver at the last moment.

use super::{
    super::core::{Core, HostId},
    filter::{Passing, Verdict},
    segment::{EndpointId, Segment},
    wire::{Packet, Wire},
};

/// What comes off the wire.
pub(super) enum Received {
    Nothing,
    Segment(Segment),
    /// A filter resets the connection of these ends.
    Reset([Option<EndpointId>; 2]),
}

impl Wire {
    /// Takes a packet off the wire when its time has come.
    pub fn receive(&mut self, core: &mut Core, slot: u32) -> Received {
        let packet = self.packets.remove(slot as usize);
        let (from, Some(to)) = (packet.segment.from, packet.segment.to) else {
            return Received::Nothing;
        };
        let sender = &self.cards[from.0 as usize];
        let left_in_time = sender.silences == packet.silences || packet.departs_ns <= sender.silenced_ns;
        let receiver_up = self.cards[to.0 as usize].up;
        let link = &mut self.links[from.0 as usize][to.0 as usize];
        if link.jams > 0 && left_in_time {
            link.stats.jam_holds_injected += 1;
            core.trace(to, "net.held", u64::from(from.0), packet.segment.sequence);
            link.held.push(packet);
            return Received::Nothing;
        }
        if !left_in_time || !receiver_up {
            link.stats.dropped_by_silence += 1;
            core.trace(to, "net.silence", u64::from(from.0), packet.segment.sequence);
            return Received::Nothing;
        }
        if link.cuts > 0 {
            link.stats.dropped_by_cut += 1;
            core.trace(to, "net.cut", u64::from(from.0), packet.segment.sequence);
            return Received::Nothing;
        }
        if let Some(filter) = &link.filter
            && packet.segment.payload.len() > 0
            && !packet.judged
        {
            let Segment { source, destination, payload, .. } = &packet.segment;
            let verdict = filter(&Passing { source: *source, destination: *destination, payload });
            if verdict != Verdict::Pass {
                return self.execute(core, to, packet, verdict);
            }
        }
        link.stats.delivered += 1;
        link.stats.delivered_bytes += packet.segment.payload.len() as u64;
        Received::Segment(packet.segment)
    }

    /// Does what a filter has decided.
    fn execute(&mut self, core: &mut Core, to: HostId, packet: Packet, verdict: Verdict) -> Received {
        let from = packet.segment.from;
        self.link(from, to).stats.filter_hits_injected += 1;
        core.trace(to, "net.filtered", u64::from(from.0), packet.segment.sequence);
        match verdict {
            Verdict::Reset => return Received::Reset([Some(packet.segment.sender), packet.segment.receiver]),
            Verdict::Delay { ns } => {
                let arrives_ns = core.now_ns().saturating_add(ns);
                self.put(core, arrives_ns, Packet { judged: true, ..packet });
            }
            Verdict::Pass | Verdict::Drop => {}
        }
        Received::Nothing
    }
}
