//! Which client of a group may consume a queue in order (`RebalanceLockManager`).
//!
//! An orderly consumer locks its queues at the broker and renews the locks every 20 s. A lock that was not renewed for
//! 60 s may be taken by another client, and is forgotten: whoever asks next gets it, as if it had never been. Locks live in
//! memory only: after a restart of the broker the first to ask wins.
//!
//! Anybody can ask for a lock, of any queue of any name. So a lock takes little room, there is a limit to their number, and one
//! connection has no more of them than are left for others. `K` names a connection.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// How long a lock lasts without renewal, in ms (`REBALANCE_LOCK_MAX_LIVE_TIME`).
pub const LOCK_LIFETIME_MS: i64 = 60_000;
/// The most locks that there are at a time.
const LOCKS_MAX: usize = 262_144;

/// Who wants locks.
#[derive(Debug)]
pub struct Asker<'a, K> {
    /// The group.
    pub group: &'a str,
    /// Its member.
    pub client_id: &'a Arc<str>,
    /// The connection that it asks on.
    pub channel: K,
}

#[derive(Debug)]
struct Lock<K> {
    client_id: Arc<str>,
    /// On which it was made or last renewed.
    channel: K,
    renewed_at_ms: i64,
}

/// Group, topic and queue as one: hundreds of thousands of locks shall not be as many maps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LockKey(Box<[u8]>);

impl LockKey {
    fn new(group: &str, topic: &str, queue_id: i32) -> Self {
        // A byte that is in no text stands between them.
        Self([group.as_bytes(), &[u8::MAX], topic.as_bytes(), &[u8::MAX], &queue_id.to_be_bytes()].concat().into())
    }
}

/// The locks of all groups. Times are of a monotonic clock, in ms.
#[derive(Debug)]
pub struct RebalanceLocks<K> {
    locks: BTreeMap<LockKey, Lock<K>>,
    /// How many each connection has.
    by_channel: BTreeMap<K, usize>,
}

impl<K> Default for RebalanceLocks<K> {
    fn default() -> Self {
        Self { locks: BTreeMap::new(), by_channel: BTreeMap::new() }
    }
}

impl<K: Ord + Copy> RebalanceLocks<K> {
    /// Locks a queue for a client, or renews its lock; says whether the client holds it now.
    pub fn try_lock(&mut self, asker: &Asker<'_, K>, topic: &str, queue_id: i32, now_ms: i64) -> bool {
        let Asker { group, client_id, channel } = *asker;
        let fresh = || Lock { client_id: Arc::clone(client_id), channel, renewed_at_ms: now_ms };
        let key = LockKey::new(group, topic, queue_id);
        let Some(lock) = self.locks.get_mut(&key) else {
            let has = self.by_channel.get(&channel).copied().unwrap_or(0);
            let (locked, left) = (self.locks.len(), LOCKS_MAX.saturating_sub(self.locks.len()));
            if has >= left {
                tracing::warn!(group, topic, queue_id, %client_id, has, "{locked} queues are locked: no lock is given");
                return false;
            }
            self.locks.insert(key, fresh());
            *self.by_channel.entry(channel).or_default() += 1;
            return true;
        };
        let is_expired = now_ms - lock.renewed_at_ms > LOCK_LIFETIME_MS;
        if lock.client_id != *client_id {
            if !is_expired {
                return false;
            }
            let old = &lock.client_id;
            tracing::warn!(group, topic, queue_id, %old, new = %client_id, "an expired queue lock changes hands");
        }
        let old = std::mem::replace(lock, fresh()).channel;
        if old != channel {
            *self.by_channel.entry(channel).or_default() += 1;
            self.has_one_less(old);
        }
        true
    }

    /// Gives a lock back, if the client holds it.
    pub fn unlock(&mut self, asker: &Asker<'_, K>, topic: &str, queue_id: i32) {
        let key = LockKey::new(asker.group, topic, queue_id);
        if self.locks.get(&key).is_some_and(|lock| lock.client_id == *asker.client_id) {
            self.remove(&key);
        }
    }

    /// Forgets the locks that anybody may take, among the next `count` after `after`; says after which to go on, if there are more.
    pub fn forget_expired(&mut self, now_ms: i64, after: Option<LockKey>, count: usize) -> Option<LockKey> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut expired = Vec::new();
        let (mut seen, mut last) = (0, None);
        for (key, lock) in self.locks.range((from, Bound::Unbounded)).take(count) {
            if now_ms - lock.renewed_at_ms > LOCK_LIFETIME_MS {
                expired.push(key.clone());
            }
            (seen, last) = (seen + 1, Some(key));
        }
        let next = last.filter(|_| seen == count).cloned();
        expired.iter().for_each(|key| self.remove(key));
        next
    }

    fn remove(&mut self, key: &LockKey) {
        if let Some(lock) = self.locks.remove(key) {
            self.has_one_less(lock.channel);
        }
    }

    fn has_one_less(&mut self, channel: K) {
        if let Some(count) = self.by_channel.get_mut(&channel) {
            *count -= 1;
            if *count == 0 {
                self.by_channel.remove(&channel);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A member of a group on a connection of its own.
    struct Client(&'static str, Arc<str>, u32);

    impl Client {
        fn new(group: &'static str, client_id: &str, channel: u32) -> Self {
            Self(group, client_id.into(), channel)
        }

        fn asker(&self) -> Asker<'_, u32> {
            Asker { group: self.0, client_id: &self.1, channel: self.2 }
        }
    }

    #[test]
    fn a_lock_is_exclusive_until_it_is_given_back_or_expires() {
        let mut locks = RebalanceLocks::default();
        let (a, b, other) = (Client::new("g", "a", 1), Client::new("g", "b", 2), Client::new("other", "b", 2));
        assert!(locks.try_lock(&a.asker(), "T", 0, 0));
        assert!(!locks.try_lock(&b.asker(), "T", 0, 10));
        assert!(locks.try_lock(&b.asker(), "T", 1, 10));
        assert!(locks.try_lock(&other.asker(), "T", 0, 10));
        assert!(locks.try_lock(&a.asker(), "T", 0, 50_000), "the holder renews");
        assert!(!locks.try_lock(&b.asker(), "T", 0, 110_000));
        assert!(locks.try_lock(&b.asker(), "T", 0, 110_001));
        locks.unlock(&a.asker(), "T", 0);
        assert!(!locks.try_lock(&a.asker(), "T", 0, 110_002), "only the holder gives a lock back");
        locks.unlock(&b.asker(), "T", 0);
        let again = Client::new("g", "a", 3);
        assert!(locks.try_lock(&again.asker(), "T", 0, 110_003));
        assert!(locks.try_lock(&a.asker(), "T", 0, 110_004), "by another connection of the same client");
        assert_eq!(locks.by_channel, BTreeMap::from([(1, 1), (2, 2)]));
    }

    #[test]
    fn one_connection_leaves_as_many_locks_as_it_has() {
        let mut locks = RebalanceLocks::default();
        let greedy = Client::new("g", "a", 1);
        for queue_id in 0..LOCKS_MAX as i32 / 2 {
            assert!(locks.try_lock(&greedy.asker(), "T", queue_id, 0));
        }
        assert!(!locks.try_lock(&greedy.asker(), "T", i32::MAX, 0), "it has as many as are left");
        assert!(locks.try_lock(&greedy.asker(), "T", 0, 1), "it keeps what it has");
        let other = Client::new("other", "b", 2);
        assert!(locks.try_lock(&other.asker(), "T", 0, 1));
    }

    #[test]
    fn locks_that_have_expired_are_forgotten_in_slices() {
        let mut locks = RebalanceLocks::default();
        let (a, b) = (Client::new("g", "a", 1), Client::new("other", "b", 2));
        for queue_id in 0..1_000 {
            assert!(locks.try_lock(&a.asker(), "T", queue_id, 0));
        }
        assert!(locks.try_lock(&a.asker(), "T", 500, 50_000), "the holder renews");
        let (mut after, mut slices) = (None, 0);
        loop {
            let before = locks.locks.len();
            after = locks.forget_expired(60_001, after, 100);
            slices += 1;
            assert!(before - locks.locks.len() <= 100);
            if after.is_none() {
                break;
            }
        }
        assert_eq!((slices, locks.locks.len()), (11, 1));
        assert!(locks.try_lock(&b.asker(), "T", 0, 60_002));
        locks.unlock(&b.asker(), "T", 0);
        locks.unlock(&a.asker(), "T", 500);
        assert!(locks.locks.is_empty() && locks.by_channel.is_empty());
    }
}
