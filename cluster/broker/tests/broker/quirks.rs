//! Apache's defects that live in the broker, each beside what this broker does instead. Those that need a slave are in
//! `replication`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Stage, play};
use protocol::header::{GetMaxOffsetRequestHeader, OffsetResponseHeader};
use protocol::{request_code, response_code as code};
use quirks::{Quirk, QuirkSet};
use sim::time::sleep;
use sim::world::Crash;

const TOPIC: &str = "TopicZ";
const GROUP: &str = "cz1";

/// Runs a script and gives what it found.
fn find<T, F, Fut>(seed: u64, quirks: QuirkSet, script: F) -> T
where
    T: Default + Clone + Send + 'static,
    F: Fn(Stage) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    let found = Arc::new(Mutex::new(T::default()));
    let result = Arc::clone(&found);
    play(
        seed,
        move |config| {
            config.quirks = quirks;
            // Nothing of the log reaches the drive by itself.
            config.store.flush_interval_commit_log_ms = 600_000;
            config.store.flush_commit_log_thorough_interval_ms = 600_000;
            config.flush_consumer_offset_interval_ms = 1_000;
        },
        move |stage| {
            let (found, script) = (Arc::clone(&found), script(stage));
            async move {
                let value = script.await;
                *found.lock().unwrap() = value;
            }
        },
    );
    result.lock().unwrap().clone()
}

async fn max_offset(stage: &Stage) -> i64 {
    let header = GetMaxOffsetRequestHeader { topic: TOPIC.into(), queue_id: 0, committed: None, broker_name: None };
    stage.ask(request_code::GET_MAX_OFFSET, &header).await.header::<OffsetResponseHeader>().unwrap().offset.0
}

/// golden/exp_offset_ahead_498.txt, variant A: how many of the messages that were sent after a lost tail a consumer that
/// stood beyond it is never given.
async fn skipped(stage: Stage) -> Option<i64> {
    stage.send_ok(TOPIC, 0, "kept", "").await;
    stage.restart().await;
    for number in 1..5 {
        stage.send_ok(TOPIC, 0, &format!("old{number}"), "").await;
    }
    stage.pull(GROUP, TOPIC, 0).await;
    assert_eq!(stage.commit(GROUP, TOPIC, 5).await, code::SUCCESS);
    sleep(Duration::from_secs(2)).await;
    stage.crash(Crash::Power).await;
    stage.boot().await;
    let recovered = max_offset(&stage).await;
    for number in recovered..7 {
        stage.send_ok(TOPIC, 0, &format!("new{number}"), "").await;
    }
    let mut at = stage.committed(GROUP, TOPIC).await.expect("it was committed");
    let pulled = stage.pull(GROUP, TOPIC, at).await;
    if pulled.code == code::PULL_OFFSET_MOVED {
        at = pulled.header.next_begin_offset.0;
    }
    (recovered < 5).then_some(at - recovered)
}

#[test]
fn left_over_offsets_skip_new_messages() {
    let hardened: Vec<_> = (10..18).filter_map(|seed| find(seed, QuirkSet::NONE, skipped)).collect();
    assert!(!hardened.is_empty(), "none of the seeds loses anything");
    assert!(hardened.iter().all(|skipped| *skipped == 0), "{hardened:?}");
    let quirks = QuirkSet::NONE.with(Quirk::LeftOverOffsets);
    let apache: Vec<_> = (10..18).filter_map(|seed| find(seed, quirks, skipped)).collect();
    assert!(!apache.is_empty() && apache.iter().all(|skipped| *skipped > 0), "{apache:?}");
}

#[test]
fn an_offset_far_beyond_the_end_goes_to_the_end_or_to_the_beginning() {
    async fn moved_to(stage: Stage) -> i64 {
        for number in 0..3 {
            stage.send_ok(TOPIC, 0, &number.to_string(), "").await;
        }
        let pulled = stage.pull(GROUP, TOPIC, 50).await;
        assert_eq!(pulled.code, code::PULL_OFFSET_MOVED);
        pulled.header.next_begin_offset.0
    }
    let believing = QuirkSet::NONE.with(Quirk::LeftOverOffsets);
    assert_eq!(find(1, believing, moved_to), 3);
    assert_eq!(find(1, believing.with(Quirk::OffsetOverflowResets), moved_to), 0);
}

#[test]
fn the_progress_of_delayed_delivery_is_written_when_a_broker_stops_or_forgotten() {
    async fn delivered(stage: Stage) -> i64 {
        stage.send_ok(TOPIC, 0, "first", "").await;
        stage.send_ok(TOPIC, 0, "late", "DELAY\u{1}1").await;
        sleep(Duration::from_secs(2)).await;
        assert_eq!(max_offset(&stage).await, 2);
        stage.restart().await;
        sleep(Duration::from_secs(2)).await;
        max_offset(&stage).await - 1
    }
    assert_eq!(find(2, QuirkSet::NONE, delivered), 1);
    assert_eq!(find(2, QuirkSet::NONE.with(Quirk::DelayOffsetsForgotten), delivered), 2);
}
