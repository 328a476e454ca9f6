//! What runs outside of the simulated world: boots hosts, carries out the plan of faults and the operations, heals, drains,
//! and has everything read at the end. See [`run`](crate::run) for the order.

use crate::{
    cluster::{self, Hosts, STORE},
    history::Event,
    log_image,
    operator::{Bounds, Distance, Operator, Order},
    recorder::Recorder,
    removal::Removals,
    spec::{BrokerHost, Disk, FileSystem, Operation, PlannedOperation, Scenario, Schedule, starts_late},
    upkeep::{Upkeep, stop},
};
use faults::{Effect, Injected, Plan, Taken};
use sim::world::{CrashReport, HostId, World};
use std::{sync::Arc, time::Duration};

/// How long the group may get nothing before the drain is given up while messages are outstanding: longer than it takes to come
/// back to a broker that name servers had forgotten, which registers every 30 s; clients ask for routes every 30 s, and share
/// queues anew every 20 s.
const QUIET_MS: u64 = 85_000;
/// How long slaves may stand still at the end, before they have caught up, until they count as behind.
const CATCH_UP_MS_MAX: u64 = 60_000;
/// Runs a scenario in this world and returns the history, and what each event of the plan did to the machines.
pub async fn harness(world: World, scenario: Arc<Scenario>, plan: Plan) -> (Vec<Event>, Vec<Injected>) {
    let recorder = Recorder::new(world.clone());
    let operator = Operator::default();
    let mut hosts = cluster::build(&world, &scenario, &recorder, &operator);
    let schedule = scenario.schedule.clone();
    recorder.note("built", summary(&scenario));
    for spared in &plan.spared {
        recorder.note("budget", format!("at {:.1} s {spared}", spared.at_ms as f64 / 1e3));
    }
    scenario.fault_points.arm(&world);
    boot(&world, &hosts.name_servers);
    world.sleep_until_ns(ms(200)).await;
    boot(&world, &early_brokers(&hosts, &scenario, BrokerHost::is_master));
    world.sleep_until_ns(ms(300)).await;
    boot(&world, &early_brokers(&hosts, &scenario, |broker| !broker.is_master()));
    world.sleep_until_ns(ms(500)).await;
    world.boot(hosts.operator);
    world.sleep_until_ns(ms(1_500)).await;
    boot(&world, &hosts.consumers);
    boot(&world, &hosts.producers);
    world.sleep_until_ns(ms(schedule.load_from_ms)).await;
    recorder.push(|at_ns| Event::Load { at_ns });

    let upkeep = Upkeep::new(&world, &recorder, &scenario, &plan);
    let observe = |_, effect: Effect| {
        upkeep.observe(&effect);
        observe(&recorder, &scenario, &upkeep, &effect);
    };
    let removals =
        Removals { world: &world, recorder: &recorder, scenario: &scenario, upkeep: &upkeep, operator: &operator };
    let (injected, (), mut taken_out, ()) = tokio::join!(
        biased;
        faults::inject(&world, &plan, &hosts.by_name, schedule.heal_ms, observe),
        operate(&world, &recorder, &scenario, &hosts, &upkeep, &operator),
        removals.carry_out(&hosts),
        upkeep.watch_syncs(&hosts),
    );
    hosts.replace_moved(&plan);
    removals.forget(&mut hosts, &mut taken_out);
    upkeep.after_the_plan(&hosts).await;
    removals.finish(&mut hosts, &taken_out).await;
    world.disarm_fault_points();
    recorder.push(|at_ns| Event::Healed { at_ns });
    upkeep.make_topics(&hosts, &operator).await;
    world.sleep_until_ns(ms(schedule.load_to_ms)).await;
    recorder.push(|at_ns| Event::Unload { at_ns });

    operator.order(Order::Probe).await;
    drain(&world, &recorder, &schedule).await;
    stop(&world, &hosts.producers).await;
    stop(&world, &hosts.consumers).await;
    let bounds = match scenario.topology.slaves {
        0 => None,
        _ => Some(await_slaves(&world, &hosts, &operator).await),
    };
    finish_reading(&world, &recorder, &hosts, &operator).await;
    operator.order(Order::ReadBack).await;
    if let Some(bounds) = bounds {
        read_logs(&world, &recorder, &hosts, &bounds);
    }
    recorder.push(|at_ns| Event::End { at_ns });
    (recorder.take(), injected)
}

/// What is built, for people.
fn summary(scenario: &Scenario) -> String {
    let Scenario { topology, workload, broker, .. } = scenario;
    let several = |count: u16, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let brokers = match (topology.masters, topology.slaves) {
        (1, 0) => "1 broker".to_owned(),
        (masters, 0) => several(masters, "master"),
        (masters, slaves) => format!("{} with {} each", several(masters, "master"), several(slaves, "slave")),
    };
    let disk = match topology.disk {
        Disk::Single => "",
        Disk::Raid10 => ", RAID10",
    };
    let file_system = match topology.file_system {
        FileSystem::StrictPosix => String::new(),
        other => format!(", {}", other.name()),
    };
    format!(
        "{}, {brokers} ({} flush, log files of {} KiB{disk}{file_system}), {}, {} in one group, 1 operator, each on a machine of its own; \
         {} msg/s to {}",
        several(topology.name_servers, "name server"),
        scenario.flush,
        broker.commit_log_file_bytes >> 10,
        several(topology.producers, "producer"),
        several(topology.consumers, "consumer"),
        workload.messages_per_second,
        several(workload.queues * topology.masters, "queue"),
    )
}

fn ms(ms: u64) -> u64 {
    ms * 1_000_000
}

fn boot(world: &World, hosts: &[HostId]) {
    for host in hosts {
        world.boot(*host);
    }
}

/// The brokers of a kind that run from the beginning.
fn early_brokers(hosts: &Hosts, scenario: &Scenario, is_of_kind: impl Fn(&BrokerHost) -> bool) -> Vec<HostId> {
    let early = hosts.brokers.iter().filter(|(broker, _)| !starts_late(&scenario.operations, &broker.host));
    early.filter(|(broker, _)| is_of_kind(broker)).map(|(_, id)| *id).collect()
}

/// Carries out the operations of the scenario, one after the other.
async fn operate(
    world: &World,
    recorder: &Recorder,
    scenario: &Scenario,
    hosts: &Hosts,
    upkeep: &Upkeep<'_>,
    operator: &Operator,
) {
    // A broker is where its disk is by then.
    let stop = async |host: &str| stop(world, &[hosts.by_name[&upkeep.machine(host)]]).await;
    let is_here = |operation: &&PlannedOperation| !matches!(operation.what, Operation::Remove { .. });
    let mut operations = scenario.operations.iter().filter(is_here).collect::<Vec<_>>();
    // Stable: what is written first happens first.
    operations.sort_by_key(|operation| operation.at_ms);
    for operation in operations {
        world.sleep_until_ns(ms(operation.at_ms)).await;
        let what = &operation.what;
        recorder.note(what.host(), what.to_string());
        match what {
            Operation::Restart { host, away_ms } => {
                stop(host).await;
                world.sleep(Duration::from_millis(*away_ms)).await;
                upkeep.start(hosts, host);
            }
            Operation::Upgrade { host, profile, away_ms } => {
                stop(host).await;
                hosts.versions[host].install(scenario.quirks_of(*profile));
                world.sleep(Duration::from_millis(*away_ms)).await;
                upkeep.start(hosts, host);
            }
            Operation::Stop { host } => stop(host).await,
            Operation::Start { host } => upkeep.start(hosts, host),
            Operation::CreateTopic { broker } => {
                operator.order(Order::CreateTopic(broker.clone())).await;
            }
            Operation::WipeWritePermission { broker } => {
                operator.order(Order::WipeWritePermission(broker.clone())).await;
            }
            Operation::AddWritePermission { broker } => {
                operator.order(Order::AddWritePermission(broker.clone())).await;
            }
            // They take as long as they have to, beside the others: see `removal`.
            Operation::Remove { .. } => {}
        }
    }
}

async fn drain(world: &World, recorder: &Recorder, schedule: &Schedule) {
    let deadline_ns = ms(schedule.load_to_ms + schedule.drain_ms_max);
    loop {
        world.sleep(Duration::from_millis(250)).await;
        let (outstanding, last_delivery_ns) = recorder.outstanding();
        let quiet_since_ns = last_delivery_ns.max(ms(schedule.load_to_ms));
        let is_quiet = world.now_ns() >= quiet_since_ns + ms(QUIET_MS);
        // A moment more after the last one, for sends that were under way.
        let is_done = outstanding == 0 && world.now_ns() >= quiet_since_ns + ms(1_000);
        if is_done || is_quiet || world.now_ns() >= deadline_ns {
            return;
        }
    }
}

/// Records an effect of the plan.
fn observe(recorder: &Recorder, scenario: &Scenario, upkeep: &Upkeep<'_>, effect: &Effect) {
    let (host, what) = (effect.host(), effect.to_string());
    if effect.heals() {
        return recorder.note(host, what);
    }
    let what = format!("{what}{}", effect.crash_report().map(took).unwrap_or_default()).into();
    let (broker, takes) = (scenario.topology.broker_of(host).map(Arc::from), effect.takes());
    let (destroys, full) = (takes.is_some(), takes == Some(Taken::Room));
    // What was deleted for want of room is asked for where the log is read in the end, under the name that its disk began with.
    let host = if full { upkeep.home(host) } else { host }.into();
    recorder.push(|at_ns| Event::Fault { at_ns, host, what, destroys, full, broker });
}

/// What a crash took from the disk, for people: `; 12 sectors lost, 1 torn, 3 kept by chance`.
fn took(report: &CrashReport) -> String {
    let counts = [
        (report.lost_sectors, "sectors lost"),
        (report.torn_sectors, "torn"),
        (report.kept_sectors, "kept by chance"),
        (report.lost_files, "files lost"),
        (report.undone_sizes, "file sizes undone"),
        (report.lost_entries, "directory entries undone"),
    ];
    let told =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{} {what}", reports::count(*count)));
    let told = told.collect::<Vec<_>>().join(", ");
    if told.is_empty() { String::new() } else { format!("; {told}") }
}

/// A consumer that stood at an offset of a broker's previous life when it was stopped could not commit it, although it had
/// been given everything: the group begins again, at what it has committed, until it is at the end of every queue.
async fn finish_reading(world: &World, recorder: &Recorder, hosts: &Hosts, operator: &Operator) {
    operator.order(Order::AskBehind).await;
    if operator.behind() == 0 {
        return;
    }
    let text = format!("start again: the group has not committed {} messages", reports::count(operator.behind()));
    recorder.note("consumers", text);
    boot(world, &hosts.consumers);
    let deadline_ns = world.now_ns() + ms(QUIET_MS);
    while operator.behind() > 0 && world.now_ns() < deadline_ns {
        world.sleep(Duration::from_secs(1)).await;
        operator.order(Order::AskBehind).await;
    }
    stop(world, &hosts.consumers).await;
}

/// Waits until the slaves have caught up: until then they may have offsets of their master's previous life. Where each log
/// begins and ends.
async fn await_slaves(world: &World, hosts: &Hosts, operator: &Operator) -> Bounds {
    let brokers = hosts.brokers.iter().map(|(broker, _)| broker.clone()).collect::<Vec<_>>();
    let mut distance = Distance::default();
    let mut deadline_ns = world.now_ns() + ms(CATCH_UP_MS_MAX);
    loop {
        operator.order(Order::AskBounds).await;
        let bounds = operator.bounds();
        let end = |host: &str| bounds.get(host).map(|bounds| bounds.end);
        let is_even =
            brokers.iter().all(|broker| end(&broker.host).is_some() && end(&broker.host) == end(&broker.broker));
        if distance.shrinks(&bounds, &brokers) {
            deadline_ns = world.now_ns() + ms(CATCH_UP_MS_MAX);
        }
        // A moment more, for what a slave does with the records that it has got.
        world.sleep(Duration::from_millis(500)).await;
        if is_even || world.now_ns() >= deadline_ns {
            return bounds;
        }
    }
}

/// Records the log of every replica.
fn read_logs(world: &World, recorder: &Recorder, hosts: &Hosts, bounds: &Bounds) {
    let directory = format!("{STORE}/commitlog");
    // What is on the disk of a master that does not open it is no log that a slave could be compared with; that it does not is
    // told by others.
    let serves = |broker: &BrokerHost| !broker.is_master() || bounds.contains_key(&broker.host);
    for (broker, id) in hosts.brokers.iter().filter(|(broker, _)| serves(broker)) {
        let image = log_image::read(&world.disk_files(*id), &directory, bounds.get(&broker.host).cloned());
        let host: Arc<str> = broker.host.as_str().into();
        recorder.push(|_| Event::Replica {
            broker: broker.broker.as_str().into(),
            host: host.clone(),
            master: broker.is_master(),
            min: image.min,
            max: image.max,
        });
        for record in image.records {
            let queue = recorder.queue(&broker.broker, &record.topic, record.queue);
            recorder.push(|_| Event::Record {
                host: host.clone(),
                physical: record.physical,
                checksum: record.checksum,
                queue,
                offset: record.offset,
                id: record.id,
            });
        }
    }
}
