//! What a master takes back from its slaves: the topics and groups that it has lost, the offsets that groups committed at
//! a slave while it was away, and how far delayed messages were delivered.
//!
//! Apache's master takes nothing back: a group goes on from where the master last knew it, and a master with an empty disk
//! has no topics any more (`Quirk::OffsetsReplaced`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use protocol::body::{
    ConsumerOffsetSerializeWrapper, DelayOffsetSerializeWrapper, JsonBody, SubscriptionGroupWrapper,
    TopicConfigSerializeWrapper,
};
use protocol::request_code;
use quirks::Quirk;
use sim::time::wall_clock_ms;

use super::log_position::LogPosition;
use super::peers::{self, PeerError};
use crate::core::{Core, lock};
use crate::state::consumer_offsets::ConsumerOffsets;

/// Takes back what the slave at `addr` knows better; an error is reported, and the master goes on with what it has.
pub(crate) async fn take_back(core: &Arc<Core>, addr: &str) {
    if core.config().quirks.has(Quirk::OffsetsReplaced) {
        return;
    }
    if let Err(error) = try_take_back(core, addr).await {
        tracing::warn!(slave = addr, %error, "a slave was not asked for what it knows better");
    }
}

async fn try_take_back(core: &Arc<Core>, addr: &str) -> Result<(), PeerError> {
    let topics: TopicConfigSerializeWrapper = peers::ask_table(core, addr, request_code::GET_ALL_TOPIC_CONFIG).await?;
    let has_topics = core.has_topics.swap(true, Ordering::AcqRel);
    if lock(&core.topics).take_back(topics, has_topics, wall_clock_ms()) {
        tracing::info!(slave = addr, "topics taken back from a slave");
        // An error has been told, and is tried again.
        let _ = core.topics_changed().await;
    }
    let code = request_code::GET_ALL_SUBSCRIPTIONGROUP_CONFIG;
    let groups: SubscriptionGroupWrapper = peers::ask_table(core, addr, code).await?;
    let has_groups = core.has_groups.swap(true, Ordering::AcqRel);
    if lock(&core.groups).take_back(groups, has_groups, wall_clock_ms()) {
        tracing::info!(slave = addr, "consumer groups taken back from a slave");
        let _ = core.save_groups().await;
    }

    let response = peers::ask(core, addr, request_code::GET_ALL_CONSUMER_OFFSET).await?;
    if is_of_our_log(core, LogPosition::read(&response)) {
        let offsets = ConsumerOffsets::from_file(&ConsumerOffsetSerializeWrapper::decode(&response.body)?, true);
        // Beyond the floor a slave's offsets may be of messages that are no more.
        let taken = {
            let left_overs = lock(&core.left_overs);
            let end = |topic: &str, queue_id| {
                let floor = left_overs.floor(topic, queue_id);
                floor.min(core.store.max_offset_in_queue(topic, queue_id).0)
            };
            lock(&core.offsets).merge(&offsets, end)
        };
        if taken {
            tracing::info!(slave = addr, "offsets that groups committed at a slave were taken back");
        }
    }

    let response = peers::ask(core, addr, request_code::GET_ALL_DELAY_OFFSET).await?;
    if is_of_our_log(core, LogPosition::read(&response)) {
        let table = DelayOffsetSerializeWrapper::decode(&response.body)?;
        let mut own = lock(&core.delay_offsets);
        for (level, offset) in table.offset_table {
            let known = own.offset_table.entry(level).or_default();
            *known = offset.max(*known);
        }
    }
    Ok(())
}

/// Whether the slave's log, to which its table belongs, is a part of ours. Of an Apache slave that is not known.
fn is_of_our_log(core: &Core, position: Option<LogPosition>) -> bool {
    position.is_some_and(|position| position.is_within(&core.store.epochs(), core.store.max_physical_offset()))
}
