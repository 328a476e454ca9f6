//! A slave is taken out of its replica group for good, as the operators' guide (`deploy/replica-groups.md`) says:
//!
//! | what is seen | what is done |
//! |---|---|
//! | its master leads | the slave is stopped in good order, and its master told (`mqadmin removeReplica`) |
//! | the master is away, or waits for members | nothing yet: the slave may be the only one to have something |
//! | the master does not take it out, for it went away meanwhile | the slave is started again, until the master leads |

use crate::{
    cluster::Hosts,
    operator::{Operator, Order},
    recorder::Recorder,
    spec::{BrokerHost, Operation, PlannedOperation, Scenario},
    upkeep::{Upkeep, stop},
};
use sim::world::{HostState, World};
use std::{collections::BTreeSet, time::Duration};

/// How often the operator looks, and tells the master again.
const RETRY: Duration = Duration::from_secs(1);
/// How often the master is told before the slave is started again.
const ATTEMPTS: u32 = 5;
/// How long it takes at most when all faults are over.
const AFTER_FAULTS: Duration = Duration::from_secs(120);

/// Who takes slaves out.
pub struct Removals<'a> {
    pub world: &'a World,
    pub recorder: &'a Recorder,
    pub scenario: &'a Scenario,
    pub upkeep: &'a Upkeep<'a>,
    pub operator: &'a Operator,
}

impl Removals<'_> {
    /// Carries out the removals of the scenario, each at its time; returns the hosts that were taken out before the faults end.
    pub async fn carry_out(&self, hosts: &Hosts) -> BTreeSet<String> {
        let heal_ns = self.scenario.schedule.heal_ms * 1_000_000;
        let taken_out = self.wanted().map(async |(operation, host)| {
            self.world.sleep_until_ns(operation.at_ms * 1_000_000).await;
            self.recorder.note(host, operation.what.to_string());
            self.take_out(hosts, host, heal_ns).await.then(|| host.clone())
        });
        futures_util::future::join_all(taken_out).await.into_iter().flatten().collect()
    }

    /// Where the faults left a slave in its group, or have started it since: it is taken out now.
    pub async fn finish(&self, hosts: &mut Hosts, taken_out: &BTreeSet<String>) {
        let deadline_ns = self.world.now_ns() + AFTER_FAULTS.as_nanos() as u64;
        for (_, host) in self.wanted().filter(|(_, host)| !taken_out.contains(*host)) {
            if !self.take_out(hosts, host, deadline_ns).await {
                self.recorder.note(host, "is stopped all the same: its master does not lead");
                stop(self.world, &[hosts.by_name[&self.upkeep.machine(host)]]).await;
            }
            hosts.brokers.retain(|(broker, _)| broker.host != *host);
        }
    }

    /// Those that were taken out and stay away are no longer looked after.
    pub fn forget(&self, hosts: &mut Hosts, taken_out: &mut BTreeSet<String>) {
        let is_away = |host: &String| self.world.state(hosts.by_name[&self.upkeep.machine(host)]) != HostState::Running;
        taken_out.retain(is_away);
        hosts.brokers.retain(|(broker, _)| !taken_out.contains(&broker.host));
    }

    /// The removals, and whom they take out.
    fn wanted(&self) -> impl Iterator<Item = (&PlannedOperation, &String)> {
        self.scenario.operations.iter().filter_map(|operation| match &operation.what {
            Operation::Remove { host } => Some((operation, host)),
            _ => None,
        })
    }

    /// Returns whether the master has taken it out by then.
    async fn take_out(&self, hosts: &Hosts, host: &str, deadline_ns: u64) -> bool {
        let Some(slave) = self.slave(host) else { return false };
        while self.world.now_ns() < deadline_ns {
            if !self.operator.order(Order::AskLeads(slave.clone())).await {
                self.world.sleep(RETRY).await;
                continue;
            }
            stop(self.world, &[hosts.by_name[&self.upkeep.machine(host)]]).await;
            for _ in 0..ATTEMPTS {
                if self.operator.order(Order::RemoveReplica(slave.clone())).await {
                    self.recorder.note(host, "taken out of its replica group");
                    return true;
                }
                self.world.sleep(RETRY).await;
            }
            self.recorder.note(host, "started again: its master may need it");
            self.upkeep.start(hosts, host);
            self.world.sleep(RETRY * ATTEMPTS).await;
        }
        false
    }

    fn slave(&self, host: &str) -> Option<BrokerHost> {
        self.scenario.topology.brokers().into_iter().find(|broker| broker.host == host)
    }
}
