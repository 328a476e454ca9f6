//! The wire: packets on their way, the network cards they leave by, and the cuts they meet.
//!
//! A packet first waits for its host's card (one queue per host, and one for loopback), then travels, then arrives. A cut
//! is looked at twice, when the packet departs and when it would arrive, so that a cut takes what is in flight with it. A
//! host that goes silent takes with it what still waits in its card.

use super::{
    super::{
        core::{Core, Event, HostId},
        key::{Key, Stream},
    },
    config::{MSS_BYTES, SEGMENT_BYTES_MAX},
    filter::LinkFilter,
    lane::{Fate, Lane},
    link::{LinkSlowdown, LinkSpec},
    model::NetEvent,
    segment::Segment,
    stats::{LinkStats, NetStats},
};
use slab::Slab;

/// The way from one host to another, as it is now.
#[derive(Clone)]
pub(super) struct Link {
    spec: LinkSpec,
    /// [`LinkSpec::is_bad`], asked for every segment.
    is_bad: bool,
    /// A slowdown in force, and when its narrow place is free.
    slowdown: Option<(LinkSlowdown, u64)>,
    /// How many cuts are in force: faults may overlap.
    pub cuts: u32,
    pub filter: Option<LinkFilter>,
    /// How many jams are in force.
    pub jams: u32,
    /// What would have arrived during a jam, in the order in which it would have.
    pub held: Vec<Packet>,
    pub stats: LinkStats,
    /// Connections opened in this direction so far.
    connections: u64,
}

impl Link {
    fn new(spec: LinkSpec) -> Link {
        Link {
            spec,
            is_bad: spec.is_bad(),
            slowdown: None,
            cuts: 0,
            filter: None,
            jams: 0,
            held: Vec::new(),
            stats: LinkStats::default(),
            connections: 0,
        }
    }
}

/// A host as the wire sees it.
pub(super) struct Card {
    pub up: bool,
    /// Counts how often the host went silent.
    pub silences: u32,
    pub silenced_ns: u64,
    network_free_ns: u64,
    loopback_free_ns: u64,
}

#[derive(Clone)]
pub(super) struct Packet {
    pub segment: Segment,
    pub departs_ns: u64,
    pub silences: u32,
    /// A filter has judged it.
    pub judged: bool,
}

pub(super) struct Wire {
    key: Key,
    pub(super) cards: Vec<Card>,
    /// By sender, then by receiver.
    pub(super) links: Vec<Vec<Link>>,
    pub(super) packets: Slab<Packet>,
    pub connects: u64,
    pub retransmissions: u64,
    pub resets_injected: u64,
    pub accept_overflows: u64,
    pub accept_overflows_injected: u64,
    pub keepalive_probes: u64,
    pub slow_names_injected: u64,
    pub failed_names_injected: u64,
}

impl Wire {
    pub fn new(key: Key) -> Wire {
        Wire {
            key,
            cards: Vec::new(),
            links: Vec::new(),
            packets: Slab::new(),
            connects: 0,
            retransmissions: 0,
            resets_injected: 0,
            accept_overflows: 0,
            accept_overflows_injected: 0,
            keepalive_probes: 0,
            slow_names_injected: 0,
            failed_names_injected: 0,
        }
    }

    /// Adds the next host, which is off.
    pub fn add_host(&mut self) {
        for row in &mut self.links {
            row.push(Link::new(LinkSpec::LAN));
        }
        let mut row = vec![Link::new(LinkSpec::LAN); self.links.len()];
        row.push(Link::new(LinkSpec::LOOPBACK));
        self.links.push(row);
        self.cards.push(Card { up: false, silences: 0, silenced_ns: 0, network_free_ns: 0, loopback_free_ns: 0 });
    }

    pub(super) fn link(&mut self, from: HostId, to: HostId) -> &mut Link {
        &mut self.links[from.0 as usize][to.0 as usize]
    }

    pub fn set_link(&mut self, from: HostId, to: HostId, spec: LinkSpec) {
        let link = self.link(from, to);
        link.spec = spec;
        link.is_bad = spec.is_bad();
    }

    /// The properties of a link.
    pub fn spec(&self, from: HostId, to: HostId) -> LinkSpec {
        self.links[from.0 as usize][to.0 as usize].spec
    }

    /// How much one packet on this way carries at most.
    pub fn segment_bytes_max(&self, from: HostId, to: Option<HostId>) -> usize {
        let is_bad = to.is_some_and(|to| self.links[from.0 as usize][to.0 as usize].is_bad);
        if is_bad { MSS_BYTES } else { SEGMENT_BYTES_MAX }
    }

    pub fn set_slowdown(&mut self, from: HostId, to: HostId, slowdown: Option<LinkSlowdown>) {
        self.link(from, to).slowdown = slowdown.map(|slowdown| (slowdown, 0));
    }

    /// What slowdowns add at present to the way there and back, their queues included; 0 without any.
    pub fn detour_ns(&self, from: HostId, to: HostId, now_ns: u64) -> u64 {
        let one_way = |from: HostId, to: HostId| match self.links[from.0 as usize][to.0 as usize].slowdown {
            Some((slowdown, free_ns)) => slowdown.added_latency_ns + free_ns.saturating_sub(now_ns),
            None => 0,
        };
        one_way(from, to) + one_way(to, from)
    }

    pub fn set_filter(&mut self, from: HostId, to: HostId, filter: Option<LinkFilter>) {
        self.link(from, to).filter = filter;
    }

    pub fn cut(&mut self, from: HostId, to: HostId) {
        self.link(from, to).cuts += 1;
    }

    pub fn heal(&mut self, from: HostId, to: HostId) {
        let link = self.link(from, to);
        link.cuts = link.cuts.saturating_sub(1);
    }

    pub fn jam(&mut self, from: HostId, to: HostId) {
        self.link(from, to).jams += 1;
    }

    /// Takes one jam away; with the last one what was held arrives now. How many packets that was.
    pub fn unjam(&mut self, core: &mut Core, from: HostId, to: HostId) -> usize {
        let link = self.link(from, to);
        link.jams = link.jams.saturating_sub(1);
        if link.jams > 0 {
            return 0;
        }
        let held = std::mem::take(&mut link.held);
        let count = held.len();
        for packet in held {
            self.put(core, core.now_ns(), packet);
        }
        count
    }

    #[cfg(test)]
    pub fn is_cut(&self, from: HostId, to: HostId) -> bool {
        self.links[from.0 as usize][to.0 as usize].cuts > 0
    }

    #[cfg(test)]
    pub fn is_jammed(&self, from: HostId, to: HostId) -> bool {
        self.links[from.0 as usize][to.0 as usize].jams > 0
    }

    pub fn is_up(&self, host: HostId) -> bool {
        self.cards[host.0 as usize].up
    }

    pub fn switch_on(&mut self, host: HostId) {
        self.cards[host.0 as usize].up = true;
    }

    /// The host goes silent; what its card has not sent yet is gone.
    pub fn switch_off(&mut self, host: HostId, now_ns: u64) {
        let card = &mut self.cards[host.0 as usize];
        if card.up {
            *card = Card {
                up: false,
                silences: card.silences + 1,
                silenced_ns: now_ns,
                network_free_ns: now_ns,
                loopback_free_ns: now_ns,
            };
        }
    }

    /// The ordinal of a new connection between these hosts.
    pub fn count_connection(&mut self, from: HostId, to: Option<HostId>) -> u64 {
        self.connects += 1;
        let Some(to) = to else { return 0 };
        let link = self.link(from, to);
        link.connections += 1;
        link.connections
    }

    /// The randomness of one direction of a connection. `role` tells the directions of a connection apart.
    pub fn lane(&self, from: HostId, to: Option<HostId>, connection: u64, role: &str) -> Lane {
        // No packet to an address that nobody has will ever ask for a draw, but the lane has to be something.
        let to = to.map_or(u64::from(u32::MAX), |to| u64::from(to.0));
        Lane::new(self.stream(role, u64::from(from.0), to, connection))
    }

    fn stream(&self, role: &str, from: u64, to: u64, connection: u64) -> Stream {
        self.key.derive(role).index(from).index(to).index(connection).stream()
    }

    pub fn stats(&self) -> NetStats {
        let mut stats = NetStats {
            connects: self.connects,
            retransmissions: self.retransmissions,
            resets_injected: self.resets_injected,
            accept_overflows: self.accept_overflows,
            accept_overflows_injected: self.accept_overflows_injected,
            keepalive_probes: self.keepalive_probes,
            slow_names_injected: self.slow_names_injected,
            failed_names_injected: self.failed_names_injected,
            ..NetStats::default()
        };
        for (row, from) in self.links.iter().zip(0..) {
            for (link, to) in row.iter().zip(0..) {
                stats.total += link.stats;
                if link.stats != LinkStats::default() {
                    stats.links.insert((HostId(from), HostId(to)), link.stats);
                }
            }
        }
        stats
    }

    /// Puts a segment on its way.
    pub fn send(&mut self, core: &mut Core, lane: &mut Lane, mut segment: Segment) {
        let (from, Some(to)) = (segment.from, segment.to) else {
            return;
        };
        let link = &mut self.links[from.0 as usize][to.0 as usize];
        let card = &mut self.cards[from.0 as usize];
        let fate = lane.draw(&link.spec);
        if !card.up {
            return;
        }
        if link.cuts > 0 {
            link.stats.dropped_by_cut += 1;
            core.trace(from, "net.cut", u64::from(to.0), segment.sequence);
            return;
        }
        let free_ns = if from == to { &mut card.loopback_free_ns } else { &mut card.network_free_ns };
        let departs_ns = core.now_ns().max(*free_ns) + link.spec.serialisation_ns(segment.wire_bytes());
        *free_ns = departs_ns;
        match fate {
            Fate::Lost => {
                link.stats.lost += 1;
                core.trace(from, "net.lost", u64::from(to.0), segment.sequence);
            }
            Fate::Arrives(latency_ns) => {
                let mut passes_ns = departs_ns;
                if let Some((slowdown, free_ns)) = &mut link.slowdown {
                    *free_ns = departs_ns.max(*free_ns) + slowdown.serialisation_ns(segment.wire_bytes());
                    passes_ns = *free_ns + slowdown.added_latency_ns;
                    link.stats.slowed += 1;
                }
                let mut arrives_ns = passes_ns.saturating_add(latency_ns).max(lane.last_arrival_ns);
                let silences = card.silences;
                if !link.spec.disturbs() {
                    lane.last_arrival_ns = arrives_ns;
                    return self.put(core, arrives_ns, Packet { segment, departs_ns, silences, judged: false });
                }
                let disturbance = lane.disturb(&link.spec);
                if disturbance.corrupted {
                    link.stats.corruptions_injected += 1;
                    core.trace(from, "net.corrupted", u64::from(to.0), segment.sequence);
                    return;
                }
                if disturbance.flip.is_some_and(|number| segment.payload.flip_bit(number)) {
                    link.stats.bit_flips_injected += 1;
                    core.trace(from, "net.bit-flip", u64::from(to.0), segment.sequence);
                }
                match disturbance.late_by_ns {
                    Some(late_ns) => {
                        arrives_ns = arrives_ns.saturating_add(late_ns);
                        link.stats.reorders_injected += 1;
                    }
                    None => lane.last_arrival_ns = arrives_ns,
                }
                let packet = Packet { segment, departs_ns, silences, judged: false };
                if let Some(after_ns) = disturbance.copy_after_ns {
                    link.stats.duplicates_injected += 1;
                    self.put(core, arrives_ns.saturating_add(after_ns), packet.clone());
                }
                self.put(core, arrives_ns, packet);
            }
        }
    }

    /// Where a packet in flight is going.
    pub fn receiver(&self, slot: u32) -> Option<HostId> {
        self.packets.get(slot as usize).and_then(|packet| packet.segment.to)
    }

    pub(super) fn put(&mut self, core: &mut Core, arrives_ns: u64, packet: Packet) {
        let slot = self.packets.insert(packet);
        let slot = u32::try_from(slot).expect("fewer than 2^32 packets are in flight");
        core.schedule(arrives_ns, Event::Net(NetEvent::Arrival { slot }));
    }

    /// How many packets are in flight.
    #[cfg(test)]
    pub fn in_flight(&self) -> usize {
        self.packets.len() + self.links.iter().flatten().map(|link| link.held.len()).sum::<usize>()
    }
}
