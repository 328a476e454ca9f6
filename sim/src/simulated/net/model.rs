//! The network as a whole: the stacks of all hosts, what arrives at them, and what the world does to them.

use super::{
    super::{
        core::{Core, HostId, ProcessId},
        key::Key,
    },
    arrival::Received,
    config::NetConfig,
    endpoint::{Endpoint, Outcome, Owner, Phase, Route},
    error::SocketError,
    host::HostStack,
    lane::Lane,
    segment::{EndpointId, Kind, ListenerId, Payload, Segment},
    stats::NetStats,
    wire::Wire,
};
use slab::Slab;
use std::{
    collections::{BTreeMap, VecDeque},
    net::{Ipv4Addr, SocketAddrV4},
    task::Waker,
};

/// Something that happens on the network at a time.
#[derive(Debug)]
pub enum NetEvent {
    /// A packet reaches its host, if nothing stops it.
    Arrival { slot: u32 },
    /// What an endpoint has not acknowledged yet is due, unless it was acknowledged since.
    DelayedAck { endpoint: EndpointId },
    /// A timer of an endpoint runs out, unless it was moved.
    Timer { endpoint: EndpointId, event: u32 },
}

/// A socket that waits for connections.
pub(super) struct Listener {
    pub id: ListenerId,
    pub owner: ProcessId,
    pub local: SocketAddrV4,
    /// Connections that can be accepted, oldest first.
    pub queue: VecDeque<EndpointId>,
    /// The accept queue is full when it is longer than this (`sk_acceptq_is_full`): then SYNs and the last part of handshakes
    /// are dropped. Half-open connections have no limit, since Linux answers with cookies beyond it (`tcp_syncookies`).
    pub backlog: usize,
    /// Connections whose handshake a peer began and has not ended.
    pub half_open: usize,
    pub wakers: Vec<Waker>,
}

/// The network: all stacks, all links.
pub struct Net {
    pub(super) config: NetConfig,
    pub(super) key: Key,
    pub(super) hosts: Vec<HostStack>,
    pub(super) endpoints: Slab<Endpoint>,
    pub(super) listeners: Slab<Listener>,
    pub(super) serial: u32,
    pub(super) wire: Wire,
    addresses: BTreeMap<Ipv4Addr, HostId>,
    pub(super) names: BTreeMap<String, Ipv4Addr>,
}

impl Net {
    /// A network without hosts. `key` is the root key of the simulation.
    pub fn new(key: Key) -> Net {
        Net::with_config(key, NetConfig::default())
    }

    /// As [`Net::new`], with other settings than Linux's.
    pub fn with_config(key: Key, config: NetConfig) -> Net {
        let key = key.derive("net");
        Net {
            config,
            key,
            hosts: Vec::new(),
            endpoints: Slab::new(),
            listeners: Slab::new(),
            serial: 0,
            wire: Wire::new(key),
            addresses: BTreeMap::new(),
            names: BTreeMap::new(),
        }
    }

    /// Adds a host that is off, linked to all others as in a LAN. Its name is what [`super::resolve`] knows it by.
    ///
    /// # Panics
    /// When hosts are not added in the order of their numbers, or an address or a name is used twice.
    pub fn add_host(&mut self, host: HostId, name: &str, address: Ipv4Addr) {
        assert_eq!(host.0 as usize, self.hosts.len(), "hosts are added in the order of their numbers");
        assert!(self.addresses.insert(address, host).is_none(), "two hosts have the address {address}");
        assert!(self.names.insert(name.to_owned(), address).is_none(), "two hosts have the name {name}");
        let draw = self.key.derive("port").index(u64::from(host.0)).u64();
        self.hosts.push(HostStack::new(address, draw));
        self.wire.add_host();
    }

    /// The host has booted: its stack is empty, and answers.
    pub fn on_host_up(&mut self, core: &mut Core, host: HostId) {
        if !self.wire.is_up(host) {
            // Another boot, another port: by time, which no other boot of this host shares.
            let draw = self.key.derive("port").index(u64::from(host.0)).index(core.now_ns()).u64();
            self.hosts[host.0 as usize].restart_ports(draw);
            self.wire.switch_on(host);
        }
    }

    /// The host's kernel or power is gone: its connections vanish without a word.
    pub fn on_host_silenced(&mut self, core: &mut Core, host: HostId) {
        self.wire.switch_off(host, core.now_ns());
        let listeners: Vec<_> = self.hosts[host.0 as usize].listeners.values().copied().collect();
        for id in listeners {
            self.remove_listener(core, id);
        }
        let endpoints: Vec<_> =
            self.endpoints.iter().filter(|(_, e)| e.route.host == host).map(|(_, e)| e.id).collect();
        for id in endpoints {
            self.remove(core, id);
        }
    }

    /// The process has ended, in whatever way: the kernel of its host closes its sockets.
    pub fn on_process_killed(&mut self, core: &mut Core, process: ProcessId) {
        let ended = &mut self.hosts[process.host.0 as usize].ended_incarnation;
        *ended = process.incarnation.max(*ended);
        let listeners: Vec<_> = self.listeners.iter().filter(|(_, l)| l.owner == process).map(|(_, l)| l.id).collect();
        for id in listeners {
            self.close_listener(core, process, id);
        }
        let is_owned = |endpoint: &Endpoint| endpoint.owner == Owner::Process(process);
        let endpoints: Vec<_> = self.endpoints.iter().filter(|(_, e)| is_owned(e)).map(|(_, e)| e.id).collect();
        for id in endpoints {
            self.close(core, process, id);
        }
    }

    /// What happened so far.
    pub fn stats(&self) -> NetStats {
        self.wire.stats()
    }

    /// The address of a host.
    pub fn address(&self, host: HostId) -> Ipv4Addr {
        self.hosts[host.0 as usize].address
    }

    /// Which host a packet from `from` to this address would reach.
    pub(super) fn route(&self, from: HostId, address: Ipv4Addr) -> Option<HostId> {
        if address.is_loopback() { Some(from) } else { self.addresses.get(&address).copied() }
    }

    /// What the sockets of a host hold in their buffers, received and not yet read or written and not yet acknowledged.
    pub fn buffered_bytes(&self, host: HostId) -> u64 {
        let endpoints = self.endpoints.iter().filter(|(_, endpoint)| endpoint.route.host == host);
        endpoints.map(|(_, endpoint)| (endpoint.send.buffered() + endpoint.receive.buffered()) as u64).sum()
    }

    /// The host at which an event happens; `None` when there is nothing left that it could happen to.
    pub fn host_of(&self, event: &NetEvent) -> Option<HostId> {
        match event {
            NetEvent::Arrival { slot } => self.wire.receiver(*slot),
            NetEvent::Timer { endpoint, .. } | NetEvent::DelayedAck { endpoint } => {
                let endpoint = self.endpoints.get(endpoint.slot as usize).filter(|there| there.id == *endpoint);
                endpoint.map(|endpoint| endpoint.route.host)
            }
        }
    }

    /// Takes an event whose time has come.
    pub fn on_event(&mut self, core: &mut Core, event: NetEvent) {
        match event {
            NetEvent::Arrival { slot } => match self.wire.receive(core, slot) {
                Received::Segment(segment) => self.arrive(core, segment),
                Received::Reset(ends) => {
                    let ends = ends.into_iter().flatten().collect::<Vec<_>>();
                    self.reset_ends(core, ends);
                }
                Received::Nothing => {}
            },
            NetEvent::DelayedAck { endpoint: id } => {
                let Net { endpoints, wire, .. } = self;
                if let Some(endpoint) = get(endpoints, id) {
                    endpoint.on_delayed_ack(wire, core);
                }
            }
            NetEvent::Timer { endpoint: id, event } => {
                let Net { endpoints, wire, .. } = self;
                if let Some(endpoint) = get(endpoints, id) {
                    let outcome = endpoint.on_timer(wire, core, event);
                    self.conclude(core, id, outcome);
                }
            }
        }
    }

    fn arrive(&mut self, core: &mut Core, segment: Segment) {
        let digest = segment.sequence.rotate_left(24) ^ segment.acknowledged ^ (segment.payload.len() as u64) << 48;
        let host = segment.to.expect("a packet for nobody does not arrive");
        core.trace(host, segment.kind.step(segment.fin), segment.connection, digest);
        let Some(id) = segment.receiver else {
            return self.on_syn(core, host, &segment);
        };
        let Net { endpoints, listeners, hosts, wire, .. } = self;
        match get(endpoints, id).filter(|endpoint| endpoint.phase != Phase::Dead) {
            // The client counts as connected from now on, and this end does not: `tcp_abort_on_overflow` is off.
            Some(endpoint)
                if endpoint.phase == Phase::SynReceived
                    && segment.kind != Kind::Reset
                    && endpoint
                        .listener()
                        .and_then(|id| get_listener(listeners, id))
                        .is_some_and(|listener| is_full(listener, &hosts[host.0 as usize])) =>
            {
                self.overflow(core, host, &segment);
            }
            Some(endpoint) => {
                let outcome = endpoint.on_segment(wire, core, segment);
                self.conclude(core, id, outcome);
            }
            None => self.refuse(core, &segment),
        }
    }

    /// Somebody wants to connect.
    fn on_syn(&mut self, core: &mut Core, host: HostId, segment: &Segment) {
        let (local, remote) = (segment.destination, segment.source);
        let stack = &self.hosts[host.0 as usize];
        if let Some(&id) = stack.connections.get(&(local, remote)) {
            let Net { endpoints, wire, .. } = self;
            let endpoint = get(endpoints, id).expect("what vanishes leaves the table");
            match endpoint.phase {
                // Another connection with the same addresses: its sender's sequence numbers and time stamps are newer.
                Phase::TimeWait if endpoint.peer != Some(segment.sender) => self.remove(core, id),
                Phase::Dead => {}
                // Sent again, because our answer was lost or is late.
                Phase::SynReceived if endpoint.peer == Some(segment.sender) => {
                    return endpoint.send_bare(wire, core, Kind::SynAck);
                }
                // Both ends connect to each other at once: left out, the SYN is lost.
                Phase::SynSent => return,
                // Or by a machine that has forgotten this connection, and answers this with a reset: RFC 5961, section 4.
                _ => return endpoint.send_bare(wire, core, Kind::Ack),
            }
        }
        let stack = &self.hosts[host.0 as usize];
        let Some(listener) = stack.listener(local).and_then(|id| get_listener(&mut self.listeners, id)) else {
            return self.refuse(core, segment);
        };
        if is_full(listener, stack) {
            return self.overflow(core, host, segment);
        }
        listener.half_open += 1;
        let owner = Owner::Listener(listener.id);
        let connection = segment.connection;
        let route = Route { host, local, remote_host: Some(segment.from), remote, connection };
        let lane = self.wire.lane(host, Some(segment.from), connection, "answer");
        let endpoint = self.add_endpoint(route, owner, Phase::SynReceived, lane);
        endpoint.peer = Some(segment.sender);
        endpoint.start_handshake(core);
        let id = endpoint.id;
        let Net { endpoints, wire, .. } = self;
        if let Some(endpoint) = get(endpoints, id) {
            endpoint.send_bare(wire, core, Kind::SynAck);
        }
    }

    /// Drops what would make an accept queue longer than it may be.
    fn overflow(&mut self, core: &mut Core, host: HostId, segment: &Segment) {
        self.wire.accept_overflows += 1;
        if self.hosts[host.0 as usize].accept_queues_stuffed {
            self.wire.accept_overflows_injected += 1;
        }
        core.trace(host, "net.backlog-full", segment.connection, segment.sequence);
    }

    /// Answers a segment of a connection that does not exist here.
    fn refuse(&mut self, core: &mut Core, segment: &Segment) {
        let (Some(host), false) = (segment.to, segment.kind == Kind::Reset) else {
            return;
        };
        let reset = Segment {
            kind: Kind::Reset,
            fin: false,
            from: host,
            to: Some(segment.from),
            source: segment.destination,
            destination: segment.source,
            // Of nobody: a reset is never answered.
            sender: segment.sender,
            receiver: Some(segment.sender),
            connection: segment.connection,
            sequence: segment.acknowledged,
            acknowledged: segment.sequence,
            window_bytes: 0,
            sack: None,
            payload: Payload::default(),
        };
        let mut lane: Lane = self.wire.lane(host, Some(segment.from), segment.connection, "refusal");
        self.wire.send(core, &mut lane, reset);
    }

    /// Does what an endpoint's step asks of the stack around it.
    pub(super) fn conclude(&mut self, core: &mut Core, id: EndpointId, outcome: Outcome) {
        let Net { endpoints, listeners, wire, .. } = self;
        let Some(endpoint) = get(endpoints, id) else {
            return;
        };
        match outcome {
            Outcome::Stays => {}
            Outcome::Established => {
                if let Owner::Listener(listener) = endpoint.owner
                    && let Some(listener) = get_listener(listeners, listener)
                {
                    listener.half_open -= 1;
                    listener.queue.push_back(id);
                    listener.wakers.drain(..).for_each(|waker| core.wake(waker));
                }
            }
            Outcome::Vanishes => self.remove(core, id),
            Outcome::Aborts => {
                endpoint.send_bare(wire, core, Kind::Reset);
                self.remove(core, id);
            }
        }
    }

    pub(super) fn add_endpoint(&mut self, route: Route, owner: Owner, phase: Phase, lane: Lane) -> &mut Endpoint {
        self.serial += 1;
        let entry = self.endpoints.vacant_entry();
        let slot = u32::try_from(entry.key()).expect("fewer than 2^32 connections");
        let id = EndpointId { slot, serial: self.serial };
        self.hosts[route.host.0 as usize].connections.insert((route.local, route.remote), id);
        entry.insert(Endpoint::new(id, route, owner, phase, lane, &self.config))
    }

    pub(super) fn remove(&mut self, core: &mut Core, id: EndpointId) {
        if get(&mut self.endpoints, id).is_none() {
            return;
        }
        let mut endpoint = self.endpoints.remove(id.slot as usize);
        core.wake_slot(&mut endpoint.reader);
        core.wake_slot(&mut endpoint.writer);
        let Route { host, local, remote, .. } = endpoint.route;
        let connections = &mut self.hosts[host.0 as usize].connections;
        // A dead one may have made room for a successor.
        if connections.get(&(local, remote)) == Some(&id) {
            connections.remove(&(local, remote));
        }
        if let Some(listener) = endpoint.listener().and_then(|id| get_listener(&mut self.listeners, id)) {
            if endpoint.phase == Phase::SynReceived {
                listener.half_open -= 1;
            }
            listener.queue.retain(|&queued| queued != id);
        }
    }

    pub(super) fn remove_listener(&mut self, core: &mut Core, id: ListenerId) {
        if get_listener(&mut self.listeners, id).is_none() {
            return;
        }
        let listener = self.listeners.remove(id.slot as usize);
        listener.wakers.into_iter().for_each(|waker| core.wake(waker));
        self.hosts[listener.owner.host.0 as usize].listeners.remove(&(listener.local.port(), *listener.local.ip()));
    }

    /// The endpoint, if this process (still) holds it.
    pub(super) fn owned(&mut self, process: ProcessId, id: EndpointId) -> Result<&mut Endpoint, SocketError> {
        get(&mut self.endpoints, id)
            .filter(|endpoint| endpoint.owner == Owner::Process(process))
            .ok_or(SocketError::ProcessEnded)
    }
}

fn is_full(listener: &Listener, stack: &HostStack) -> bool {
    stack.accept_queues_stuffed || listener.queue.len() > listener.backlog
}

/// The endpoint of this identity, if it has not vanished.
pub(super) fn get(endpoints: &mut Slab<Endpoint>, id: EndpointId) -> Option<&mut Endpoint> {
    endpoints.get_mut(id.slot as usize).filter(|endpoint| endpoint.id == id)
}

/// The listener of this identity, if it has not vanished.
pub(super) fn get_listener(listeners: &mut Slab<Listener>, id: ListenerId) -> Option<&mut Listener> {
    listeners.get_mut(id.slot as usize).filter(|listener| listener.id == id)
}
