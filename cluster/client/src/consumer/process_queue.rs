//! What a consumer holds of one queue (`ProcessQueue`): messages that were pulled and are not yet acknowledged.
//!
//! A pure state machine. Messages are kept by queue offset; what may be committed is the lowest offset that is still
//! held, so that messages behind a slow one are delivered again after a crash rather than lost. Once *dropped* (the queue
//! went to another member, or its offset was moved) it takes no messages and commits nothing any more: what was in
//! flight then ends without effect.
//!
//! Left out on purpose: the lock of ordered consumption.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::QueueOffset;
use protocol::message::MessageExt;

/// One message that is held.
#[derive(Clone, Debug)]
struct Held {
    message: Arc<MessageExt>,
    /// When the listener got it, on the caller's monotonic clock; `None` while it waits.
    started_ms: Option<u64>,
}

/// The messages of one queue that were pulled and are not yet acknowledged.
#[derive(Clone, Debug, Default)]
pub struct ProcessQueue {
    held: BTreeMap<QueueOffset, Held>,
    bytes: usize,
    /// One past the last offset that was ever put.
    end: QueueOffset,
    dropped: bool,
}

impl ProcessQueue {
    /// Holds nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes pulled messages. Whether they were taken: a dropped queue takes none.
    pub fn put(&mut self, messages: &[Arc<MessageExt>]) -> bool {
        if self.dropped {
            return false;
        }
        for message in messages {
            let held = Held { message: Arc::clone(message), started_ms: None };
            if self.held.insert(message.queue_offset, held).is_none() {
                self.bytes += message.body.len();
            }
            self.end = self.end.max(message.queue_offset + 1);
        }
        true
    }

    /// Notes that these messages go to the listener now. False if the queue was dropped, so they must not.
    pub fn start(&mut self, messages: &[Arc<MessageExt>], now_ms: u64) -> bool {
        if self.dropped {
            return false;
        }
        for message in messages {
            if let Some(held) = self.held.get_mut(&message.queue_offset) {
                held.started_ms = Some(now_ms);
            }
        }
        true
    }

    /// Lets go of messages that are done with, and says what may be committed now: everything below is done with.
    /// `None` if nothing may be committed: the queue was dropped, or held nothing.
    pub fn remove(&mut self, offsets: impl IntoIterator<Item = QueueOffset>) -> Option<QueueOffset> {
        if self.held.is_empty() {
            return None;
        }
        for offset in offsets {
            if let Some(held) = self.held.remove(&offset) {
                self.bytes -= held.message.body.len();
            }
        }
        (!self.dropped).then(|| self.commit_offset())
    }

    /// The lowest offset that is held; behind the last one if none is.
    fn commit_offset(&self) -> QueueOffset {
        self.held.first_key_value().map_or(self.end, |(offset, _)| *offset)
    }

    /// The messages whose consumption began at least `timeout_ms` ago, at most `max`, from the front of the queue only
    /// (`cleanExpiredMsg`): a message behind one that is not expired waits for its turn.
    #[must_use]
    pub fn expired(&self, now_ms: u64, timeout_ms: u64, max: usize) -> Vec<Arc<MessageExt>> {
        let expired = |held: &&Held| held.started_ms.is_some_and(|started_ms| now_ms >= started_ms + timeout_ms);
        self.held.values().take_while(expired).take(max).map(|held| Arc::clone(&held.message)).collect()
    }

    /// Whether the message at this offset is still held.
    #[must_use]
    pub fn holds(&self, offset: QueueOffset) -> bool {
        self.held.contains_key(&offset)
    }

    /// Takes no more messages and commits no more offsets from now on.
    pub fn drop_queue(&mut self) {
        self.dropped = true;
    }

    /// Whether the queue was dropped.
    #[must_use]
    pub const fn is_dropped(&self) -> bool {
        self.dropped
    }

    /// How many messages are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many bytes of bodies are held.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// From the lowest to the highest offset held.
    #[must_use]
    pub fn span(&self) -> i64 {
        match (self.held.first_key_value(), self.held.last_key_value()) {
            (Some((first, _)), Some((last, _))) => *last - *first,
            _ => 0,
        }
    }

    /// The lowest and the highest offset held; 0 and 0 if none is (`fillProcessQueueInfo`).
    #[must_use]
    pub fn offsets(&self) -> (QueueOffset, QueueOffset) {
        match (self.held.first_key_value(), self.held.last_key_value()) {
            (Some((first, _)), Some((last, _))) => (*first, *last),
            _ => (QueueOffset::ZERO, QueueOffset::ZERO),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use protocol::{PhysicalOffset, Properties};
    use std::collections::BTreeSet;

    /// A message at this offset.
    pub(crate) fn message(offset: i64) -> Arc<MessageExt> {
        let host = "192.0.2.1:10911".parse().expect("an address");
        Arc::new(MessageExt {
            topic: "T".into(),
            flag: 0,
            properties: Properties::new(),
            body: Bytes::from_static(b"body"),
            msg_id: String::new(),
            queue_id: 0,
            queue_offset: QueueOffset(offset),
            commit_log_offset: PhysicalOffset(offset * 100),
            store_size: 100,
            body_crc: 0,
            sys_flag: 0,
            born_timestamp_ms: 0,
            born_host: host,
            store_timestamp_ms: 0,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: PhysicalOffset::ZERO,
        })
    }

    #[test]
    fn commits_the_lowest_that_is_held() {
        let mut queue = ProcessQueue::new();
        assert_eq!(queue.remove([]), None);
        assert!(queue.put(&[message(5), message(6), message(9)]));
        assert_eq!((queue.len(), queue.bytes(), queue.span()), (3, 12, 4));
        assert_eq!(queue.remove([QueueOffset(6)]), Some(QueueOffset(5)));
        assert_eq!(queue.remove([QueueOffset(5)]), Some(QueueOffset(9)));
        assert_eq!(queue.remove([QueueOffset(9)]), Some(QueueOffset(10)));
        assert_eq!((queue.len(), queue.bytes(), queue.span()), (0, 0, 0));
        assert_eq!(queue.remove([QueueOffset(9)]), None);
    }

    #[test]
    fn a_dropped_queue_commits_nothing() {
        let mut queue = ProcessQueue::new();
        queue.put(&[message(0), message(1)]);
        queue.drop_queue();
        assert!(!queue.put(&[message(2)]));
        assert!(!queue.start(&[message(1)], 0));
        assert_eq!(queue.remove([QueueOffset(0)]), None);
    }

    #[test]
    fn expires_from_the_front_only() {
        let mut queue = ProcessQueue::new();
        let messages: Vec<_> = (0..4).map(message).collect();
        queue.put(&messages);
        queue.start(&messages[..1], 10);
        queue.start(&messages[2..], 10);
        let expired: Vec<_> = queue.expired(110, 100, 16).iter().map(|message| message.queue_offset.0).collect();
        assert_eq!(expired, [0]);
        assert!(queue.expired(109, 100, 16).is_empty());
    }

    proptest! {
        #[test]
        fn commit_never_passes_what_is_not_acknowledged(
            steps in prop::collection::vec((any::<bool>(), 1_i64..5, any::<prop::sample::Index>()), 1..60)
        ) {
            let mut queue = ProcessQueue::new();
            let mut open = BTreeSet::new();
            let (mut next, mut committed) = (0, 0);
            for (put, count, index) in steps {
                if put || open.is_empty() {
                    let messages: Vec<_> = (next..next + count).map(message).collect();
                    queue.put(&messages);
                    open.extend(next..next + count);
                    next += count;
                } else {
                    let offset = *open.iter().nth(index.index(open.len())).expect("within");
                    open.remove(&offset);
                    let commit = queue.remove([QueueOffset(offset)]).expect("it held something").0;
                    prop_assert_eq!(commit, open.first().copied().unwrap_or(next));
                    prop_assert!(commit >= committed, "commits of one process queue never go back");
                    committed = commit;
                }
                prop_assert_eq!(queue.len(), open.len());
                prop_assert_eq!(queue.bytes(), open.len() * 4);
            }
        }
    }
}
