//! The name service of a host: whether names are resolved, late, or not at all.
//!
//! The client is glibc's with its defaults (`man 5 resolv.conf`): an attempt waits 5 s, and there are two. Nothing is cached.
//! Left out: names that resolve to a wrong or an old address; addresses here never change.

use super::{super::core::HostId, model::Net};
use std::{net::Ipv4Addr, time::Duration};

/// `timeout` of `resolv.conf`.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// `attempts` of `resolv.conf`.
pub const ATTEMPTS: u32 = 2;

/// How names are resolved on a host. Addresses, and `localhost`, need no name service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameService {
    /// At once.
    #[default]
    Healthy,
    /// Each answer takes so long; at 5 s and more it comes too late and counts as none.
    Slow {
        /// Nanoseconds.
        delay_ns: u64,
    },
    /// The server answers that it cannot (SERVFAIL): names fail at once, with EAI_AGAIN.
    Failing,
    /// The server is silent: names fail after both attempts, 10 s, with EAI_AGAIN.
    Silent,
}

/// What an attempt finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The answer comes after so long.
    Answer(Duration),
    /// The server says that it cannot tell.
    Failure,
    /// Nobody answers.
    Silence,
}

impl Net {
    /// Asks the name service of a host; in the harness, which runs on no host, it is healthy.
    pub(super) fn attempt_to_resolve(&mut self, host: Option<HostId>) -> Attempt {
        let Some(host) = host else {
            return Attempt::Answer(Duration::ZERO);
        };
        let (attempt, counter) = match self.hosts[host.0 as usize].name_service {
            NameService::Healthy => return Attempt::Answer(Duration::ZERO),
            NameService::Slow { delay_ns } if Duration::from_nanos(delay_ns) < ATTEMPT_TIMEOUT => {
                (Attempt::Answer(Duration::from_nanos(delay_ns)), &mut self.wire.slow_names_injected)
            }
            NameService::Failing => (Attempt::Failure, &mut self.wire.failed_names_injected),
            NameService::Silent | NameService::Slow { .. } => (Attempt::Silence, &mut self.wire.failed_names_injected),
        };
        *counter += 1;
        attempt
    }

    /// Changes how a host resolves names, from its next attempt on.
    pub fn set_name_service(&mut self, host: HostId, service: NameService) {
        self.hosts[host.0 as usize].name_service = service;
    }

    /// The address of the host of this name.
    pub fn lookup(&self, name: &str) -> Option<Ipv4Addr> {
        self.names.get(name).copied()
    }
}
