//! What of a topic nobody needs any more, which the store asks when its disk is full.
//!
//! A message is needed until every group that reads its topic has committed an offset beyond it; one of a topic that nobody reads
//! may be needed by a group to come. So is a group that keeps its offsets itself (broadcasting), while it is connected. A delayed
//! message is needed until it has been delivered. Message traces are not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::{QueueOffset, topic};

use crate::core::{Core, lock};
use crate::state::delay_level::DelayLevels;
use crate::state::subscription_groups::is_system_group;

/// Tells the store of this broker.
pub(crate) fn tell_store(core: &Arc<Core>) {
    // The store belongs to the core.
    let core_of_store = Arc::downgrade(core);
    core.store.set_consumed(Arc::new(move |topic| {
        core_of_store.upgrade().map_or_else(BTreeMap::new, |core| consumed(&core, topic))
    }));
}

/// Of each queue the offset below which nobody needs anything; of one that is not there all is needed.
fn consumed(core: &Core, name: &str) -> BTreeMap<i32, QueueOffset> {
    match name {
        topic::SCHEDULE_TOPIC => {
            let delivered = lock(&core.delay_offsets);
            delivered.offset_table.iter().map(|(level, offset)| (DelayLevels::queue_id(*level), *offset)).collect()
        }
        topic::TRACE_TOPIC => {
            core.store.queue_ids(name).into_iter().map(|queue_id| (queue_id, QueueOffset(i64::MAX))).collect()
        }
        _ => {
            let mut groups: BTreeSet<String> =
                lock(&core.clients).groups_subscribed_to().all(name).map(str::to_owned).collect();
            let committed: Vec<String> = lock(&core.offsets).groups_of().all(name).map(str::to_owned).collect();
            {
                // Offsets may be left over of a group that was deleted.
                let known = lock(&core.groups);
                groups.extend(committed.into_iter().filter(|group| known.get(group).is_some()));
            }
            groups.retain(|group| !is_system_group(group));
            let offsets = lock(&core.offsets);
            let mut groups = groups.iter().map(|group| offsets.of_topic(group, name));
            let Some(first) = groups.next() else { return BTreeMap::new() };
            let mut consumed = first.cloned().unwrap_or_default();
            for of_group in groups {
                consumed.retain(|queue_id, lowest| {
                    let committed = of_group.and_then(|of_group| of_group.get(queue_id));
                    committed.is_some_and(|committed| {
                        *lowest = (*lowest).min(*committed);
                        true
                    })
                });
            }
            consumed.into_iter().map(|(queue_id, offset)| (queue_id, QueueOffset(offset))).collect()
        }
    }
}
