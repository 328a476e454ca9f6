//! The sends that wait for the store, and when to refuse more of them (`BrokerFastFailure`, `isOSPageCacheBusy`).
//!
//! Apache's broker has a thread pool's queue in front of the store, measures how long its head has waited, and refuses
//! with SYSTEM_BUSY when that is too long. Here puts go to the store's appender at once, so what is measured is how long the
//! first put waits that has not been *written* yet. A put that is written and waits for its flush does not count: a slow
//! flush is not a busy broker, it ends in FLUSH_DISK_TIMEOUT.

use std::collections::VecDeque;
use std::fmt;

use super::put_times::PutTimes;

/// The words that clients and operators look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// Too many sends wait.
    Overload {
        /// How many.
        waiting: usize,
    },
    /// The first of them has waited too long.
    Queue {
        /// For how long, in ms.
        waited_ms: i64,
        /// How many wait.
        waiting: usize,
    },
    /// It has waited so long that the page cache does not take writes.
    PageCache {
        /// For how long, in ms.
        waited_ms: i64,
        /// How many wait.
        waiting: usize,
    },
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overload { waiting } => {
                write!(f, "[OVERLOAD]system busy, start flow control for a while, size of queue: {waiting}")
            }
            Self::Queue { waited_ms, waiting } => write!(
                f,
                "[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while, period in queue: {waited_ms}ms, size of \
                 queue: {waiting}"
            ),
            Self::PageCache { waited_ms, waiting } => write!(
                f,
                "[PCBUSY_CLEAN_QUEUE]broker busy, start flow control for a while, period in queue: {waited_ms}ms, size of \
                 queue: {waiting}"
            ),
        }
    }
}

/// The limits: see the fields of the same names in [`BrokerConfig`](crate::BrokerConfig).
#[derive(Clone, Copy, Debug)]
pub struct SendLimits {
    /// How many may wait.
    pub capacity: usize,
    /// How long the first may wait, in ms.
    pub wait_ms: i64,
    /// After how long the page cache is to blame, in ms.
    pub page_cache_busy_ms: i64,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    number: u64,
    since_ms: i64,
    /// The end of what was written when it came: a later end means that it has been written as well.
    written_then: i64,
    done: bool,
}

/// The sends that wait. Times are of a monotonic clock, in ms.
#[derive(Debug, Default)]
pub struct SendQueue {
    waiting: VecDeque<Waiting>,
    number_next: u64,
    done: usize,
    times: PutTimes,
}

/// Names one send in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendTicket(u64);

impl SendQueue {
    /// Takes one more send in, or says why not. `written` is the end of what the store has written.
    ///
    /// # Errors
    /// The broker is busy.
    pub fn enter(&mut self, now_ms: i64, written: i64, limits: SendLimits) -> Result<SendTicket, Busy> {
        let waiting = self.len();
        if waiting >= limits.capacity {
            return Err(Busy::Overload { waiting });
        }
        let waited_ms = self.head_wait_ms(now_ms, written);
        if waited_ms > limits.page_cache_busy_ms {
            return Err(Busy::PageCache { waited_ms, waiting });
        }
        if waited_ms > limits.wait_ms {
            return Err(Busy::Queue { waited_ms, waiting });
        }
        let number = self.number_next;
        self.number_next += 1;
        self.waiting.push_back(Waiting { number, since_ms: now_ms, written_then: written, done: false });
        Ok(SendTicket(number))
    }

    /// A send has its answer.
    pub fn leave(&mut self, ticket: SendTicket, now_ms: i64) {
        if let Ok(index) = self.waiting.binary_search_by_key(&ticket.0, |waiting| waiting.number) {
            self.times.count(now_ms - self.waiting[index].since_ms, now_ms);
            self.waiting[index].done = true;
            self.done += 1;
        }
        while self.waiting.front().is_some_and(|first| first.done) {
            self.waiting.pop_front();
            self.done -= 1;
        }
    }

    /// How long the sends of the present minute took.
    pub fn times(&mut self, now_ms: i64) -> &PutTimes {
        self.times.turn(now_ms);
        &self.times
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len() - self.done
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How long the first has waited that is not written yet, in ms.
    #[must_use]
    pub fn head_wait_ms(&self, now_ms: i64, written: i64) -> i64 {
        let written_count = self.waiting.partition_point(|waiting| waiting.written_then < written);
        let head = self.waiting.range(written_count..).find(|waiting| !waiting.done);
        head.map_or(0, |head| now_ms - head.since_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SendLimits = SendLimits { capacity: 3, wait_ms: 200, page_cache_busy_ms: 1000 };

    #[test]
    fn a_stuck_store_refuses_and_a_slow_flush_does_not() {
        let mut queue = SendQueue::default();
        let first = queue.enter(0, 100, LIMITS).unwrap();
        let second = queue.enter(200, 100, LIMITS).unwrap();
        assert_eq!(queue.enter(201, 100, LIMITS), Err(Busy::Queue { waited_ms: 201, waiting: 2 }));
        assert_eq!(queue.enter(1001, 100, LIMITS), Err(Busy::PageCache { waited_ms: 1001, waiting: 2 }));
        let third = queue.enter(2000, 150, LIMITS).unwrap();
        assert_eq!(queue.enter(2001, 150, LIMITS), Err(Busy::Overload { waiting: 3 }));
        queue.leave(second, 0);
        queue.leave(third, 0);
        assert_eq!(queue.len(), 1);
        queue.leave(first, 0);
        queue.leave(first, 0);
        assert!(queue.is_empty());
        assert_eq!(queue.head_wait_ms(5000, 150), 0);
    }

    #[test]
    fn the_words_begin_as_clients_expect() {
        let text = Busy::Queue { waited_ms: 201, waiting: 2 }.to_string();
        assert_eq!(
            text,
            "[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while, period in queue: 201ms, size of queue: 2"
        );
    }
}
