//! What the modes with several masters and with slaves promise, as named scenarios; and Apache's three reproduced defects, which
//! the oracles must name. A failure prints the command that replays it.
#![cfg(not(feature = "real"))]

use reports::{LossPromise, RunRecord, Verdict};
use scenarios::{
    catalogue,
    run::{RunOptions, run},
    spec::{Flush, ProfileName, Scenario},
};

fn scenario(name: &str) -> Scenario {
    catalogue::find(name).unwrap_or_else(|| panic!("{name} is in the catalogue"))
}

fn record(scenario: &Scenario, seed: u64) -> RunRecord {
    scenario.check().unwrap_or_else(|error| panic!("{}: {error}", scenario.name));
    run(scenario, &RunOptions { seed, keep_trace: false }).unwrap_or_else(|panic| panic!("{panic}")).record
}

/// Runs a mode under a fault and demands that its promise held.
fn held(mode: &str, flush: Flush, fault: &str, seeds: std::ops::Range<u64>) -> Vec<RunRecord> {
    let mut scenario = scenario(mode);
    scenario.flush = flush;
    scenario.fault = fault.parse().unwrap_or_else(|error| panic!("{error}"));
    let records = seeds.map(|seed| record(&scenario, seed)).collect::<Vec<_>>();
    for record in &records {
        assert_eq!(record.verdict, Verdict::Held, "{}", reports::run_text(record));
    }
    records
}

fn no_loss(mode: &str, flush: Flush, fault: &str, seeds: std::ops::Range<u64>) -> Vec<RunRecord> {
    let records = held(mode, flush, fault, seeds);
    for record in &records {
        assert_eq!((record.promise_loss, record.lost), (LossPromise::None, 0), "{}", reports::run_text(record));
    }
    records
}

#[test]
fn without_a_fault_every_mode_keeps_and_delivers_everything_once() {
    for mode in ["2m-noslave", "2m-2s-async", "2m-2s-sync"] {
        for flush in Flush::ALL {
            for record in no_loss(mode, flush, "none", 1..2) {
                assert_eq!((record.duplicates, record.unknown, record.sent), (0, 0, record.acked), "{record:?}");
            }
        }
    }
}

#[test]
fn two_masters_go_on_when_one_is_away() {
    for record in no_loss("2m-noslave", Flush::Async, "broker-crash", 1..3) {
        let away = record.availability.brokers.values().map(|broker| broker.longest_without_send_ms).max();
        assert!(away > Some(record.unavailable_ms), "{}", reports::run_text(&record));
    }
}

#[test]
fn mirrored_drives_survive_the_loss_of_one() {
    no_loss("2m-noslave", Flush::Sync, "disk-member-loss", 1..3);
}

#[test]
fn synchronous_replication_loses_nothing_when_its_master_loses_power() {
    no_loss("2m-2s-sync", Flush::Async, "power-loss", 1..4);
}

#[test]
fn synchronous_replication_loses_nothing_when_a_machine_is_gone() {
    no_loss("2m-2s-sync", Flush::Sync, "machine-loss", 1..3);
}

#[test]
fn synchronous_replication_loses_nothing_when_a_disk_is_gone() {
    no_loss("2m-2s-sync", Flush::Async, "disk-loss", 1..3);
}

#[test]
fn a_slave_that_loses_power_follows_again() {
    no_loss("2m-2s-sync", Flush::Async, "slave-power-loss", 1..3);
}

#[test]
fn a_pair_that_is_cut_apart_loses_nothing() {
    no_loss("2m-2s-sync", Flush::Async, "partition-pair", 1..3);
}

#[test]
fn asynchronous_replication_loses_no_more_than_its_lag_with_a_disk() {
    for record in held("2m-2s-async", Flush::Sync, "disk-loss", 1..3) {
        assert!(matches!(record.promise_loss, LossPromise::Window { .. }), "{record:?}");
    }
}

#[test]
fn a_power_loss_of_a_rack_loses_nothing_that_was_flushed() {
    no_loss("2m-2s-async", Flush::Sync, "power-loss-rack", 1..3);
    held("2m-2s-sync", Flush::Async, "power-loss-rack", 1..3);
}

#[test]
fn operations_on_a_healthy_cluster_lose_nothing_and_fail_no_send() {
    for name in ["rolling-restart", "add-broker", "wipe-write-permission"] {
        for seed in 1..3 {
            let record = record(&scenario(name), seed);
            assert_eq!(
                (record.verdict, record.lost, record.failed),
                (Verdict::Held, 0, 0),
                "{}",
                reports::run_text(&record)
            );
        }
    }
}

#[test]
fn queues_of_a_master_that_is_away_are_read_from_its_slave() {
    for seed in 1..3 {
        let record = record(&scenario("slave-reads"), seed);
        assert_eq!((record.verdict, record.lost), (Verdict::Held, 0), "{}", reports::run_text(&record));
    }
}

/// How many of these seeds show a defect under Apache's profile; none does under the hardened one.
fn shown(name: &str, seeds: std::ops::Range<u64>, count: fn(&RunRecord) -> u64) -> usize {
    let apache = scenario(name);
    let first = record(&hardened(name), seeds.start);
    assert_eq!(count(&first), 0, "{}", reports::run_text(&first));
    seeds
        .map(|seed| record(&apache, seed))
        .filter(|record| record.verdict == Verdict::Broken && count(record) > 0)
        .count()
}

#[test]
fn apaches_resurrection_is_named() {
    assert!(shown("apache-resurrection", 1..5, |record| record.resurrections) >= 2);
}

#[test]
fn apaches_skipped_messages_are_named() {
    assert!(shown("apache-skipped-messages", 1..5, |record| record.skipped) >= 2);
}

#[test]
fn apaches_divergence_is_named() {
    assert!(shown("apache-divergence", 1..5, |record| record.divergences) >= 2);
}

fn hardened(name: &str) -> Scenario {
    Scenario { profile: ProfileName::default(), ..scenario(name) }
}

#[test]
fn what_breaks_apaches_broker_does_not_break_ours() {
    for name in ["apache-skipped-messages", "apache-divergence"] {
        let record = record(&hardened(name), 1);
        assert_eq!(record.verdict, Verdict::Held, "{}", reports::run_text(&record));
    }
}

/// The second power loss came 0.7 s after the broker was back from the first. What it had taken since then was kept, so that
/// the log was longer than before the first one again, and nothing told consumers whose offsets were still from then.
#[test]
fn regression_seed_1_a_left_over_offset_outlives_two_power_losses() {
    let record = record(&hardened("apache-resurrection"), 1);
    assert_eq!((record.verdict, record.skipped), (Verdict::Held, 0), "{}", reports::run_text(&record));
}
