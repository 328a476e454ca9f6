//! What is done now and then: offsets written, figures sampled, silent clients forgotten; and telling consumer groups that
//! they have changed.

use std::sync::Arc;
use std::time::Duration;

use protocol::header::ConsumerGroupRequestHeader;
use protocol::{RemotingCommand, request_code};
use remoting::Channel;
use sim::time::sleep;

use crate::core::{Core, lock};
use crate::state::stats::SAMPLE_INTERVAL_MS;

/// Tells the members of these consumer groups that somebody has come or gone: they rebalance at once.
pub(crate) fn notify_members(core: &Core, groups: &[String]) {
    if groups.is_empty() || !core.config().notify_consumer_ids_changed_enable {
        return;
    }
    for group in groups {
        let enabled = lock(&core.groups).get(group).is_none_or(|config| config.notify_consumer_ids_changed_enable);
        if !enabled {
            continue;
        }
        let members: Vec<Channel> = {
            let clients = lock(&core.clients);
            let members =
                clients.consumer_group(group).map(|info| info.members.values().map(|member| member.handle.clone()));
            members.into_iter().flatten().collect()
        };
        let header = ConsumerGroupRequestHeader { consumer_group: group.clone() };
        for channel in members {
            if sim::fault_point!("broker.notice.lost", 0.5) {
                continue;
            }
            let notice = RemotingCommand::request(request_code::NOTIFY_CONSUMER_IDS_CHANGED, &header);
            if let Err(error) = channel.invoke_oneway(notice) {
                // Whoever does not hear it rebalances by its own timer.
                tracing::debug!(group, %error, "a consumer was not told of a change of its group");
            }
        }
    }
}

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
        lock(&core.stats).sample(now_ms);
        let timeout_ms = i64::try_from(core.config().channel_expired_timeout_ms).unwrap_or(i64::MAX);
        // As if a client's last heartbeats had been lost.
        let timeout_ms =
            if sim::fault_point!("broker.client.expires-early", 0.05) { timeout_ms / 10 } else { timeout_ms };
        let (silent, changed) = lock(&core.clients).expire(now_ms, timeout_ms);
        for channel in silent {
            tracing::warn!(peer = %channel.remote_addr(), "a client sent no heartbeat for too long: its channel is closed");
            channel.close();
        }
        notify_members(&core, &changed);
        sleep(interval).await;
    }
}
