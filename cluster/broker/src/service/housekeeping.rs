//! What is done now and then: offsets written, figures sampled, silent clients and locks forgotten.

use std::sync::Arc;
use std::time::Duration;

use sim::task::yield_now;
use sim::time::sleep;

use crate::core::{Core, lock};
use crate::service::notices::notify_members;
use crate::state::stats::SAMPLE_INTERVAL_MS;

/// How much of a large table is looked through before others may have it.
const SLICE: usize = 256;

/// Writes consumerOffset.json, for ever.
pub(crate) async fn persist_offsets(core: Arc<Core>) {
    loop {
        sleep(Duration::from_millis(core.config().flush_consumer_offset_interval_ms)).await;
        if sim::fault_point!("broker.offsets.not-written") {
            continue;
        }
        if let Err(error) = core.persist_offsets().await {
            tracing::error!(%error, "consumerOffset.json was not written: it is tried again");
        }
    }
}

/// Writes topics.json again when it could not be written, and as a whole now and then. For ever.
pub(crate) async fn keep_topics_saved(core: Arc<Core>) {
    core.files.topics.keep(&core.topics).await;
}

/// The same for subscriptionGroup.json.
pub(crate) async fn keep_groups_saved(core: Arc<Core>) {
    core.files.groups.keep(&core.groups).await;
}

/// Samples the figures and forgets silent clients, for ever.
pub(crate) async fn look_after(core: Arc<Core>) {
    let interval = Duration::from_millis(SAMPLE_INTERVAL_MS.unsigned_abs());
    loop {
        let now_ms = core.now_ms();
        sample_figures(&core, now_ms).await;
        let timeout_ms = i64::try_from(core.config().channel_expired_timeout_ms).unwrap_or(i64::MAX);
        // As if a client's last heartbeats had been lost.
        let timeout_ms =
            if sim::fault_point!("broker.client.expires-early", 0.05) { timeout_ms / 10 } else { timeout_ms };
        forget_silent_clients(&core, now_ms, timeout_ms).await;
        forget_expired_locks(&core, now_ms).await;
        sleep(interval).await;
    }
}

async fn forget_silent_clients(core: &Core, now_ms: i64, timeout_ms: i64) {
    let mut after = None;
    loop {
        let expired = lock(&core.clients).expire(now_ms, timeout_ms, after, SLICE);
        for channel in expired.silent {
            tracing::warn!(peer = %channel.remote_addr(), "a client sent no heartbeat for too long: its channel is closed");
            channel.close();
        }
        notify_members(core, &expired.changed);
        after = expired.next;
        if after.is_none() {
            return;
        }
        yield_now().await;
    }
}

async fn forget_expired_locks(core: &Core, now_ms: i64) {
    let mut after = None;
    loop {
        after = lock(&core.locks).forget_expired(now_ms, after, SLICE);
        if after.is_none() {
            return;
        }
        yield_now().await;
    }
}

async fn sample_figures(core: &Core, now_ms: i64) {
    let mut from = None;
    loop {
        from = lock(&core.stats).sample(now_ms, from, SLICE);
        if from.is_none() {
            return;
        }
        yield_now().await;
    }
}
