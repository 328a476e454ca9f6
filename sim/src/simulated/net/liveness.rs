//! Whether the peer is still there: keep-alive probes on idle connections, and a program's own limit for the kernel's patience.
//!
//! Both are off until a program asks for them, and cost nothing then. Keep-alive is Linux's `tcp_keepalive_timer`: it counts
//! from the last segment that was heard, and stands back while data is in flight, whose retransmissions ask the same. The
//! limit is TCP_USER_TIMEOUT (RFC 5482): it replaces the number of retransmissions, and holds for a shut window too, even if
//! the peer answers every probe of it.

use super::{
    super::core::{Core, ProcessId},
    endpoint::{Endpoint, Outcome, Phase},
    error::SocketError,
    model::Net,
    segment::{EndpointId, Kind},
    timers::Purpose,
    wire::Wire,
};
use crate::socket_options::KeepAlive;
use std::time::Duration;

/// What a program wants to be told about its peer, and what is known.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub keepalive: Option<KeepAlive>,
    pub user_timeout_ns: Option<u64>,
    heard_ns: u64,
    /// Keep-alive probes since then.
    probes: u32,
}

impl Watch {
    /// A segment has come.
    pub fn on_heard(&mut self, now_ns: u64) {
        (self.heard_ns, self.probes) = (now_ns, 0);
    }

    /// How long until the next look at an idle connection; `None` without keep-alive.
    pub fn keepalive_after_ns(&self, now_ns: u64) -> Option<u64> {
        let keepalive = self.keepalive?;
        if self.probes > 0 {
            return Some(ns(keepalive.interval));
        }
        Some((self.heard_ns.saturating_add(ns(keepalive.idle))).saturating_sub(now_ns))
    }

    fn is_spent(&self, keepalive: KeepAlive, now_ns: u64) -> bool {
        match self.user_timeout_ns {
            Some(limit_ns) => self.probes > 0 && now_ns - self.heard_ns >= limit_ns,
            None => self.probes >= keepalive.probes,
        }
    }
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Endpoint {
    /// The connection is idle and its keep-alive timer has run out.
    pub fn on_keepalive(&mut self, wire: &mut Wire, core: &mut Core) -> Outcome {
        let now_ns = core.now_ns();
        if let Some(watch) = &mut self.watch
            && let Some(keepalive) = watch.keepalive
            && watch.heard_ns.saturating_add(ns(keepalive.idle)) <= now_ns
        {
            if watch.is_spent(keepalive, now_ns) {
                core.trace(self.route.host, "net.keep-alive-spent", self.route.connection, u64::from(watch.probes));
                self.send_bare(wire, core, Kind::Reset);
                return self.die(core, SocketError::TimedOut(self.route.remote));
            }
            watch.probes += 1;
            wire.keepalive_probes += 1;
            self.send_bare(wire, core, Kind::Probe);
        }
        self.plan_timer(core);
        Outcome::Stays
    }

    /// When the program's patience ends with what is in flight, or with a shut window; `None` while the peer keeps up.
    pub fn patience_ends_ns(&self) -> Option<u64> {
        let limit_ns = self.watch.as_ref()?.user_timeout_ns?;
        self.retransmission.stalled_since_ns().map(|since_ns| since_ns.saturating_add(limit_ns))
    }
}

impl Net {
    /// SO_KEEPALIVE with its three figures, or off.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn set_keepalive(
        &mut self,
        core: &mut Core,
        process: ProcessId,
        id: EndpointId,
        keepalive: Option<KeepAlive>,
    ) -> Result<(), SocketError> {
        let endpoint = self.owned(process, id)?;
        let watch = endpoint.watch.get_or_insert_default();
        // As in `tcp_set_keepalive`, the first look comes a whole idle time after the call.
        watch.on_heard(core.now_ns());
        watch.keepalive = keepalive;
        if endpoint.timer.is_for(Purpose::KeepAlive) {
            endpoint.timer.stop();
        }
        if endpoint.phase == Phase::Open {
            endpoint.plan_timer(core);
        }
        Ok(())
    }

    /// TCP_USER_TIMEOUT, or off.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn set_user_timeout(
        &mut self,
        process: ProcessId,
        id: EndpointId,
        timeout: Option<Duration>,
    ) -> Result<(), SocketError> {
        let watch = self.owned(process, id)?.watch.get_or_insert_default();
        watch.user_timeout_ns = timeout.map(ns);
        Ok(())
    }
}
