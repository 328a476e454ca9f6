//! The stack of one host: its address, and what is bound to its ports.

use super::{
    config::EPHEMERAL_PORTS,
    names::NameService,
    segment::{EndpointId, ListenerId},
};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddrV4},
};

pub(super) struct HostStack {
    pub address: Ipv4Addr,
    /// Listeners by port and address; 0.0.0.0 stands for all addresses of the host.
    pub listeners: BTreeMap<(u16, Ipv4Addr), ListenerId>,
    /// Connections by (local, remote) address, until they have vanished.
    pub connections: BTreeMap<(SocketAddrV4, SocketAddrV4), EndpointId>,
    /// Processes up to this incarnation have ended.
    pub ended_incarnation: u32,
    /// Somebody from outside of the simulation fills the accept queues.
    pub accept_queues_stuffed: bool,
    pub name_service: NameService,
    next_port: u16,
}

impl HostStack {
    /// `draw` chooses the first ephemeral port.
    pub fn new(address: Ipv4Addr, draw: u64) -> HostStack {
        let mut host = HostStack {
            address,
            listeners: BTreeMap::new(),
            connections: BTreeMap::new(),
            ended_incarnation: 0,
            accept_queues_stuffed: false,
            name_service: NameService::Healthy,
            next_port: *EPHEMERAL_PORTS.start(),
        };
        host.restart_ports(draw);
        host
    }

    /// A new kernel begins with another ephemeral port.
    pub fn restart_ports(&mut self, draw: u64) {
        self.next_port = EPHEMERAL_PORTS.start() + (draw % EPHEMERAL_PORTS.len() as u64) as u16;
    }

    /// Whether a socket of this host may be bound to this address.
    pub fn has_address(&self, address: Ipv4Addr) -> bool {
        address == self.address || address.is_loopback() || address.is_unspecified()
    }

    /// Whether a listener on this address would overlap with one that is there.
    pub fn is_bound(&self, address: SocketAddrV4) -> bool {
        let mut there =
            self.listeners.range((address.port(), Ipv4Addr::UNSPECIFIED)..=(address.port(), Ipv4Addr::BROADCAST));
        there.any(|(&(_, ip), _)| ip == *address.ip() || ip.is_unspecified() || address.ip().is_unspecified())
    }

    /// Who listens for connections to this address.
    pub fn listener(&self, address: SocketAddrV4) -> Option<ListenerId> {
        let at = |ip| self.listeners.get(&(address.port(), ip)).copied();
        at(*address.ip()).or_else(|| at(Ipv4Addr::UNSPECIFIED))
    }

    /// The next ephemeral port that nothing listens on and that `is_free` accepts.
    pub fn ephemeral_port(&mut self, is_free: impl Fn(&HostStack, u16) -> bool) -> Option<u16> {
        for _ in EPHEMERAL_PORTS {
            let port = self.next_port;
            self.next_port = if port == *EPHEMERAL_PORTS.end() { *EPHEMERAL_PORTS.start() } else { port + 1 };
            if !self.is_bound(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)) && is_free(self, port) {
                return Some(port);
            }
        }
        None
    }
}
