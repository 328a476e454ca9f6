//! Rate asked is rate seen, for each probability: the number of hits lies within four standard deviations of the binomial
//! distribution, which a right injector misses once in 16,000 such tests.

use super::*;

const TRIES: u64 = 2_000;

fn assert_rate(name: &str, hits: u64, tries: u64, probability: f64) {
    let mean = tries as f64 * probability;
    let deviation = (mean * (1.0 - probability)).sqrt();
    assert!((hits as f64 - mean).abs() <= 4.0 * deviation, "{name}: {hits} of {tries} at {probability}");
}

/// A file of two pages, and how often something was counted in many rounds of what `round` does.
fn hits(
    faults: DiskFaults,
    round: impl Fn(&mut Stand, HandleId, u64),
    count: impl Fn(&super::super::DiskStats) -> u64,
) -> u64 {
    let mut stand = Stand::without_timers(1);
    let file = stand.durable_file(2 * 4096);
    stand.set_faults(faults);
    for number in 0..TRIES {
        round(&mut stand, file, number);
    }
    count(&stand.disk.stats())
}

fn cold_read(stand: &mut Stand, file: HandleId, _: u64) {
    stand.go_cold();
    // An error is what is asked for.
    drop(stand.read(file, 0, 2 * 4096));
}

fn synced_write(stand: &mut Stand, file: HandleId, number: u64) {
    stand.write(file, 0, &number.to_le_bytes());
    // As above.
    drop(stand.call(Request::Sync { handle: file, all: false }));
}

fn long_write(stand: &mut Stand, file: HandleId, _: u64) {
    let operation = stand.begin(Request::Write { handle: file, offset: 0, bytes: vec![1; 2 * 4096], wall_ms: 2 });
    stand.pass(1_000_000);
    assert!(stand.outcome(operation).is_ready());
}

#[test]
fn the_rate_asked_is_the_rate_seen() {
    let none = DiskFaults::default();
    for p in [0.02, 0.5] {
        let seen = [
            ("read_error", hits(DiskFaults { read_error: p, ..none }, cold_read, |stats| stats.read_errors_injected)),
            ("short_read", hits(DiskFaults { short_read: p, ..none }, cold_read, |stats| stats.short_reads_injected)),
            (
                "misdirected_read",
                hits(DiskFaults { misdirected_read: p, ..none }, cold_read, |stats| stats.misdirected_reads_injected),
            ),
            ("stale_read", hits(DiskFaults { stale_read: p, ..none }, cold_read, |stats| stats.stale_reads_injected)),
            (
                "write_error",
                hits(DiskFaults { write_error: p, ..none }, synced_write, |stats| stats.write_errors_injected),
            ),
            ("write_error", hits(DiskFaults { write_error: p, ..none }, synced_write, |stats| stats.failed_syncs)),
            (
                "lost_write",
                hits(DiskFaults { lost_write: p, ..none }, synced_write, |stats| stats.lost_writes_injected),
            ),
            (
                "misdirected_write",
                hits(DiskFaults { misdirected_write: p, ..none }, synced_write, |stats| {
                    stats.misdirected_writes_injected
                }),
            ),
            (
                "sync_error",
                hits(DiskFaults { sync_error: p, ..none }, synced_write, |stats| stats.sync_errors_injected),
            ),
            ("sync_error", hits(DiskFaults { sync_error: p, ..none }, synced_write, |stats| stats.failed_syncs)),
            (
                "short_write",
                hits(DiskFaults { short_write: p, ..none }, long_write, |stats| stats.short_writes_injected),
            ),
        ];
        for (name, hits) in seen {
            assert_rate(name, hits, TRIES, p);
        }
    }
}

#[test]
fn a_long_transfer_is_many_commands() {
    // 3,200 neighbouring pages are ten commands of 320; one page apart from them is one more.
    let tries = 40;
    let mut errors = 0;
    for seed in 0..tries {
        let mut stand = Stand::without_timers(seed);
        let file = stand.open("/f");
        stand.write(file, 0, &vec![1; 3_200 * 4096]);
        stand.write(file, 4_000 * 4096, &[1]);
        stand.set_faults(DiskFaults { write_error: 0.5, ..DiskFaults::default() });
        // The error is what is asked for.
        drop(stand.call(Request::Sync { handle: file, all: false }));
        errors += stand.disk.stats().write_errors_injected;
    }
    assert_rate("write_error", errors, tries * 11, 0.5);
}

#[test]
fn one_faults_dice_do_not_move_anothers() {
    let hit = |faults: DiskFaults| {
        let mut stand = Stand::without_timers(1);
        let file = stand.durable_file(4096);
        stand.set_faults(faults);
        let rounds = (0..200).map(|number| {
            let before = stand.disk.stats().lost_writes_injected;
            synced_write(&mut stand, file, number);
            cold_read(&mut stand, file, number);
            stand.disk.stats().lost_writes_injected != before
        });
        rounds.collect::<Vec<_>>()
    };
    let lost = DiskFaults { lost_write: 0.3, ..DiskFaults::default() };
    assert_eq!(hit(lost), hit(DiskFaults { stale_read: 0.5, short_read: 0.5, sync_error: 0.0, ..lost }));
}
