//! When the members of a consumer group are told that it has changed (NOTIFY_CONSUMER_IDS_CHANGED).
//!
//! A change is told at once. A further change soon after waits, and is told together with those that follow: each telling
//! costs as much as the group has members, and anybody can make groups change. So the pause after a telling is as long as
//! the group is large. Times are of a monotonic clock, in ms.

use std::collections::{BTreeMap, BTreeSet};

/// The pause after a telling, for each member.
const PAUSE_MS_PER_MEMBER: i64 = 1;
/// The longest pause.
const PAUSE_MS_MAX: i64 = 5_000;

/// The groups that were told of a change a moment ago.
#[derive(Debug, Default)]
pub struct Notices {
    /// Until when a further change waits, and whether there is one.
    pausing: BTreeMap<String, (i64, bool)>,
    ends: BTreeSet<(i64, String)>,
}

impl Notices {
    /// A group of so many members has changed. Says whether they are to be told now.
    pub fn changed(&mut self, group: &str, members: usize, now_ms: i64) -> bool {
        if let Some((_, waits)) = self.pausing.get_mut(group) {
            *waits = true;
            return false;
        }
        self.pause(group, members, now_ms);
        true
    }

    /// The groups that are to be told now of what has changed meanwhile. `members` says how many each has.
    pub fn due(&mut self, now_ms: i64, members: impl Fn(&str) -> usize) -> Vec<String> {
        let mut due = Vec::new();
        while let Some((at_ms, group)) = self.ends.pop_first() {
            if at_ms > now_ms {
                self.ends.insert((at_ms, group));
                break;
            }
            if self.pausing.remove(&group).is_some_and(|(_, waits)| waits) {
                self.pause(&group, members(&group), now_ms);
                due.push(group);
            }
        }
        due
    }

    /// When [`Notices::due`] is to be asked.
    #[must_use]
    pub fn next_ms(&self) -> Option<i64> {
        self.ends.first().map(|(at_ms, _)| *at_ms)
    }

    fn pause(&mut self, group: &str, members: usize, now_ms: i64) {
        let pause_ms = PAUSE_MS_PER_MEMBER.saturating_mul(i64::try_from(members.max(1)).unwrap_or(PAUSE_MS_MAX));
        let end_ms = now_ms.saturating_add(pause_ms.min(PAUSE_MS_MAX));
        self.pausing.insert(group.to_owned(), (end_ms, false));
        self.ends.insert((end_ms, group.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_change_is_told_at_once_and_the_next_ones_together() {
        let mut notices = Notices::default();
        assert!(notices.changed("g", 40, 1000));
        for now_ms in 1001..1040 {
            assert!(!notices.changed("g", 40, now_ms));
        }
        assert!(notices.changed("other", 1, 1001));
        assert_eq!(notices.next_ms(), Some(1002));
        assert!(notices.due(1039, |_| 40).is_empty());
        assert_eq!(notices.due(1040, |_| 40), ["g"]);
        assert!(!notices.changed("g", 40, 1050));
        assert_eq!(notices.due(1080, |_| 40), ["g"]);
        assert!(notices.due(2000, |_| 40).is_empty());
        assert_eq!(notices.next_ms(), None, "nothing is kept of a group that has come to rest");
        assert!(notices.changed("g", 1_000_000, 3000));
        assert_eq!(notices.next_ms(), Some(8000));
    }
}
