//! The switches of the control panel for the network. Each has its way back where it lasts, and each leaves a step in the
//! trace.
//!
//! A switch concerns the way from one host to another, in this direction only; a host to itself is loopback.

#[cfg(test)]
mod tests;

use super::World;
use crate::simulated::{
    core::HostId,
    kernel,
    net::{LinkFilter, LinkSlowdown, LinkSpec, NameService, NetStats},
};

impl World {
    /// Cuts the way from one host to another, in this direction only.
    pub fn cut(&self, from: HostId, to: HostId) {
        kernel::with(|kernel| {
            kernel.core.trace(from, "cut", u64::from(to.0), 0);
            let (net, core) = kernel.net_core();
            net.cut(core, from, to);
        });
    }

    /// Mends what [`World::cut`] cut.
    pub fn heal(&self, from: HostId, to: HostId) {
        kernel::with(|kernel| {
            kernel.core.trace(from, "heal", u64::from(to.0), 0);
            let (net, core) = kernel.net_core();
            net.heal(core, from, to);
        });
    }

    /// Jams the way from one host to another, in this direction only: what would arrive is held, and arrives when the jam ends.
    /// Nothing is lost, but for what a receiver has given up meanwhile. Jams add up: each needs its own [`World::unjam`].
    pub fn jam(&self, from: HostId, to: HostId) {
        kernel::with(|kernel| {
            kernel.core.trace(from, "jam", u64::from(to.0), 0);
            let (net, core) = kernel.net_core();
            net.jam(core, from, to);
        });
    }

    /// Ends what [`World::jam`] began: what was held arrives now, in the order in which it would have. How many packets.
    pub fn unjam(&self, from: HostId, to: HostId) -> usize {
        kernel::with(|kernel| {
            kernel.core.trace(from, "unjam", u64::from(to.0), 0);
            let (net, core) = kernel.net_core();
            net.unjam(core, from, to)
        })
    }

    /// Resets all connections between two hosts (or of a host with itself), at both ends and now: both programs are told
    /// ECONNRESET, as when a firewall loses its table. How many connections there were.
    pub fn reset_connections(&self, a: HostId, b: HostId) -> usize {
        kernel::with(|kernel| {
            kernel.core.trace(a, "reset-connections", u64::from(b.0), 0);
            let (net, core) = kernel.net_core();
            net.reset_connections(core, a, b)
        })
    }

    /// Fills the accept queues of all listeners of a host, as a storm of connections from elsewhere does: SYNs are dropped, and
    /// so is the last part of handshakes, after which the client takes itself for connected. Until
    /// [`World::drain_accept_queues`].
    pub fn stuff_accept_queues(&self, host: HostId) {
        kernel::with(|kernel| {
            kernel.core.trace(host, "accept-queues-stuffed", 0, 0);
            kernel.net.stuff_accept_queues(host, true);
        });
    }

    /// Ends what [`World::stuff_accept_queues`] began.
    pub fn drain_accept_queues(&self, host: HostId) {
        kernel::with(|kernel| {
            kernel.core.trace(host, "accept-queues-drained", 0, 0);
            kernel.net.stuff_accept_queues(host, false);
        });
    }

    /// Has a filter judge every packet with payload on the way from one host to another, just before it arrives, or ends that:
    /// a fault for one kind of message. A filter that is there is replaced.
    pub fn set_link_filter(&self, from: HostId, to: HostId, filter: Option<LinkFilter>) {
        kernel::with(|kernel| {
            kernel.core.trace(from, "net.filter", u64::from(to.0), u64::from(filter.is_some()));
            kernel.net.set_filter(from, to, filter);
        });
    }

    /// Changes how names are resolved on a host, from the next attempt on.
    pub fn set_name_service(&self, host: HostId, service: NameService) {
        kernel::with(|kernel| {
            let (kind, delay_ns) = match service {
                NameService::Healthy => (0, 0),
                NameService::Slow { delay_ns } => (1, delay_ns),
                NameService::Failing => (2, 0),
                NameService::Silent => (3, 0),
            };
            kernel.core.trace(host, "name-service", kind, delay_ns);
            kernel.net.set_name_service(host, service);
        });
    }

    /// Makes the way from one host to another longer and narrower, for packets that leave from now on. A slowdown that is in
    /// force is replaced; cuts and the link's own properties stay as they are.
    pub fn slow_link(&self, from: HostId, to: HostId, slowdown: LinkSlowdown) {
        kernel::with(|kernel| {
            kernel.core.trace(
                from,
                "net.slow",
                u64::from(to.0) << 48 ^ slowdown.added_latency_ns,
                slowdown.bytes_per_s_max,
            );
            kernel.net.set_slowdown(from, to, Some(slowdown));
        });
    }

    /// Ends what [`World::slow_link`] began.
    pub fn restore_link(&self, from: HostId, to: HostId) {
        kernel::with(|kernel| {
            kernel.core.trace(from, "net.restore", u64::from(to.0), 0);
            kernel.net.set_slowdown(from, to, None);
        });
    }

    /// Changes the properties of the way from one host to another. A slowdown in force stays in force on top of them.
    ///
    /// # Panics
    /// When a probability is not one.
    pub fn set_link(&self, from: HostId, to: HostId, link: LinkSpec) {
        let rates =
            [link.tail_probability, link.loss, link.corrupt, link.duplicate, link.reorder, link.undetected_corruption];
        assert!(rates.iter().all(|rate| (0.0..=1.0).contains(rate)), "probabilities lie between 0 and 1: {link:?}");
        kernel::with(|kernel| {
            let digest = link.words().into_iter().fold(0_u64, |digest, word| digest.rotate_left(11) ^ word);
            kernel.core.trace(from, "net.link", u64::from(to.0), digest);
            kernel.net.set_link(from, to, link);
        });
    }

    /// The properties of the way from one host to another, without a slowdown that may be in force.
    pub fn link(&self, from: HostId, to: HostId) -> LinkSpec {
        kernel::with(|kernel| kernel.net.link(from, to))
    }

    /// Counters of the network.
    pub fn net_stats(&self) -> NetStats {
        kernel::with(|kernel| kernel.net.stats())
    }
}
