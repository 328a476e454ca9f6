//! What operators look after when the faults are over, in the world rather than with `mqadmin`: which machine stands for which
//! broker by now, and which broker needs a restart, another disk, or its topics.
//!
//! | what is seen | what is done |
//! |---|---|
//! | a process that ended by itself | it is started once more |
//! | a sync failed, and the broker that it failed for still runs | it is restarted in good order: it takes no more sends until then |
//! | a drive was damaged, and its broker refuses to open what is on it | it gets an empty disk |
//! | a master has got an empty disk, and so has everyone who could give it back what was on it | its topic is made again |
//!
//! Nothing is done to a broker for the sake of a disk that it no longer has, nor to a machine whose disk is in another one.

use crate::{
    cluster::Hosts,
    history::Event,
    operator::{Operator, Order},
    recorder::Recorder,
    spec::Scenario,
};
use faults::{Action, Disks, Effect, Plan, Taken};
use sim::world::{Crash, HostId, HostState, World};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long a process may take to stop in good order.
const STOP_MS_MAX: u64 = 20_000;
/// How long a broker may take to open its store, or to refuse it.
const OPENS_WITHIN: Duration = Duration::from_secs(1);
/// How often it is looked whether a sync has failed that is to fail.
const SYNC_WATCH: Duration = Duration::from_millis(20);

/// The syncs that failed on one disk.
#[derive(Clone, Copy, Debug, Default)]
struct FailedSyncs {
    /// How many have been seen.
    seen: u64,
    /// Which life of the broker the last one failed in.
    life: u64,
}

/// Who looks after the brokers. Disks and brokers go by the machines that they began in.
pub struct Upkeep<'a> {
    world: &'a World,
    recorder: &'a Recorder,
    scenario: &'a Scenario,
    plan: &'a Plan,
    disks: Disks,
    failed_syncs: Mutex<BTreeMap<String, FailedSyncs>>,
    /// The disks that were lost, so that there is an empty one.
    emptied: Mutex<BTreeSet<String>>,
}

impl<'a> Upkeep<'a> {
    pub fn new(world: &'a World, recorder: &'a Recorder, scenario: &'a Scenario, plan: &'a Plan) -> Upkeep<'a> {
        let disks = Disks::of(plan);
        Upkeep { world, recorder, scenario, plan, disks, failed_syncs: Mutex::default(), emptied: Mutex::default() }
    }

    /// The machine that a broker is on by now.
    pub fn machine(&self, broker: &str) -> String {
        self.disks.machine_of(broker, self.now_ms()).to_owned()
    }

    /// The machine that the disk of a machine began in; itself, where it has none.
    pub fn home<'b>(&'b self, machine: &'b str) -> &'b str {
        self.disks.home_of(machine, self.now_ms()).unwrap_or(machine)
    }

    /// Starts a broker where it is by now, unless it runs. One whose machine is broken, and whose disk will be put into another
    /// one, cannot be started before.
    pub fn start(&self, hosts: &Hosts, broker: &str) {
        let machine = self.machine(broker);
        if self.disks.leaves(&machine, self.now_ms()) && self.is_off(hosts, &machine) {
            return self.recorder.note(&machine, "cannot be started: its machine is broken");
        }
        start(self.world, hosts.by_name[&machine]);
    }

    /// Notes what an effect of the plan means for later.
    pub fn observe(&self, effect: &Effect) {
        if effect.takes() == Some(Taken::Disk) {
            self.lost_disk(effect.host());
        }
    }

    /// Records the moment at which a sync fails, which is later than when the fault was armed.
    pub async fn watch_syncs(&self, hosts: &Hosts) {
        let heal_ns = self.scenario.schedule.heal_ms * 1_000_000;
        let watched = self.homes_losing(|_, taken| taken == Taken::FailedSyncs);
        while !watched.is_empty() && self.world.now_ns() + 2 * SYNC_WATCH.as_nanos() as u64 <= heal_ns {
            for home in &watched {
                self.look_for_failed_syncs(hosts, home, true);
            }
            self.world.sleep(SYNC_WATCH).await;
        }
    }

    /// Does all that is to be done when the plan is over, but for the topics.
    pub async fn after_the_plan(&self, hosts: &Hosts) {
        self.restart_after_failed_syncs(hosts).await;
        for host in hosts.in_use().filter(|host| self.world.state(*host) != HostState::Running) {
            // A process that ended by itself (a broker that could not go on) gets its last chance here.
            self.world.boot(host);
        }
        self.replace_damaged(hosts).await;
    }

    /// Has the topic made again where nobody has it any more: routes forget it, and no producer goes there then.
    pub async fn make_topics(&self, hosts: &Hosts, operator: &Operator) {
        let emptied = self.emptied.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for broker in self.scenario.topology.broker_names() {
            let mut members = hosts.brokers.iter().filter(|(host, _)| host.broker == broker);
            if members.all(|(host, _)| emptied.contains(&host.host)) {
                self.recorder.note(&broker, "its topic is made again");
                operator.order(Order::CreateTopic(broker)).await;
            }
        }
    }

    /// A broker whose sync failed takes no more sends until somebody looks at it: now. One that has been started again since, with
    /// that disk or another, needs nobody.
    async fn restart_after_failed_syncs(&self, hosts: &Hosts) {
        for home in self.homes_losing(|_, taken| taken == Taken::FailedSyncs) {
            self.look_for_failed_syncs(hosts, &home, false);
            let failed = self.failed_syncs.lock().unwrap_or_else(PoisonError::into_inner).get(&home).copied();
            let machine = self.machine(&home);
            let host = hosts.by_name[&machine];
            let still_runs = failed.is_some_and(|failed| failed.seen > 0 && failed.life == hosts.lives(&machine));
            if still_runs && self.world.state(host) == HostState::Running && hosts.in_use().any(|used| used == host) {
                self.recorder.note(&machine, "restarted in good order, for its failed sync");
                stop(self.world, &[host]).await;
                start(self.world, host);
            }
        }
    }

    /// A broker that refuses to open what a drive has damaged waits for its operator, who gives it an empty disk: what there is of it
    /// on replicas comes back from there.
    async fn replace_damaged(&self, hosts: &Hosts) {
        let is_drive = |action: &Action| matches!(action, Action::DiskFaults { .. } | Action::DamageMedia { .. });
        let damaged = self.homes_losing(|action, _| is_drive(action));
        if damaged.is_empty() {
            return;
        }
        self.world.sleep(OPENS_WITHIN).await;
        for home in damaged {
            let machine = self.machine(&home);
            let host = hosts.by_name[&machine];
            if !hosts.in_use().any(|used| used == host) || self.world.state(host) == HostState::Running {
                continue;
            }
            self.world.crash(host, Crash::Disk);
            self.lost_disk(&machine);
            let broker = self.scenario.topology.broker_of(&machine).map(Arc::from);
            let what = "its broker refuses to open what the drive has damaged: it gets an empty disk".into();
            let host_name = machine.as_str().into();
            self.recorder.push(|at_ns| Event::Fault {
                at_ns,
                host: host_name,
                what,
                destroys: true,
                full: false,
                broker,
            });
            self.world.boot(host);
        }
    }

    fn look_for_failed_syncs(&self, hosts: &Hosts, home: &str, tells: bool) {
        let machine = self.machine(home);
        // A disk keeps its counters when it is put into another machine, and when it is replaced.
        let failed = self.world.disk_stats(hosts.by_name[&machine]).failed_syncs;
        let mut all = self.failed_syncs.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(home.to_owned()).or_default();
        if failed <= known.seen {
            return;
        }
        *known = FailedSyncs { seen: failed, life: hosts.lives(&machine) };
        if tells {
            let (host, broker) = (machine.as_str().into(), self.scenario.topology.broker_of(home).map(Arc::from));
            let what = "a sync failed; what it should have written is dropped".into();
            self.recorder.push(|at_ns| Event::Fault { at_ns, host, what, destroys: true, full: false, broker });
        }
    }

    /// The disks of which the plan takes something, by such actions.
    fn homes_losing(&self, is_meant: impl Fn(&Action, Taken) -> bool) -> BTreeSet<String> {
        let mut homes = BTreeSet::new();
        for event in &self.plan.events {
            let tolls = event.action.tolls().into_iter().filter(|toll| is_meant(&event.action, toll.taken));
            homes.extend(tolls.filter_map(|toll| self.disks.home_of(toll.host, event.at_ms)).map(str::to_owned));
        }
        homes
    }

    fn lost_disk(&self, machine: &str) {
        if let Some(home) = self.disks.home_of(machine, self.now_ms()) {
            self.emptied.lock().unwrap_or_else(PoisonError::into_inner).insert(home.to_owned());
        }
    }

    fn is_off(&self, hosts: &Hosts, machine: &str) -> bool {
        self.world.state(hosts.by_name[machine]) == HostState::Off
    }

    fn now_ms(&self) -> u64 {
        self.world.now_ns() / 1_000_000
    }
}

/// Boots a host, unless a fault's end has done so already.
pub fn start(world: &World, host: HostId) {
    if world.state(host) != HostState::Running {
        world.boot(host);
    }
}

/// Stops processes in good order, and by force those that do not.
pub async fn stop(world: &World, hosts: &[HostId]) {
    let deadline_ns = world.now_ns() + STOP_MS_MAX * 1_000_000;
    for host in hosts {
        world.terminate(*host);
    }
    while hosts.iter().any(|host| world.state(*host) == HostState::Running) && world.now_ns() < deadline_ns {
        world.sleep(Duration::from_millis(10)).await;
    }
    for host in hosts.iter().filter(|host| world.state(**host) == HostState::Running) {
        world.crash(*host, Crash::Process);
    }
}
