//! Offsets over restarts, crashes and lost tails: what is guarded against, and what is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{Stage, play};
use protocol::header::{GetMaxOffsetRequestHeader, OffsetResponseHeader, SearchOffsetRequestHeader};
use protocol::{request_code, response_code as code};
use sim::time::sleep;
use sim::world::Crash;

const TOPIC: &str = "TopicZ";
const GROUP: &str = "cz1";

async fn max_offset(stage: &Stage) -> i64 {
    let header = GetMaxOffsetRequestHeader { topic: TOPIC.into(), queue_id: 0, committed: None, broker_name: None };
    stage.ask(request_code::GET_MAX_OFFSET, &header).await.header::<OffsetResponseHeader>().unwrap().offset.0
}

#[test]
fn offsets_and_messages_survive_a_restart_and_a_kill() {
    play(
        1,
        |_| {},
        |stage| async move {
            for number in 0..5 {
                stage.send_ok(TOPIC, 0, &number.to_string(), "").await;
            }
            stage.pull(GROUP, TOPIC, 0).await;
            assert_eq!(stage.commit(GROUP, TOPIC, 4).await, code::SUCCESS);
            stage.restart().await;
            assert_eq!(stage.committed(GROUP, TOPIC).await, Some(4));
            assert_eq!(stage.pull(GROUP, TOPIC, 4).await.bodies(), ["4"]);
            assert_eq!(stage.commit(GROUP, TOPIC, 5).await, code::SUCCESS);
            sleep(Duration::from_secs(6)).await;
            stage.crash(Crash::Process).await;
            stage.boot().await;
            assert_eq!(stage.committed(GROUP, TOPIC).await, Some(5));
            assert_eq!(max_offset(&stage).await, 5);
        },
    );
}

#[test]
fn a_stored_minus_one_counts_as_nothing() {
    play(
        2,
        |_| {},
        |stage| async move {
            stage.send_ok(TOPIC, 0, "0", "").await;
            assert_eq!(stage.commit(GROUP, TOPIC, -1).await, code::SUCCESS);
            assert_eq!(stage.committed(GROUP, TOPIC).await, None);
            stage.restart().await;
            assert_eq!(stage.committed(GROUP, TOPIC).await, None);
        },
    );
}

/// The failure that was reproduced on Apache 4.9.8 (golden/exp_offset_ahead_498.txt, variant A): a group has consumed and
/// committed messages that a power loss takes; new messages get their offsets; the group must see them.
fn consumer_ahead_of_a_lost_tail(seed: u64, tails_lost: &Arc<AtomicUsize>) {
    let tails_lost = Arc::clone(tails_lost);
    play(
        seed,
        |config| {
            // Nothing of the log reaches the drive by itself in this test; the committed offsets do, after 1 s.
            config.store.flush_interval_commit_log_ms = 600_000;
            config.store.flush_commit_log_thorough_interval_ms = 600_000;
            config.flush_consumer_offset_interval_ms = 1_000;
        },
        move |stage| {
            let tails_lost = Arc::clone(&tails_lost);
            async move {
                stage.send_ok(TOPIC, 0, "kept0", "").await;
                // A good stop flushes; what comes after it is at the mercy of the power.
                stage.restart().await;
                for number in 1..5 {
                    stage.send_ok(TOPIC, 0, &format!("old{number}"), "").await;
                }
                let pulled = stage.pull(GROUP, TOPIC, 0).await;
                assert_eq!(pulled.messages.len(), 5);
                assert_eq!(stage.commit(GROUP, TOPIC, 5).await, code::SUCCESS);
                sleep(Duration::from_secs(2)).await;
                stage.crash(Crash::Power).await;
                stage.boot().await;
                let recovered = max_offset(&stage).await;
                if recovered == 5 {
                    // The kernel or the drive happened to write everything in time.
                    return;
                }
                tails_lost.fetch_add(1, Ordering::Relaxed);
                let mut expected = Vec::new();
                for number in recovered..recovered + 7 {
                    assert_eq!(stage.send_ok(TOPIC, 0, &format!("new{number}"), "").await, number);
                    expected.push(format!("new{number}"));
                }
                assert_eq!(stage.committed(GROUP, TOPIC).await, Some(recovered), "clamped to what was recovered");
                // The connection on which the maximum was told must not excuse the reader: it comes on a fresh one.
                stage.client.close_channel(&stage.addr);
                sleep(Duration::from_millis(100)).await;

                // The consumer kept running and stands at 5; it also commits that.
                assert_eq!(stage.commit(GROUP, TOPIC, 5).await, code::PULL_OFFSET_MOVED);
                let pulled = stage.pull(GROUP, TOPIC, 5).await;
                assert_eq!(pulled.code, code::PULL_OFFSET_MOVED);
                assert_eq!(pulled.header.next_begin_offset.0, recovered);
                let pulled = stage.pull(GROUP, TOPIC, recovered).await;
                assert_eq!(pulled.bodies(), expected, "not one of the new messages is skipped");
                // From now on the same offsets are this reader's.
                assert_eq!(stage.commit(GROUP, TOPIC, 5).await, code::SUCCESS);
                assert_eq!(stage.pull(GROUP, TOPIC, 5).await.code, code::SUCCESS);
            }
        },
    );
}

#[test]
fn new_messages_that_reuse_lost_offsets_are_never_skipped() {
    let tails_lost = Arc::default();
    for seed in 10..20 {
        consumer_ahead_of_a_lost_tail(seed, &tails_lost);
    }
    assert!(tails_lost.load(Ordering::Relaxed) >= 3, "too few of the seeds lose anything");
}

/// A connection of which the broker knows nothing.
async fn as_a_stranger(stage: &Stage) {
    stage.client.close_channel(&stage.addr);
    sleep(Duration::from_millis(100)).await;
}

/// Pulls at an offset, sets a group to it, and says what came of both.
async fn keep(stage: &Stage, offset: i64) -> (i32, usize, i32) {
    as_a_stranger(stage).await;
    let pulled = stage.pull("keeps-its-offsets", TOPIC, offset).await;
    as_a_stranger(stage).await;
    let set = stage.commit(&format!("set-to-{offset}"), TOPIC, offset).await;
    (pulled.code, pulled.messages.len(), set)
}

#[test]
fn where_nothing_was_lost_every_offset_is_served_and_stored() {
    play(
        5,
        |_| {},
        |stage| async move {
            for life in 0..4 {
                let first = life * 10;
                for number in first..first + 10 {
                    stage.send_ok(TOPIC, 0, &number.to_string(), "").await;
                }
                let end = first + 10;
                for offset in [first + 7, first + 1] {
                    let messages = (end - offset) as usize;
                    assert_eq!(keep(&stage, offset).await, (code::SUCCESS, messages, code::SUCCESS), "{life} {offset}");
                }
                assert_eq!(keep(&stage, end).await, (code::PULL_NOT_FOUND, 0, code::SUCCESS), "{life}");
                assert_eq!(stage.committed(&format!("set-to-{end}"), TOPIC).await, Some(end));
                // Beyond the end there is nothing: a pull goes on at the end.
                assert_eq!(keep(&stage, end + 1).await, (code::PULL_OFFSET_MOVED, 0, code::PULL_OFFSET_MOVED));
                let moved = stage.pull("keeps-its-offsets", TOPIC, end + 9).await;
                assert_eq!((moved.code, moved.header.next_begin_offset.0), (code::PULL_OFFSET_MOVED, end));
                if life % 2 == 0 {
                    stage.restart().await;
                } else {
                    stage.crash(Crash::Process).await;
                    stage.boot().await;
                }
            }
        },
    );
}

#[test]
fn under_sync_flush_a_power_loss_is_no_reason_to_doubt_who_keeps_its_offsets() {
    play(
        6,
        |config| config.store.flush_disk_type = store::FlushDiskType::SyncFlush,
        |stage| async move {
            for number in 0..10 {
                stage.send_ok(TOPIC, 0, &number.to_string(), "").await;
            }
            stage.crash(Crash::Power).await;
            stage.boot().await;
            for number in 10..20 {
                stage.send_ok(TOPIC, 0, &number.to_string(), "").await;
            }
            assert_eq!(keep(&stage, 15).await, (code::SUCCESS, 5, code::SUCCESS));
        },
    );
}

#[test]
fn after_a_lost_tail_only_what_was_shown_is_doubted_and_only_for_a_while() {
    let mut tails_lost = 0;
    for seed in 30..36 {
        let is_lost = Arc::new(AtomicUsize::new(0));
        let found = Arc::clone(&is_lost);
        play(
            seed,
            |config| {
                config.store.flush_interval_commit_log_ms = 600_000;
                config.store.flush_commit_log_thorough_interval_ms = 600_000;
            },
            move |stage| {
                let found = Arc::clone(&found);
                async move {
                    stage.send_ok(TOPIC, 0, "kept", "").await;
                    stage.restart().await;
                    for number in 1..20 {
                        stage.send_ok(TOPIC, 0, &number.to_string(), "").await;
                    }
                    stage.crash(Crash::Power).await;
                    stage.boot().await;
                    let floor = max_offset(&stage).await;
                    if floor == 20 {
                        return;
                    }
                    found.fetch_add(1, Ordering::Relaxed);
                    for number in 0..500 {
                        stage.send_ok(TOPIC, 0, &number.to_string(), "").await;
                    }
                    let moved = (code::PULL_OFFSET_MOVED, 0, code::PULL_OFFSET_MOVED);
                    assert_eq!(keep(&stage, floor).await.0, code::SUCCESS);
                    assert_eq!(keep(&stage, floor + 1).await, moved);
                    assert_eq!(keep(&stage, 20).await, moved);
                    let served = (code::SUCCESS, 32, code::SUCCESS);
                    assert_eq!(keep(&stage, floor + 450).await, served, "nobody had been shown so much");
                    // A kill hides nothing of it, and takes nothing away.
                    stage.crash(Crash::Process).await;
                    stage.boot().await;
                    assert_eq!(keep(&stage, 20).await, moved);
                    assert_eq!(keep(&stage, floor + 450).await, served);
                    sleep(Duration::from_secs(600)).await;
                    assert_eq!(keep(&stage, 20).await, served, "no left-over turns up any more");
                }
            },
        );
        tails_lost += is_lost.load(Ordering::Relaxed);
    }
    assert!(tails_lost >= 2, "too few of the seeds lose anything");
}

#[test]
fn what_a_tool_sets_is_durable_when_it_is_answered() {
    play(
        7,
        |_| {},
        |stage| async move {
            for number in 0..5 {
                stage.send_ok(TOPIC, 0, &number.to_string(), "").await;
            }
            assert_eq!(stage.commit(GROUP, TOPIC, 5).await, code::SUCCESS);
            assert_eq!(stage.commit(GROUP, TOPIC, 1).await, code::SUCCESS);
            stage.crash(Crash::Process).await;
            stage.boot().await;
            assert_eq!(stage.committed(GROUP, TOPIC).await, Some(1));
            // What consumers commit is written now and then.
            stage.heartbeat("c@1", GROUP, TOPIC, "*").await;
            assert_eq!(stage.commit(GROUP, TOPIC, 4).await, code::SUCCESS);
            stage.crash(Crash::Process).await;
            stage.boot().await;
            assert_eq!(stage.committed(GROUP, TOPIC).await, Some(1));
        },
    );
}

#[test]
fn a_new_group_may_begin_at_the_end_that_it_was_told() {
    play(
        3,
        |_| {},
        |stage| async move {
            for number in 0..5 {
                stage.send_ok(TOPIC, 0, &number.to_string(), "").await;
            }
            let end = max_offset(&stage).await;
            assert_eq!(stage.pull("late", TOPIC, end).await.code, code::PULL_NOT_FOUND);
            stage.send_ok(TOPIC, 0, "5", "").await;
            assert_eq!(stage.pull("late", TOPIC, end).await.bodies(), ["5"]);
        },
    );
}

#[test]
fn offsets_by_time() {
    play(
        4,
        |_| {},
        |stage| async move {
            let mut times = Vec::new();
            for number in 0..5 {
                stage.send_ok(TOPIC, 0, &number.to_string(), "").await;
                times.push(stage.pull("cg", TOPIC, number).await.messages[0].store_timestamp_ms);
                sleep(Duration::from_millis(50)).await;
            }
            for (timestamp, boundary, expected) in [
                (times[2], None, 2),
                (times[2] + 1, None, 3),
                (times[2] + 1, Some("UPPER"), 2),
                (i64::MAX, None, 5),
                (0, None, 0),
            ] {
                let header = SearchOffsetRequestHeader {
                    topic: TOPIC.into(),
                    queue_id: 0,
                    timestamp,
                    boundary_type: boundary.map(str::to_owned),
                    broker_name: None,
                };
                let response = stage.ask(request_code::SEARCH_OFFSET_BY_TIMESTAMP, &header).await;
                assert_eq!(
                    response.header::<OffsetResponseHeader>().unwrap().offset.0,
                    expected,
                    "{timestamp} {boundary:?}"
                );
            }
        },
    );
}
