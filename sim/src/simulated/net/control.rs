//! What the world does to the network: cuts, jams, slowdowns, resets, filters, full accept queues.

use super::{
    super::core::{Core, HostId},
    endpoint::{Phase, Route},
    filter::LinkFilter,
    link::{LinkSlowdown, LinkSpec},
    model::{Net, get},
    segment::EndpointId,
};
use std::collections::BTreeSet;

impl Net {
    /// Cuts the way from one host to another, in this direction only, with what is on it. Cuts add up: each needs its own
    /// [`Net::heal`].
    pub fn cut(&mut self, _core: &mut Core, from: HostId, to: HostId) {
        self.wire.cut(from, to);
    }

    /// Takes one cut away.
    pub fn heal(&mut self, _core: &mut Core, from: HostId, to: HostId) {
        self.wire.heal(from, to);
    }

    /// Jams the way from one host to another, in this direction only: what would arrive is held. Jams add up: each needs its
    /// own [`Net::unjam`].
    pub fn jam(&mut self, _core: &mut Core, from: HostId, to: HostId) {
        self.wire.jam(from, to);
    }

    /// Takes one jam away; with the last one, what was held arrives in its order. How many packets that was.
    pub fn unjam(&mut self, core: &mut Core, from: HostId, to: HostId) -> usize {
        self.wire.unjam(core, from, to)
    }

    /// Whether the way from one host to another is cut.
    #[cfg(test)]
    pub fn is_cut(&self, from: HostId, to: HostId) -> bool {
        self.wire.is_cut(from, to)
    }

    /// Whether the way from one host to another is jammed.
    #[cfg(test)]
    pub fn is_jammed(&self, from: HostId, to: HostId) -> bool {
        self.wire.is_jammed(from, to)
    }

    /// Changes the way from one host to another for packets that leave from now on.
    pub fn set_link(&mut self, from: HostId, to: HostId, spec: LinkSpec) {
        self.wire.set_link(from, to, spec);
    }

    /// The properties of the way from one host to another.
    pub fn link(&self, from: HostId, to: HostId) -> LinkSpec {
        self.wire.spec(from, to)
    }

    /// Slows the way from one host to another for packets that leave from now on, or ends that.
    pub fn set_slowdown(&mut self, from: HostId, to: HostId, slowdown: Option<LinkSlowdown>) {
        self.wire.set_slowdown(from, to, slowdown);
    }

    /// Resets every connection between two hosts, at both ends and at once, as a middlebox does that has lost its table or
    /// was told to. How many connections that were. What is on its way meets a connection that its receiver does not know
    /// any more.
    pub fn reset_connections(&mut self, core: &mut Core, a: HostId, b: HostId) -> usize {
        let is_between = |route: &Route| {
            let ends = (route.host, route.remote_host);
            ends == (a, Some(b)) || ends == (b, Some(a))
        };
        let ends = self.endpoints.iter().filter(|(_, e)| e.phase != Phase::Dead && is_between(&e.route));
        let ends: Vec<_> = ends.map(|(_, e)| e.id).collect();
        self.reset_ends(core, ends)
    }

    /// Lets a reset arrive at these ends; how many connections they were of.
    pub(super) fn reset_ends(&mut self, core: &mut Core, ends: Vec<EndpointId>) -> usize {
        let mut connections = BTreeSet::new();
        for id in ends {
            if let Some(endpoint) = get(&mut self.endpoints, id).filter(|endpoint| endpoint.phase != Phase::Dead) {
                let Route { local, remote, .. } = endpoint.route;
                connections.insert((local.min(remote), local.max(remote)));
                let outcome = endpoint.on_reset(core);
                core.trace(endpoint.route.host, "net.reset", endpoint.route.connection, 0);
                self.conclude(core, id, outcome);
            }
        }
        self.wire.resets_injected += connections.len() as u64;
        connections.len()
    }

    /// Has a filter judge the packets with payload on the way from one host to another, or ends that.
    pub fn set_filter(&mut self, from: HostId, to: HostId, filter: Option<LinkFilter>) {
        self.wire.set_filter(from, to, filter);
    }

    /// Makes the accept queues of a host count as full, or ends that.
    pub fn stuff_accept_queues(&mut self, host: HostId, stuffed: bool) {
        self.hosts[host.0 as usize].accept_queues_stuffed = stuffed;
    }
}
