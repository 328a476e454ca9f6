//! What `generate` draws is distributed as its constants say: over many seeds each kind's figures cover their range, and evenly.

#![cfg(not(feature = "real"))]

use faults::{Action, Cast, Direction, Group, NameFault, PlannedEvent, Window, generate};
use sim::world::Key;
use std::collections::{BTreeMap, BTreeSet};

const SEEDS: u64 = 4_000;
const WINDOW: Window = Window { from_ms: 12_000, to_ms: 36_000 };

fn cast() -> Cast {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let group = |primary: &str| Group::of(primary, [format!("{primary}-s")]);
    Cast {
        groups: vec![group("broker-a"), group("broker-b")],
        registries: names(&["namesrv-1", "namesrv-2"]),
        clients: names(&["producer-1", "producer-2", "consumer-1", "consumer-2"]),
        rooms: vec![names(&["broker-a", "broker-b", "namesrv-1"]), names(&["broker-a-s", "broker-b-s", "namesrv-2"])],
    }
}

/// The events of many plans of one kind.
fn plans(kind: &str) -> impl Iterator<Item = Vec<PlannedEvent>> {
    let (fault, cast) = (kind.parse().expect("a fault"), cast());
    (0..SEEDS).map(move |seed| {
        generate(&fault, Key::root(seed).derive("plan"), &cast, WINDOW).expect("everybody is there").events
    })
}

/// The first action of many plans of one kind.
fn actions(kind: &str) -> impl Iterator<Item = Action> {
    plans(kind).map(|mut events| events.remove(0).action)
}

/// Whether these are uniform over `low..=high`: by mean, ends and range. The mean of n uniform draws is off by more than five
/// of its standard deviations, (high − low) / √(12 n), once in two million cases; seeds are fixed, so that it never is.
fn assert_uniform(what: &str, low: u64, high: u64, drawn: impl Iterator<Item = u64>) {
    let drawn = drawn.collect::<Vec<_>>();
    let (least, most) = (drawn.iter().min().copied(), drawn.iter().max().copied());
    let span = (high - low) as f64;
    assert!(least >= Some(low) && most <= Some(high), "{what}: {least:?} to {most:?}");
    let close = (span / 100.0) as u64;
    assert!(least <= Some(low + close) && most >= Some(high - close), "{what}: {least:?} to {most:?}");
    let mean = drawn.iter().sum::<u64>() as f64 / drawn.len() as f64;
    let off = (mean - (low + high) as f64 / 2.0).abs();
    assert!(off < 5.0 * span / (12.0 * drawn.len() as f64).sqrt(), "{what}: mean {mean}");
}

/// Whether each of `values`, and nothing else, is drawn equally often, by the same bound.
fn assert_even<T: Ord + std::fmt::Debug>(what: &str, values: usize, drawn: impl Iterator<Item = T>) {
    let mut counts = BTreeMap::<T, u64>::new();
    drawn.for_each(|value| *counts.entry(value).or_default() += 1);
    assert_eq!(counts.len(), values, "{what}: {counts:?}");
    let total = counts.values().sum::<u64>() as f64;
    let share = 1.0 / values as f64;
    let bound = 5.0 * (total * share * (1.0 - share)).sqrt();
    for (value, count) in &counts {
        assert!((*count as f64 - total * share).abs() < bound, "{what}: {value:?} {count} times of {total}");
    }
}

fn lasts_ms(kind: &str) -> impl Iterator<Item = u64> {
    actions(kind).map(|action| action.lasts_ms().expect("it ends by itself"))
}

/// The exponent of a rate that is a power of one half.
fn halvings(rate: f64) -> i64 {
    let exponent = -rate.log2();
    assert!((exponent - exponent.round()).abs() < 1e-9, "{rate} is no power of one half");
    exponent.round() as i64
}

#[test]
fn moments_and_targets() {
    for kind in ["power-loss", "jam", "disk-stall", "clock-drift"] {
        assert_uniform(kind, WINDOW.from_ms, WINDOW.to_ms, plans(kind).map(|events| events[0].at_ms));
        assert_even(kind, 2, actions(kind).map(|action| action.host().to_owned()));
    }
}

#[test]
fn durations() {
    for (kind, low, high) in [
        ("broker-crash", 500, 6_000),
        ("os-crash", 3_000, 9_000),
        ("partition", 2_000, 14_000),
        ("jam", 2_000, 14_000),
        ("bridge", 2_000, 14_000),
        ("ring", 2_000, 14_000),
        ("slow-disk", 4_000, 14_000),
        ("slow-link", 4_000, 14_000),
        ("write-error", 4_000, 14_000),
        ("short-io", 4_000, 14_000),
        ("disk-full", 4_000, 14_000),
        ("disk-stall", 500, 15_000),
        ("lossy-link", 4_000, 14_000),
        ("duplicating-link", 4_000, 14_000),
        ("reordering-link", 4_000, 14_000),
        ("slow-names", 4_000, 14_000),
        ("cpu-starvation", 4_000, 14_000),
        ("memory-limit", 4_000, 14_000),
        ("out-of-memory", 500, 6_000),
        ("pause", 1_000, 15_000),
        ("suspend", 1_000, 15_000),
        ("clock-step", 2_000, 14_000),
        ("clock-freeze", 2_000, 14_000),
        ("clock-drift", 2_000, 14_000),
        ("clock-strobe", 2_000, 14_000),
    ] {
        assert_uniform(kind, low, high, lasts_ms(kind));
    }
}

#[test]
fn rates() {
    let disk = |action: Action| match action {
        Action::DiskFaults { faults, .. } => faults.rates().into_iter().map(|(_, rate)| rate).fold(0.0, f64::max),
        other => panic!("{other}"),
    };
    for kind in
        ["read-error", "write-error", "short-io", "lost-write", "misdirected-write", "misdirected-read", "stale-read"]
    {
        assert_even(kind, 7, actions(kind).map(disk).map(halvings));
    }
    let link = |action: Action| match action {
        Action::BadLink { faults, .. } => faults.rates().into_iter().map(|(_, rate)| rate).fold(0.0, f64::max),
        other => panic!("{other}"),
    };
    for (kind, least) in [("lossy-link", 2), ("duplicating-link", 0), ("reordering-link", 1)] {
        assert_even(kind, 6, actions(kind).map(link).map(halvings));
        assert_eq!(actions(kind).map(link).map(halvings).min(), Some(least), "{kind}");
    }
    let share = |action: Action| match action {
        Action::StarveCpu { share, .. } => halvings(share),
        other => panic!("{other}"),
    };
    assert_even("share", 6, actions("cpu-starvation").map(share));
}

#[test]
fn grades_and_directions() {
    let grade = |of: u64, unit: u64| {
        assert!(of.is_multiple_of(unit) && (of / unit).is_power_of_two(), "{of} is no grade of {unit}");
        (of / unit).ilog2()
    };
    assert_even(
        "sectors",
        11,
        actions("bit-rot").map(|action| match action {
            Action::DamageMedia { sectors, .. } => grade(sectors.into(), 1),
            other => panic!("{other}"),
        }),
    );
    assert_even(
        "drift",
        18,
        actions("clock-drift").map(|action| match action {
            Action::DriftClock { ppm, .. } => (grade(ppm.unsigned_abs(), 1_000), ppm < 0),
            other => panic!("{other}"),
        }),
    );
    assert_even(
        "strobe",
        8,
        actions("clock-strobe").map(|action| match action {
            Action::StrobeClock { every_ms, .. } => grade(every_ms, 10),
            other => panic!("{other}"),
        }),
    );
    assert_even(
        "operations",
        12,
        actions("out-of-memory").map(|action| match action {
            Action::OutOfMemory { operations, .. } => grade(operations, 1),
            other => panic!("{other}"),
        }),
    );
    assert_even(
        "names",
        6,
        actions("slow-names").filter_map(|action| match action {
            Action::BadNames { fault: NameFault::Slow { delay_ms }, .. } => Some(grade(delay_ms, 100)),
            _ => None,
        }),
    );
    assert_even(
        "memory",
        8,
        actions("memory-limit").map(|action| match action {
            Action::LimitMemory { bytes, .. } => grade(bytes, 16 << 10),
            other => panic!("{other}"),
        }),
    );
    assert_even(
        "direction",
        3,
        actions("jam").map(|action| match action {
            Action::Jam { direction, .. } => {
                [Direction::Both, Direction::In, Direction::Out].map(|one| one == direction)
            }
            other => panic!("{other}"),
        }),
    );
    let free = actions("disk-full").map(|action| match action {
        Action::FillDisk { free_bytes, .. } => free_bytes,
        other => panic!("{other}"),
    });
    let free = free.collect::<Vec<_>>();
    let full = free.iter().filter(|bytes| **bytes == 0).count() as f64;
    let bound = 5.0 * (SEEDS as f64 * 0.25 * 0.75).sqrt();
    assert!((full - SEEDS as f64 * 0.25).abs() < bound, "nothing was left in {full} of {SEEDS} cases");
    assert_even("what is left", 9, free.into_iter().filter(|bytes| *bytes > 0).map(|bytes| grade(bytes, 4_096)));
}

#[test]
fn what_repeats() {
    let mut storms = Vec::new();
    for action in actions("reset-storm") {
        let Action::ResetStorm { times, every_ms, .. } = action else { panic!("{action}") };
        storms.push((u64::from(times), every_ms));
    }
    assert_uniform("times", 3, 40, storms.iter().map(|(times, _)| *times));
    assert_uniform("every", 20, 350, storms.iter().map(|(_, every_ms)| *every_ms));
    let mut loops = Vec::new();
    for action in actions("restart-loop") {
        let Action::CrashLoop { times, down_ms, up_ms, .. } = action else { panic!("{action}") };
        loops.push((times, down_ms, up_ms));
    }
    assert_even("times", 5, loops.iter().map(|(times, ..)| *times));
    assert_uniform("down", 100, 1_000, loops.iter().map(|(_, down_ms, _)| *down_ms));
    assert_uniform("up", 100, 2_500, loops.iter().map(|(.., up_ms)| *up_ms));
}

#[test]
fn a_swizzle_jams_all_before_it_releases_the_first_and_in_any_order() {
    let mut orders = BTreeSet::new();
    for action in actions("swizzle") {
        let Action::Swizzle { hosts } = action else { panic!("{action}") };
        assert_eq!(hosts.len(), 4, "three of four of six servers");
        let last_jam = hosts.iter().map(|one| one.jam_after_ms).max();
        assert!(hosts.iter().all(|one| Some(one.release_after_ms) > last_jam), "{hosts:?}");
        let mut released = hosts.iter().map(|one| (one.release_after_ms, one.host.clone())).collect::<Vec<_>>();
        released.sort();
        orders.insert((
            hosts.into_iter().map(|one| one.host).collect::<Vec<_>>(),
            released.into_iter().map(|(_, host)| host).collect::<Vec<_>>(),
        ));
    }
    assert!(orders.len() > 3_000, "of 360 orders times 24 {} were seen", orders.len());
}

#[test]
fn bridges_and_rings_have_everybody_once() {
    let everybody = cast().hosts().map(str::to_owned).collect::<BTreeSet<_>>();
    let mut bridges = Vec::new();
    for action in actions("bridge") {
        let Action::Bridge { host, one_side, other_side, .. } = &action else { panic!("{action}") };
        assert_eq!((one_side.len(), other_side.len()), (4, 5));
        assert_eq!(action.hosts().into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), everybody);
        bridges.push(host.clone());
    }
    assert_even("bridge", everybody.len(), bridges.into_iter());
    let first = actions("ring").map(|action| {
        assert_eq!(action.hosts().into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), everybody);
        action.host().to_owned()
    });
    assert_even("ring", everybody.len(), first.collect::<Vec<_>>().into_iter());
}

#[test]
fn what_shows_only_when_it_is_read_comes_with_a_crash() {
    for (kind, crash, is_meanwhile) in [
        ("read-error", "kernel crashed", true),
        ("misdirected-read", "kernel crashed", true),
        ("stale-read", "kernel crashed", true),
        ("lying-fsync", "power cut", true),
        ("lost-write", "kernel crashed", false),
        ("misdirected-write", "kernel crashed", false),
        ("bit-rot", "kernel crashed", true),
        ("latent-error", "kernel crashed", true),
        ("slave-bit-rot", "kernel crashed", true),
    ] {
        for events in plans(kind).take(200) {
            let [wrong, stopped] = &events[..] else { panic!("{kind}: {events:?}") };
            assert!(stopped.action.to_string().contains(crash), "{kind}: {events:?}");
            assert_eq!(wrong.action.host(), stopped.action.host());
            assert_eq!(wrong.action.host().ends_with("-s"), kind.starts_with("slave"));
            let over_ms = wrong.action.lasts_ms().map_or(u64::MAX, |ms| wrong.at_ms + ms);
            assert!(wrong.at_ms < stopped.at_ms || stopped.at_ms == WINDOW.to_ms, "{kind}: {events:?}");
            assert_eq!(over_ms > stopped.at_ms, is_meanwhile, "{kind}: {events:?}");
        }
    }
}

#[test]
fn a_room_is_struck_as_a_whole_and_a_bad_order_is_kept() {
    for action in actions("power-loss-room").take(50) {
        assert_eq!(action.hosts(), ["broker-a", "broker-b", "namesrv-1"]);
    }
    for action in actions("reboot-order").take(50) {
        let Action::CrashTogether { hosts, .. } = action else { panic!("{action}") };
        assert!(hosts.is_sorted_by_key(|down| down.boot_after_ms));
        let order = hosts.iter().map(|down| down.host.as_str()).collect::<Vec<_>>();
        assert_eq!(order, ["broker-a-s", "broker-b-s", "broker-a", "broker-b", "namesrv-1", "namesrv-2"]);
    }
}
