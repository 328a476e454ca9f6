//! Which queues of a topic a member of a group consumes (`AllocateMessageQueueStrategy`).
//!
//! Each member computes its share by itself, from the same sorted lists: nobody assigns. As long as members see different
//! lists, two may hold a queue, or none; the next rebalance mends that.
//!
//! Left out on purpose: the strategies by machine room, by configuration and by consistent hash.

use protocol::body::MessageQueue;

/// How queues are shared out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AllocateMessageQueueStrategy {
    /// A range of neighbouring queues each (`AllocateMessageQueueAveragely`).
    #[default]
    Averagely,
    /// Every n-th queue each (`AllocateMessageQueueAveragelyByCircle`).
    AveragelyByCircle,
}

impl AllocateMessageQueueStrategy {
    /// The name in logs and in a consumer's running info.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Averagely => "AVG",
            Self::AveragelyByCircle => "AVG_BY_CIRCLE",
        }
    }

    /// The share of `client_id`. Both lists must be sorted and without repetitions. A member that is not in the list yet
    /// gets nothing.
    #[must_use]
    pub fn allocate(self, client_id: &str, queues: &[MessageQueue], client_ids: &[String]) -> Vec<MessageQueue> {
        let Some(index) = client_ids.iter().position(|id| id == client_id) else {
            return Vec::new();
        };
        let members = client_ids.len();
        match self {
            Self::Averagely => {
                // The first `remainder` members take one more.
                let (share, remainder) = (queues.len() / members, queues.len() % members);
                let start = index * share + index.min(remainder);
                let end = start + share + usize::from(index < remainder);
                queues[start..end].to_vec()
            }
            Self::AveragelyByCircle => queues.iter().skip(index).step_by(members).cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn queues(count: usize) -> Vec<MessageQueue> {
        (0..count).map(|id| MessageQueue::new("T", "broker-a", i32::try_from(id).expect("small"))).collect()
    }

    fn ids(count: usize) -> Vec<String> {
        (0..count).map(|id| format!("192.0.2.1@{id:03}")).collect()
    }

    fn share(strategy: AllocateMessageQueueStrategy, index: usize, queue_count: usize, members: usize) -> Vec<i32> {
        let ids = ids(members);
        let share = strategy.allocate(&ids[index], &queues(queue_count), &ids);
        share.into_iter().map(|queue| queue.queue_id).collect()
    }

    #[test]
    fn as_java_shares_out() {
        use AllocateMessageQueueStrategy::{Averagely, AveragelyByCircle};
        assert_eq!(share(Averagely, 0, 8, 3), [0, 1, 2]);
        assert_eq!(share(Averagely, 1, 8, 3), [3, 4, 5]);
        assert_eq!(share(Averagely, 2, 8, 3), [6, 7]);
        assert_eq!(share(Averagely, 3, 2, 4), [0; 0]);
        assert_eq!(share(AveragelyByCircle, 1, 8, 3), [1, 4, 7]);
        assert_eq!(Averagely.allocate("stranger", &queues(4), &ids(2)), []);
        assert_eq!(Averagely.allocate("stranger", &queues(4), &[]), []);
    }

    proptest! {
        #[test]
        fn every_queue_goes_to_exactly_one_member(queue_count in 0_usize..70, members in 1_usize..20, circle: bool) {
            let strategy = if circle {
                AllocateMessageQueueStrategy::AveragelyByCircle
            } else {
                AllocateMessageQueueStrategy::Averagely
            };
            let (queues, ids) = (queues(queue_count), ids(members));
            let shares: Vec<_> = ids.iter().map(|id| strategy.allocate(id, &queues, &ids)).collect();
            let mut all: Vec<_> = shares.concat();
            all.sort();
            prop_assert_eq!(all, queues);
            let sizes = shares.iter().map(Vec::len);
            prop_assert!(sizes.clone().max().unwrap_or(0) - sizes.min().unwrap_or(0) <= 1);
        }
    }
}
