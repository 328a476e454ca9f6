use super::*;
use crate::{
    catalogue,
    settings::set,
    spec::{Disk, Flush, Mode, Placement},
};
use LossPromise::{Host, None as Nothing, Oldest, Window};
use faults::{Action, Budget, Fault, FaultKind};
use std::fmt::Write;

const DISTURBED: LossPromise = Window { bound_ms: 25_700 };

fn scenario(mode: &str, flush: Flush) -> Scenario {
    let mode = mode.parse().expect("a mode");
    Scenario { flush, ..catalogue::standard(mode) }
}

/// The weakest promise of a class of faults; nothing where there is nobody to strike.
fn of_class(mode: Mode, flush: Flush, fault: &Fault) -> Option<LossPromise> {
    let mut scenario = Scenario { flush, fault: fault.clone(), ..catalogue::standard(mode) };
    if fault.needs_raid() {
        scenario.topology.disk = Disk::Raid10;
    }
    scenario.check().ok()?;
    Some(of_fault(&scenario).weakest().kind())
}

/// A plan as people write it: times and actions.
fn plan(events: &[(u64, &str)]) -> Plan {
    let event = |(at_ms, action): &(u64, &str)| format!("[[events]]\nat_ms = {at_ms}\naction = {{ {action} }}\n");
    toml::from_str(&events.iter().map(event).collect::<String>()).expect("a plan")
}

fn of_plan(scenario: &Scenario, events: &[(u64, &str)]) -> Promise {
    let scenario = Scenario { plan: Some(plan(events)), ..scenario.clone() };
    scenario.check().unwrap_or_else(|error| panic!("{error}"));
    of_run(&scenario, scenario.plan.as_ref().expect("it was just put there"))
}

/// What may be lost of a broker's messages that were acknowledged at this moment, by the first fault from then on.
fn lost(promise: &Promise, broker: &str, acked_ms: u64, fault_ms: u64) -> LossPromise {
    promise.allowed(Some(broker), acked_ms * 1_000_000, fault_ms * 1_000_000).kind()
}

fn crash(host: &str, crash: &str, boot_after_ms: u64) -> String {
    format!(r#"kind = "crash", host = "{host}", crash = "{crash}", boot_after_ms = {boot_after_ms}"#)
}

fn disk_faults(host: &str, faults: &str, clear_after_ms: u64) -> String {
    format!(r#"kind = "disk-faults", host = "{host}", faults = {{ {faults} }}, clear_after_ms = {clear_after_ms}"#)
}

/// Reviewed like code: what every mode promises under every single class of faults.
#[test]
fn single_faults() {
    let short = |loss| match loss {
        Nothing => "none".to_owned(),
        Window { bound_ms } => format!("{bound_ms} ms"),
        Oldest => "oldest".to_owned(),
        Host => "host".to_owned(),
    };
    let mut text = String::new();
    let columns = Mode::ALL.into_iter().flat_map(|mode| Flush::ALL.map(|flush| (mode, flush))).collect::<Vec<_>>();
    for kind in FaultKind::ALL {
        write!(text, "{:<18}", kind.name()).expect("memory");
        for (mode, flush) in &columns {
            let loss = of_class(*mode, *flush, &kind.into()).map_or("–".to_owned(), short);
            write!(text, " {loss:>7}").expect("memory");
        }
        text.push('\n');
    }
    let header = columns.iter().map(|(mode, flush)| format!("{mode} {flush}")).collect::<Vec<_>>().join(", ");
    insta::assert_snapshot!(format!("{header}\n{text}"));
}

#[test]
fn what_is_left_under_two_faults() {
    for (mode, flush, fault, expected) in [
        ("single-master", Flush::Async, "broker-crash+power-loss", DISTURBED),
        ("2m-2s-sync", Flush::Async, "power-loss+disk-loss", Nothing),
        ("2m-2s-sync", Flush::Async, "partition-pair+machine-loss", Nothing),
        ("2m-2s-sync", Flush::Async, "slave-power-loss+power-loss", DISTURBED),
        ("2m-2s-sync", Flush::Sync, "slave-power-loss+power-loss", Nothing),
        ("2m-2s-sync", Flush::Sync, "slave-disk-loss+machine-loss", Host),
        ("2m-2s-async", Flush::Sync, "partition-slave+disk-loss", Host),
        ("2m-2s-async", Flush::Sync, "disk-loss+slave-crash", Window { bound_ms: 250 }),
        ("2m-2s-async", Flush::Async, "disk-loss+slave-power-loss", DISTURBED),
        ("2m-2s-async", Flush::Sync, "partition-pair+power-loss", Nothing),
        ("2m-2s-async", Flush::Async, "slave-disk-loss+slave-crash", Nothing),
        ("2m-2s-sync", Flush::Sync, "lying-fsync+power-loss", Nothing),
        ("2m-2s-sync", Flush::Async, "slave-power-loss+lying-fsync", DISTURBED),
        ("2m-2s-sync", Flush::Sync, "jam+bit-rot", Nothing),
        ("2m-2s-sync", Flush::Sync, "slave-disk-loss+bit-rot", Host),
        ("2m-2s-async", Flush::Sync, "jam+bit-rot", Host),
    ] {
        let fault = fault.parse().expect("a fault");
        assert_eq!(of_class(mode.parse().expect("a mode"), flush, &fault), Some(expected), "{mode} {flush} {fault}");
    }
}

/// The slave's drive lies about its flushes and loses power; then the master loses its disk. That both had it says nothing, since
/// neither has.
#[test]
fn a_drive_fault_is_its_own_hosts() {
    let sync = scenario("2m-2s-sync", Flush::Sync);
    let lies = |host| disk_faults(host, "lying_sync = true", 6_000);
    let power = |host| crash(host, "power-loss", 1_500);
    let disk = |host| crash(host, "disk-loss", 7_000);
    let both = |slave| {
        let (lies, power, disk) = (lies(slave), power(slave), disk("broker-a"));
        of_plan(&sync, &[(17_000, &lies), (22_000, &power), (22_200, &disk)])
    };
    let promise = both("broker-a-s");
    assert_eq!(lost(&promise, "broker-a", 20_000, 22_000), Host);
    // Those that came after the slave was struck had its master alone to lose them, and were not acknowledged without a slave.
    assert_eq!(lost(&promise, "broker-a", 22_100, 22_200), Nothing);
    assert_eq!(lost(&promise, "broker-b", 20_000, 22_000), Nothing, "nothing happened to its machines");
    // Another group's slave is no copy of this one.
    assert_eq!(both("broker-b-s").weakest().kind(), Nothing);
    // Without a loss of power a lie is harmless; so is one that the kernel's crash leaves in the drive's cache.
    let os = crash("broker-a-s", "os-crash", 1_500);
    let harmless = of_plan(&sync, &[(17_000, &lies("broker-a-s")), (22_000, &os), (22_200, &disk("broker-a"))]);
    assert_eq!(harmless.weakest().kind(), Nothing);
}

#[test]
fn each_fault_of_a_slave_takes_what_it_would_from_a_master_and_from_its_own_copy_alone() {
    for (faults, alone, with_disk) in [
        ("write_error = 0.5", Nothing, DISTURBED),
        ("stale_read = 0.5", Nothing, Host),
        ("lost_write = 0.5", Nothing, Host),
        ("read_error = 0.5", Nothing, Nothing),
        ("stalled = true", Nothing, Nothing),
    ] {
        let sync = scenario("2m-2s-sync", Flush::Async);
        let (faults, disk) = (disk_faults("broker-a-s", faults, 9_000), crash("broker-a", "disk-loss", 5_000));
        assert_eq!(of_plan(&sync, &[(15_000, &faults)]).weakest().kind(), alone, "{faults}");
        let both = of_plan(&sync, &[(15_000, &faults), (20_000, &disk)]);
        assert_eq!(both.weakest().kind(), with_disk, "{faults}");
    }
    for (action, alone) in [
        (r#"kind = "fail-sync", host = "broker-a-s""#, Nothing),
        (r#"kind = "fail-sync", host = "broker-a""#, Window { bound_ms: 700 }),
        (r#"kind = "damage-media", host = "broker-a-s", damage = "bit-rot", sectors = 9"#, Nothing),
        (r#"kind = "fill-disk", host = "broker-a-s", free_bytes = 0"#, Nothing),
        (r#"kind = "fill-disk", host = "broker-a", free_bytes = 0"#, Oldest),
        (r#"kind = "fill-disk", host = "namesrv-1", free_bytes = 0"#, Nothing),
        (r#"kind = "damage-media", host = "producer-1", damage = "bit-rot", sectors = 9"#, Nothing),
        (r#"kind = "disk-faults", host = "consumer-1", faults = { lost_write = 1 }"#, Nothing),
        (
            r#"kind = "crash-loop", host = "broker-a-s", crash = "disk-loss", times = 2, down_ms = 9, up_ms = 9"#,
            Nothing,
        ),
        (r#"kind = "suspend", host = "broker-a-s""#, Nothing),
        (r#"kind = "out-of-memory", host = "broker-a", operations = 9"#, Nothing),
        (r#"kind = "strobe-clock", host = "broker-a", step_ms = 9000, every_ms = 9"#, Nothing),
    ] {
        let promise = of_plan(&scenario("2m-2s-sync", Flush::Async), &[(15_000, action)]);
        assert_eq!(promise.weakest().kind(), alone, "{action}");
    }
}

#[test]
fn what_fails_together_counts_by_group() {
    let together = |crash: &str, hosts: &[&str]| {
        let hosts =
            hosts.iter().map(|host| format!(r#"{{ host = "{host}", boot_after_ms = 500 }}"#)).collect::<Vec<_>>();
        format!(r#"kind = "crash-together", crash = "{crash}", hosts = [{}]"#, hosts.join(", "))
    };
    let weakest = |flush, action: &str| of_plan(&scenario("2m-2s-sync", flush), &[(15_000, action)]).weakest().kind();
    // The masters of two groups, and each has its slave.
    assert_eq!(weakest(Flush::Sync, &together("disk-loss", &["broker-a", "broker-b"])), Nothing);
    assert_eq!(weakest(Flush::Sync, &together("disk-loss", &["broker-a", "broker-b-s"])), Nothing);
    assert_eq!(weakest(Flush::Sync, &together("disk-loss", &["broker-a", "broker-a-s"])), Host);
    assert_eq!(weakest(Flush::Async, &together("power-loss", &["broker-a", "broker-b"])), Nothing);
    assert_eq!(weakest(Flush::Async, &together("power-loss", &["broker-a", "broker-a-s"])), Window { bound_ms: 700 });
    assert_eq!(weakest(Flush::Async, &together("power-loss", &["namesrv-1", "namesrv-2"])), Nothing);
    assert_eq!(weakest(Flush::Async, r#"kind = "crash-zone", zone = "dc-1/room-1", crash = "power-loss""#), Nothing);
    assert_eq!(
        weakest(Flush::Async, r#"kind = "crash-zone", zone = "dc-1", crash = "power-loss""#),
        Window { bound_ms: 700 }
    );
}

#[test]
fn a_second_strike_excuses_nobody_for_what_came_after_the_first() {
    let sync = scenario("2m-2s-sync", Flush::Sync);
    let (slave, master) = (crash("broker-a-s", "disk-loss", 3_000), crash("broker-a", "disk-loss", 5_000));
    let promise = of_plan(&sync, &[(15_000, &slave), (35_000, &master)]);
    assert_eq!(lost(&promise, "broker-a", 10_000, 15_000), Host);
    assert_eq!(lost(&promise, "broker-a", 30_000, 35_000), Nothing, "its slave had it, and lost nothing any more");
    assert_eq!(lost(&promise, "broker-a", 40_000, 50_000), Nothing);
    assert_eq!(promise.weakest().kind(), Host);
    // And the other way round.
    let promise = of_plan(&sync, &[(15_000, &master), (35_000, &slave)]);
    assert_eq!(
        (lost(&promise, "broker-a", 10_000, 15_000), lost(&promise, "broker-a", 30_000, 35_000)),
        (Host, Nothing)
    );
    // The flush had gone on for long when the first of two crashes came, and not when the second did.
    let power = crash("broker-a", "power-loss", 3_000);
    let promise = of_plan(&scenario("single-master", Flush::Async), &[(15_000, &power), (20_000, &power)]);
    assert_eq!(lost(&promise, "broker-a", 14_900, 15_000), Window { bound_ms: 700 });
    assert_eq!(lost(&promise, "broker-a", 19_000, 20_000), DISTURBED);
}

#[test]
fn a_slave_falls_behind_by_what_touches_it_or_its_way_to_the_master() {
    let disk = crash("broker-a", "disk-loss", 5_000);
    let after = |action: &str| {
        of_plan(&scenario("2m-2s-async", Flush::Sync), &[(15_000, action), (20_000, &disk)]).weakest().kind()
    };
    for delays in [
        r#"kind = "suspend", host = "broker-a-s", resume_after_ms = 900"#,
        r#"kind = "jam", host = "broker-a", direction = "out", release_after_ms = 900"#,
        r#"kind = "cut", host = "broker-a-s", peers = ["broker-a"], direction = "in", heal_after_ms = 900"#,
        r#"kind = "bridge", host = "namesrv-1", one_side = ["broker-a"], other_side = ["broker-a-s"]"#,
    ] {
        assert_eq!(after(delays), Host, "{delays}");
    }
    for elsewhere in [
        r#"kind = "suspend", host = "broker-b-s", resume_after_ms = 900"#,
        r#"kind = "pause", host = "namesrv-1", resume_after_ms = 900"#,
        r#"kind = "cut", host = "broker-a-s", peers = ["broker-b", "consumer-1"], direction = "in""#,
        r#"kind = "bridge", host = "broker-b", one_side = ["broker-a", "broker-a-s"], other_side = ["consumer-1"]"#,
        r#"kind = "step-clock", host = "broker-a-s", step_ms = 60000"#,
        r#"kind = "isolate", host = "producer-1", direction = "both""#,
    ] {
        assert_eq!(after(elsewhere), Window { bound_ms: 250 }, "{elsewhere}");
    }
}

#[test]
fn a_disk_is_struck_in_whatever_machine_it_is() {
    let stops = r#"kind = "crash", host = "broker-a", crash = "os-crash""#;
    let moves = r#"kind = "move-disk", host = "broker-a", to = "broker-a-spare", boot_after_ms = 500"#;
    let after = |flush, action: &str| {
        of_plan(&scenario("single-master", flush), &[(15_000, stops), (16_000, moves), (25_000, action)])
    };
    let promise = after(Flush::Async, &crash("broker-a-spare", "power-loss", 500));
    assert_eq!(lost(&promise, "broker-a", 24_000, 25_000), DISTURBED);
    assert_eq!(lost(&promise, "broker-a", 14_900, 15_000), Window { bound_ms: 700 });
    assert_eq!(after(Flush::Sync, &crash("broker-a-spare", "power-loss", 500)).weakest().kind(), Nothing);
    assert_eq!(after(Flush::Sync, &crash("broker-a-spare", "disk-loss", 500)).weakest().kind(), Host);
    // A slave's disk that moves is none of its master's.
    let stops = stops.replace("broker-a", "broker-a-s");
    let moves = moves.replace("broker-a", "broker-a-s");
    let promise = of_plan(&scenario("2m-2s-sync", Flush::Async), &[(15_000, &stops), (16_000, &moves)]);
    assert_eq!(promise.weakest().kind(), Nothing);
}

#[test]
fn a_mirrored_drive_costs_nothing_but_with_its_mirror() {
    let lose = |host: &str, member| format!(r#"kind = "lose-member", host = "{host}", member = {member}"#);
    let weakest = |one: &str, another: &str| {
        of_plan(&scenario("2m-noslave", Flush::Sync), &[(15_000, one), (20_000, another)]).weakest().kind()
    };
    assert_eq!(weakest(&lose("broker-a", 0), &lose("broker-a", 1)), Host);
    assert_eq!(weakest(&lose("broker-a", 1), &lose("broker-a", 2)), Nothing);
    assert_eq!(weakest(&lose("broker-a", 0), &lose("broker-b", 1)), Nothing);
    let single = of_plan(&scenario("single-master", Flush::Sync), &[(15_000, &lose("broker-a", 0))]);
    assert_eq!(single.weakest().kind(), Host, "of a single drive there is no mirror");
}

#[test]
fn damage_is_found_by_a_recovery_that_reads_it_and_by_nothing_else() {
    let damage = r#"kind = "damage-media", host = "broker-a", damage = "bit-rot", sectors = 9"#;
    let (os, kill) = (crash("broker-a", "os-crash", 900), crash("broker-a", "process-kill", 900));
    let weakest = |events: &[(u64, &str)]| of_plan(&scenario("2m-2s-sync", Flush::Sync), events).weakest().kind();
    assert_eq!(weakest(&[(15_000, damage), (16_000, &os)]), Nothing);
    assert_eq!(weakest(&[(15_000, damage)]), Host, "nobody reads it");
    assert_eq!(weakest(&[(15_000, damage), (16_000, &kill)]), Host, "the page cache hides it");
    assert_eq!(weakest(&[(15_000, damage), (16_000, &os), (20_000, damage)]), Host, "the second time nobody reads it");
    let lasts = disk_faults("broker-a", "lost_write = 0.1", 9_000);
    assert_eq!(weakest(&[(15_000, &lasts), (16_000, &os)]), Host, "writes are lost after the recovery too");
    // Who has no second copy has nothing to mend it from.
    let single = of_plan(&scenario("2m-2s-async", Flush::Sync), &[(15_000, damage), (16_000, &os)]);
    assert_eq!(single.weakest().kind(), Host);
}

#[test]
fn a_full_disk_costs_the_oldest_messages_and_nothing_else() {
    let full = |host: &str| format!(r#"kind = "fill-disk", host = "{host}", free_bytes = 0, relieve_after_ms = 9000"#);
    let promise = of_plan(&scenario("single-master", Flush::Sync), &[(15_000, &full("broker-a"))]);
    let allowed = promise.allowed(Some("broker-a"), 14_000_000_000, 15_000_000_000);
    assert_eq!((allowed.loss, allowed.oldest), (Nothing, true));
    assert_eq!(lost(&promise, "broker-a", 26_000, 30_000), Nothing, "there was room again");
    // What a slave has deleted its master cannot take back from it.
    let (slave, disk) = (full("broker-a-s"), crash("broker-a", "disk-loss", 900));
    let sync = scenario("2m-2s-sync", Flush::Sync);
    let promise = of_plan(&sync, &[(15_000, &slave), (20_000, &disk)]);
    let allowed = promise.allowed(Some("broker-a"), 14_000_000_000, 20_000_000_000);
    assert_eq!((allowed.loss, allowed.oldest), (Nothing, true));
    let power = crash("broker-a", "power-loss", 900);
    assert_eq!(of_plan(&sync, &[(15_000, &slave), (20_000, &power)]).weakest().kind(), Nothing);
}

/// An acknowledgement stands for so many replicas, and which of the slaves they are nobody knows.
#[test]
fn of_several_slaves_those_count_that_lost_most() {
    let with = |replicas: u16, hosts: &[&str]| {
        let mut scenario = scenario("2m-2s-sync", Flush::Sync);
        (scenario.topology.slaves, scenario.broker.in_sync_replicas) = (2, replicas);
        let crashes = hosts.iter().map(|host| crash(host, "disk-loss", 900)).collect::<Vec<_>>();
        let times = [15_000, 15_000, 15_000];
        let events = times.into_iter().zip(crashes.iter().map(String::as_str)).collect::<Vec<_>>();
        of_plan(&scenario, &events).weakest().kind()
    };
    assert_eq!(with(3, &["broker-a", "broker-a-s"]), Nothing, "the other one has it");
    assert_eq!(with(3, &["broker-a", "broker-a-s", "broker-a-s2"]), Host);
    // Perhaps it was on the lost one of the two; the other was sent it within the lag.
    assert_eq!(with(2, &["broker-a", "broker-a-s"]), Window { bound_ms: 250 });
    assert_eq!(with(2, &["broker-a-s", "broker-a-s2"]), Nothing);
    // With one replica an acknowledgement stands for the master alone.
    assert_eq!(with(1, &["broker-a"]), Window { bound_ms: 250 });
}

#[test]
fn a_slave_that_was_removed_has_what_was_acknowledged_before_no_more() {
    let mut scenario = scenario("2m-2s-sync", Flush::Sync);
    scenario.topology.slaves = 2;
    let removed =
        set(&scenario, r#"operations=[{at_ms=19000,what={kind="remove",host="broker-a-s2"}}]"#).expect("an operation");
    let cut = r#"kind = "isolate", host = "broker-a-s", direction = "both", heal_after_ms = 25000"#;
    let disk = crash("broker-a", "disk-loss", 900);
    let promise = of_plan(&removed, &[(12_000, cut), (25_000, &disk)]);
    assert_eq!(lost(&promise, "broker-a", 15_000, 25_000), Host, "the one that is left was cut off");
    assert_eq!(lost(&promise, "broker-a", 24_000, 25_000), Nothing, "it was acknowledged with the one that is left");
    assert_eq!(of_plan(&removed, &[(25_000, &disk)]).weakest().kind(), Nothing, "that one had everything by then");
    assert_eq!(of_plan(&scenario, &[(12_000, cut), (25_000, &disk)]).weakest().kind(), Nothing);
}

#[test]
fn settings_that_weaken_a_promise_do() {
    let disk = crash("broker-a", "disk-loss", 900);
    let weakest = |scenario: &Scenario, setting: &str, action: &str| {
        let scenario = set(scenario, setting).expect("a setting");
        of_plan(&scenario, &[(15_000, action)]).weakest().kind()
    };
    let shipped = scenario("2m-2s-async", Flush::Sync);
    assert_eq!(weakest(&shipped, "broker.tail_recovery_timeout_ms=5000", &disk), Window { bound_ms: 250 });
    assert_eq!(weakest(&shipped, "broker.tail_recovery_timeout_ms=50", &disk), Host);
    let power = crash("broker-a", "power-loss", 900);
    let single = scenario("single-master", Flush::Async);
    assert_eq!(weakest(&single, "broker.flush_thorough_interval_ms=10000", &power), Window { bound_ms: 700 });
    assert_eq!(weakest(&single, "broker.flush_interval_ms=2000", &power), Window { bound_ms: 2_200 });
    assert_eq!(weakest(&single, "workload.messages_per_second=1", &power), Window { bound_ms: 10_700 });
    // Operators who change the load leave nothing to rely on.
    let wiped = r#"operations=[{at_ms=9000,what={kind="wipe-write-permission",broker="broker-a"}}]"#;
    assert_eq!(weakest(&single, wiped, &power), Window { bound_ms: 10_700 });
    // Longer than any drawn fault the disk may stand still in a plan of one's own.
    let (stalled, late) = (disk_faults("broker-a", "stalled = true", 20_000), crash("broker-a", "power-loss", 900));
    assert_eq!(of_plan(&single, &[(12_000, &stalled), (31_000, &late)]).weakest().kind(), Window { bound_ms: 29_700 });
}

#[test]
fn a_budget_is_kept_by_what_is_left_of_the_plan() {
    let weakest = |mode, fault: &str| {
        let mut scenario = scenario(mode, Flush::Sync);
        (scenario.budget, scenario.fault) = (Budget::OneCopyLeft, fault.parse().expect("a fault"));
        of_fault(&scenario).weakest().kind()
    };
    for fault in ["power-loss-all", "slave-disk-loss+machine-loss", "disk-loss"] {
        assert_eq!(weakest("2m-2s-sync", fault), Nothing, "{fault}");
        if fault != "slave-disk-loss+machine-loss" {
            assert_eq!(weakest("single-master", fault), Nothing, "{fault}: the only copy is spared");
        }
    }
    // Retention is the settings' doing; of one copy that is spared it is spared too.
    assert_eq!((weakest("2m-2s-sync", "disk-full"), weakest("single-master", "disk-full")), (Oldest, Nothing));
}

#[test]
fn a_room_is_a_rack_where_master_and_slave_stand_together() {
    let mut scenario = scenario("2m-2s-sync", Flush::Async);
    scenario.fault = FaultKind::PowerLossRoom.into();
    assert_eq!(of_fault(&scenario).weakest().kind(), Nothing);
    scenario.topology.placement = Placement::Rack;
    assert_eq!(of_fault(&scenario).weakest().kind(), Window { bound_ms: 700 });
}

#[test]
fn every_promise_cites_a_claim_that_the_architecture_lists() {
    let listed = include_str!("../../../ARCHITECTURE.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| C")?.split(' ').next())
        .collect::<BTreeSet<_>>();
    let mut sources = BTreeSet::new();
    let pairs = FaultKind::ALL.into_iter().flat_map(|first| FaultKind::ALL.map(|second| vec![first, second]));
    for fault in pairs.filter_map(|kinds| Fault::sequence(kinds).ok()) {
        for (mode, flush) in Mode::ALL.into_iter().flat_map(|mode| Flush::ALL.map(|flush| (mode, flush))) {
            let scenario = Scenario { flush, fault: fault.clone(), ..catalogue::standard(mode) };
            let Ok(plan) = run::plan(&scenario, 1) else { continue };
            sources.insert(of_run(&scenario, &plan).weakest().source);
        }
    }
    assert!(sources.len() > 10, "{sources:?}");
    for source in sources {
        let words = source.split(|character: char| !character.is_ascii_alphanumeric());
        let claims = words.filter_map(|word| word.strip_prefix('C').filter(|rest| rest.parse::<u8>().is_ok()));
        let claims = claims.collect::<Vec<_>>();
        assert!(!claims.is_empty(), "{source}");
        assert!(claims.iter().all(|claim| listed.contains(claim)), "{source}: {claims:?}");
    }
}

proptest::proptest! {
    /// Who is struck by more is promised no more; but for a crash by which damage is found.
    #[test]
    fn one_event_less_never_weakens_a_promise(
        first in 0..FaultKind::ALL.len(),
        second in 0..FaultKind::ALL.len(),
        seed in 0_u64..1_000,
        cell in 0_usize..8,
        left_out in 0_usize..4,
    ) {
        let kinds = vec![FaultKind::ALL[first], FaultKind::ALL[second]];
        let Ok(fault) = Fault::sequence(kinds) else { return Ok(()) };
        let scenario = Scenario { flush: Flush::ALL[cell % 2], fault, ..catalogue::standard(Mode::ALL[cell / 2]) };
        let Ok(plan) = run::plan(&scenario, seed) else { return Ok(()) };
        let is_other = |action: &Action| {
            matches!(action, Action::MoveDisk { .. } | Action::DamageMedia { .. } | Action::DiskFaults { .. })
        };
        if left_out >= plan.events.len() || plan.events.iter().any(|event| is_other(&event.action)) {
            return Ok(());
        }
        let mut less = plan.clone();
        less.events.remove(left_out);
        let (whole, less) = (of_run(&scenario, &plan).weakest(), of_run(&scenario, &less).weakest());
        proptest::prop_assert!(less.kind() <= whole.kind(), "{:?} {:?}", less, whole);
    }
}
