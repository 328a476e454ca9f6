//! What topics.json and subscriptionGroup.json lack although the store tells of it: a topic whose messages are there, a group
//! that has committed offsets.
//!
//! A table lacks such a thing when it was damaged and an older copy stands in, when somebody has put an older copy there, or when
//! a broker that knew less has served in between. A topic that was deleted on purpose leaves no queue behind: its deletion is
//! recorded in the store (`deleted_topics`) before its queues are removed. So messages of a topic that is not in the table mean that
//! the table is wrong, and what was acknowledged must stay readable.

use sim::time::wall_clock_ms;

use crate::core::{Core, lock};
use crate::state::subscription_groups::SubscriptionGroups;
use crate::state::topics::QueueFound;

/// What queue names begin with that are no topics (`MixAll.LMQ_PREFIX`): their messages are those of other topics.
const LMQ_PREFIX: &str = "%LMQ%";

/// Looks for topics and groups that the tables lack; whether any was found. A master makes them its own.
pub(crate) fn look(core: &Core) -> bool {
    let topics = look_for_topics(core);
    let groups = look_for_groups(core);
    topics || groups
}

fn look_for_topics(core: &Core) -> bool {
    let queues = core.store.queues().into_iter().filter(|queue| !queue.topic.starts_with(LMQ_PREFIX));
    let queues: Vec<QueueFound> = queues
        .map(|queue| QueueFound {
            topic: queue.topic.to_string(),
            queue_id: queue.queue_id,
            has_messages: queue.max_offset > queue.min_offset,
        })
        .collect();
    let mut topics = lock(&core.topics);
    let found = topics.find_missing(&queues);
    if found.is_any() && !core.is_slave() {
        topics.keep_inferred(wall_clock_ms());
    }
    drop(topics);
    if !found.known_before.is_empty() {
        tracing::warn!(
            topics = ?found.known_before,
            "the store has messages of topics that topics.json lacks: they are as an older copy of the file has them"
        );
    }
    if !found.inferred.is_empty() && !core.is_slave() {
        tracing::warn!(
            topics = ?found.inferred,
            "the store has messages of topics that topics.json lacks: they are taken in, with as many queues as have messages; \
             see whether their settings are right (mqadmin updateTopic), and delete what is not wanted (mqadmin deleteTopic)"
        );
    }
    if !found.widened.is_empty() {
        tracing::warn!(
            topics = ?found.widened,
            "topics.json is older than the store, which has messages in more queues of these topics: they can be read"
        );
    }
    found.is_any()
}

fn look_for_groups(core: &Core) -> bool {
    let with_offsets: Vec<String> = lock(&core.offsets).groups().map(str::to_owned).collect();
    let mut groups = lock(&core.groups);
    let is_unknown = |group: &&String| groups.get(group).is_none() && SubscriptionGroups::may_create(group, true);
    let unknown: Vec<String> = with_offsets.iter().filter(is_unknown).cloned().collect();
    let found = groups.find_missing(&unknown, wall_clock_ms());
    drop(groups);
    if !found.is_empty() {
        tracing::warn!(
            groups = ?found,
            "groups have committed offsets that subscriptionGroup.json lacks, which is older than this broker's last change: they \
             are taken in; see whether their settings are right (mqadmin updateSubGroup)"
        );
    }
    !found.is_empty()
}
