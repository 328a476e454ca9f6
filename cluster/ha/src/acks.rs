//! Who has acknowledged what, and what follows from it for the puts that wait: pure.
//!
//! Acknowledgements count per replica, not per connection: a slave that has connected twice is one replica still
//! (Apache's `GroupTransferService` counts connections). None counts beyond the master's own end.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use protocol::{BrokerId, PhysicalOffset};

/// What makes a replica distinct.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ReplicaKey {
    /// A slave of ours, by its id.
    Broker(BrokerId),
    /// A slave of Apache's, which does not say its id.
    Address(IpAddr),
}

/// One connection of a replica that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Follower {
    pub key: ReplicaKey,
    pub acked: PhysicalOffset,
    /// Since when it owes an acknowledgement: the time of the last one, or when there was something to acknowledge again.
    /// `None`: it has everything.
    owes_since: Option<Duration>,
}

/// The rules that an answer to a put follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SyncRules {
    pub in_sync_replicas: usize,
    pub min_in_sync_replicas: usize,
    pub enable_auto_in_sync_replicas: bool,
    pub fallbehind_max_bytes: u64,
    pub slave_timeout: Duration,
}

/// What the puts are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They wait for the watermark.
    Enough,
    /// They are stored and answered SLAVE_NOT_AVAILABLE.
    NotEnough,
    /// They are not stored.
    Refuse,
}

/// What follows from the acknowledgements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outlook {
    pub verdict: Verdict,
    /// How many replicas are in sync, the master among them.
    pub available: usize,
    /// How many must have a message, the master among them.
    pub wanted: usize,
    /// Up to where enough replicas have the log; `None`: not known, or no replica is waited for.
    pub watermark: Option<PhysicalOffset>,
    /// Whether consumers wait for the watermark too.
    pub holds_back: bool,
}

/// The acknowledgements of all connections that follow.
#[derive(Debug, Default)]
pub(crate) struct AckTable {
    followers: BTreeMap<u64, Follower>,
}

impl AckTable {
    /// A connection begins to follow at `acked`; its number must be its own.
    pub(crate) fn insert(&mut self, connection: u64, key: ReplicaKey, acked: PhysicalOffset) {
        self.followers.insert(connection, Follower { key, acked, owes_since: None });
    }

    pub(crate) fn remove(&mut self, connection: u64) {
        self.followers.remove(&connection);
    }

    /// Takes an acknowledgement. Whether it says anything new.
    pub(crate) fn ack(&mut self, connection: u64, acked: PhysicalOffset, end: PhysicalOffset, now: Duration) -> bool {
        let Some(follower) = self.followers.get_mut(&connection) else { return false };
        if acked == follower.acked {
            return false;
        }
        follower.acked = acked;
        follower.owes_since = (acked < end).then_some(now);
        true
    }

    /// Looks at what everyone owes now that the log ends at `end`.
    pub(crate) fn observe(&mut self, end: PhysicalOffset, now: Duration) {
        for follower in self.followers.values_mut() {
            if follower.acked >= end {
                follower.owes_since = None;
            } else {
                follower.owes_since.get_or_insert(now);
            }
        }
    }

    /// What a connection has acknowledged.
    pub(crate) fn acked(&self, connection: u64) -> Option<PhysicalOffset> {
        self.followers.get(&connection).map(|follower| follower.acked)
    }

    /// All connections that follow, with what they have acknowledged.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, PhysicalOffset)> {
        self.followers.iter().map(|(connection, follower)| (*connection, follower.acked))
    }

    /// Whether a replica that has acknowledged so much counts.
    pub(crate) fn is_in_sync(acked: PhysicalOffset, end: PhysicalOffset, fallbehind_max_bytes: u64) -> bool {
        u64::try_from(end - acked).unwrap_or(0) <= fallbehind_max_bytes
    }

    /// What follows for the puts.
    pub(crate) fn outlook(&self, rules: &SyncRules, end: PhysicalOffset, now: Duration) -> Outlook {
        let mut replicas: BTreeMap<ReplicaKey, (PhysicalOffset, bool)> = BTreeMap::new();
        for follower in self.followers.values() {
            if !Self::is_in_sync(follower.acked, end, rules.fallbehind_max_bytes) {
                continue;
            }
            let progresses = follower.owes_since.is_none_or(|since| now.saturating_sub(since) < rules.slave_timeout);
            let replica = replicas.entry(follower.key).or_insert((follower.acked, progresses));
            replica.0 = replica.0.max(follower.acked);
            replica.1 |= progresses;
        }
        let available = 1 + replicas.len();
        let wanted = if rules.enable_auto_in_sync_replicas {
            rules.in_sync_replicas.min(available).max(rules.min_in_sync_replicas)
        } else {
            rules.in_sync_replicas
        };
        let verdict = if available < rules.min_in_sync_replicas {
            Verdict::Refuse
        } else if available < wanted {
            Verdict::NotEnough
        } else {
            Verdict::Enough
        };
        let mut acked: Vec<_> = replicas.values().map(|(acked, _)| (*acked).min(end)).collect();
        acked.sort_unstable_by(|a, b| b.cmp(a));
        // The master itself is the first of those wanted.
        let watermark = match wanted {
            0 | 1 => Some(end),
            _ => acked.get(wanted - 2).copied(),
        };
        let progressing = 1 + replicas.values().filter(|(_, progresses)| *progresses).count();
        let holds_back = verdict == Verdict::Enough && wanted > 1 && progressing >= wanted;
        Outlook { verdict, available, wanted, watermark, holds_back }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: SyncRules = SyncRules {
        in_sync_replicas: 2,
        min_in_sync_replicas: 1,
        enable_auto_in_sync_replicas: false,
        fallbehind_max_bytes: 1000,
        slave_timeout: Duration::from_secs(3),
    };

    const END: PhysicalOffset = PhysicalOffset(5000);

    fn table(acks: &[(i64, i64)]) -> AckTable {
        let mut table = AckTable::default();
        for (connection, (broker_id, acked)) in acks.iter().enumerate() {
            table.insert(connection as u64, ReplicaKey::Broker(BrokerId(*broker_id)), PhysicalOffset(*acked));
        }
        table.observe(END, Duration::ZERO);
        table
    }

    fn outlook(acks: &[(i64, i64)], rules: SyncRules) -> Outlook {
        table(acks).outlook(&rules, END, Duration::ZERO)
    }

    #[test]
    fn a_sync_master_alone_says_so() {
        let alone = outlook(&[], RULES);
        assert_eq!((alone.verdict, alone.watermark, alone.holds_back), (Verdict::NotEnough, None, false));
        let strict = SyncRules { min_in_sync_replicas: 2, ..RULES };
        assert_eq!(outlook(&[], strict).verdict, Verdict::Refuse);
        let auto = outlook(&[], SyncRules { enable_auto_in_sync_replicas: true, ..RULES });
        assert_eq!((auto.verdict, auto.watermark, auto.holds_back), (Verdict::Enough, Some(END), false));
    }

    #[test]
    fn the_watermark_is_where_enough_replicas_are() {
        let two = [(1, 4900), (2, 4500)];
        assert_eq!(outlook(&two, RULES).watermark, Some(PhysicalOffset(4900)));
        let three = SyncRules { in_sync_replicas: 3, ..RULES };
        assert_eq!(outlook(&two, three).watermark, Some(PhysicalOffset(4500)));
        assert_eq!(outlook(&[(1, 4900), (1, 4500)], three).verdict, Verdict::NotEnough, "one replica, twice connected");
        assert_eq!(outlook(&[(1, 9999)], RULES).watermark, Some(END), "nobody has more than the master");
    }

    #[test]
    fn a_replica_far_behind_does_not_count() {
        assert_eq!(outlook(&[(1, 4000)], RULES).verdict, Verdict::Enough);
        assert_eq!(outlook(&[(1, 3999)], RULES).verdict, Verdict::NotEnough);
    }

    #[test]
    fn a_replica_that_stands_still_does_not_hold_consumers_back() {
        let mut table = table(&[(1, 4900)]);
        let late = Duration::from_secs(3);
        assert!(table.outlook(&RULES, END, Duration::from_secs(2)).holds_back);
        let stalled = table.outlook(&RULES, END, late);
        assert_eq!((stalled.verdict, stalled.holds_back), (Verdict::Enough, false));
        assert!(table.ack(0, PhysicalOffset(4950), END, late));
        assert!(table.outlook(&RULES, END, late).holds_back, "it moves again");
        table.ack(0, END, END, late);
        assert!(table.outlook(&RULES, END, late * 100).holds_back, "it owes nothing, however long ago");
        table.observe(END + 1, late * 100);
        assert!(table.outlook(&RULES, END + 1, late * 100).holds_back, "its time begins with what it owes");
    }

    proptest! {
        #[test]
        fn what_is_acknowledged_is_on_enough_replicas(
            acks in proptest::collection::vec((1_i64..5, 3000_i64..6000), 0..8),
            in_sync_replicas in 1_usize..5,
            min_in_sync_replicas in 1_usize..4,
            enable_auto_in_sync_replicas: bool,
        ) {
            let rules = SyncRules { in_sync_replicas, min_in_sync_replicas, enable_auto_in_sync_replicas, ..RULES };
            let outlook = outlook(&acks, rules);
            let Some(watermark) = outlook.watermark else { return Ok(()) };
            prop_assert!(watermark <= END);
            let mut having: Vec<_> =
                acks.iter().filter(|(_, acked)| *acked >= watermark.0).map(|(broker_id, _)| broker_id).collect();
            having.sort_unstable();
            having.dedup();
            if !enable_auto_in_sync_replicas {
                prop_assert!(1 + having.len() >= in_sync_replicas);
            }
            prop_assert!(!outlook.holds_back || outlook.verdict == Verdict::Enough);
        }
    }
}
