//! Which client of a group may consume a queue in order (`RebalanceLockManager`).
//!
//! An orderly consumer locks its queues at the broker and renews the locks every 20 s. A lock that was not renewed for
//! 60 s may be taken by another client, and is forgotten: whoever asks next gets it, as if it had never been. Locks live in
//! memory only: after a restart of the broker the first to ask wins.

use std::collections::BTreeMap;

use super::queue_map::QueueMap;

/// How long a lock lasts without renewal, in ms (`REBALANCE_LOCK_MAX_LIVE_TIME`).
pub const LOCK_LIFETIME_MS: i64 = 60_000;
/// The most locks that there are at a time: anybody can ask for one, of any queue of any name. Beyond that nobody gets a new
/// one.
const LOCKS_MAX: usize = 262_144;

#[derive(Clone, Debug)]
struct Lock {
    client_id: String,
    renewed_at_ms: i64,
}

/// The locks of all groups. Times are of a monotonic clock, in ms.
#[derive(Debug, Default)]
pub struct RebalanceLocks {
    groups: BTreeMap<String, QueueMap<Lock>>,
    /// How many there are.
    count: usize,
}

impl RebalanceLocks {
    /// Locks a queue for a client, or renews its lock; says whether the client holds it now.
    pub fn try_lock(&mut self, group: &str, topic: &str, queue_id: i32, client_id: &str, now_ms: i64) -> bool {
        let fresh = || Lock { client_id: client_id.to_owned(), renewed_at_ms: now_ms };
        let Some(lock) = self.groups.get_mut(group).and_then(|queues| queues.get_mut(topic, queue_id)) else {
            if self.count >= LOCKS_MAX {
                tracing::warn!(group, topic, queue_id, client_id, "{LOCKS_MAX} queues are locked: no lock is given");
                return false;
            }
            if !self.groups.contains_key(group) {
                self.groups.insert(group.to_owned(), QueueMap::default());
            }
            let queues = self.groups.get_mut(group).expect("it is there: it was inserted above if it was missing");
            queues.insert(topic, queue_id, fresh());
            self.count += 1;
            return true;
        };
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
            self.count -= 1;
            if queues.is_empty() {
                self.groups.remove(group);
            }
        }
    }

    /// Forgets the locks that anybody may take.
    pub fn forget_expired(&mut self, now_ms: i64) {
        self.groups.retain(|_, queues| {
            queues.retain(|lock| now_ms - lock.renewed_at_ms <= LOCK_LIFETIME_MS);
            !queues.is_empty()
        });
        self.count = self.groups.values().map(QueueMap::len).sum();
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

    #[test]
    fn locks_are_forgotten_when_they_have_expired_and_are_limited_in_number() {
        let mut locks = RebalanceLocks::default();
        for queue_id in 0..LOCKS_MAX as i32 {
            assert!(locks.try_lock("g", "T", queue_id, "a", 0));
        }
        assert!(!locks.try_lock("other", "T", 0, "b", 1), "there are too many");
        assert!(locks.try_lock("g", "T", 0, "a", 50_000), "the holder renews");
        locks.forget_expired(60_001);
        assert_eq!((locks.count, locks.groups["g"].len()), (1, 1));
        assert!(locks.try_lock("other", "T", 0, "b", 60_002));
        locks.unlock("other", "T", 0, "b");
        locks.unlock("g", "T", 0, "a");
        assert!(locks.count == 0 && locks.groups.is_empty());
    }
}
