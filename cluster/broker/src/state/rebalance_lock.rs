//! Which client of a group may consume a queue in order (`RebalanceLockManager`).
//!
//! An orderly consumer locks its queues at the broker and renews the locks every 20 s. A lock that was not renewed for
//! 60 s may be taken by another client. Locks live in memory only: after a restart of the broker the first to ask wins.

use std::collections::BTreeMap;

use super::queue_map::QueueMap;

/// How long a lock lasts without renewal, in ms (`REBALANCE_LOCK_MAX_LIVE_TIME`).
pub const LOCK_LIFETIME_MS: i64 = 60_000;

#[derive(Clone, Debug)]
struct Lock {
    client_id: String,
    renewed_at_ms: i64,
}

/// The locks of all groups. Times are of a monotonic clock, in ms.
#[derive(Debug, Default)]
pub struct RebalanceLocks {
    groups: BTreeMap<String, QueueMap<Lock>>,
}

impl RebalanceLocks {
    /// Locks a queue for a client, or renews its lock; says whether the client holds it now.
    pub fn try_lock(&mut self, group: &str, topic: &str, queue_id: i32, client_id: &str, now_ms: i64) -> bool {
        if !self.groups.contains_key(group) {
            self.groups.insert(group.to_owned(), QueueMap::default());
        }
        let queues = self.groups.get_mut(group).expect("the group is there: it was inserted above if it was missing");
        let fresh = || Lock { client_id: client_id.to_owned(), renewed_at_ms: now_ms };
        let lock = queues.get_or_insert_with(topic, queue_id, fresh);
        if lock.client_id == client_id {
            lock.renewed_at_ms = now_ms;
            true
        } else if now_ms - lock.renewed_at_ms > LOCK_LIFETIME_MS {
            tracing::warn!(
                group,
                topic,
                queue_id,
                old = lock.client_id,
                new = client_id,
                "an expired queue lock changes hands"
            );
            *lock = fresh();
            true
        } else {
            false
        }
    }

    /// Gives a lock back, if the client holds it.
    pub fn unlock(&mut self, group: &str, topic: &str, queue_id: i32, client_id: &str) {
        let Some(queues) = self.groups.get_mut(group) else { return };
        if queues.get(topic, queue_id).is_some_and(|lock| lock.client_id == client_id) {
            queues.remove(topic, queue_id);
            if queues.is_empty() {
                self.groups.remove(group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_exclusive_until_it_is_given_back_or_expires() {
        let mut locks = RebalanceLocks::default();
        assert!(locks.try_lock("g", "T", 0, "a", 0));
        assert!(!locks.try_lock("g", "T", 0, "b", 10));
        assert!(locks.try_lock("g", "T", 1, "b", 10));
        assert!(locks.try_lock("other", "T", 0, "b", 10));
        assert!(locks.try_lock("g", "T", 0, "a", 50_000), "the holder renews");
        assert!(!locks.try_lock("g", "T", 0, "b", 110_000));
        assert!(locks.try_lock("g", "T", 0, "b", 110_001));
        locks.unlock("g", "T", 0, "a");
        assert!(!locks.try_lock("g", "T", 0, "a", 110_002), "only the holder gives a lock back");
        locks.unlock("g", "T", 0, "b");
        assert!(locks.try_lock("g", "T", 0, "a", 110_003));
    }
}
