//! Requests that may take long: a few at a time, away from those who answer the others, and in turn by connection.
//!
//! Whoever asks for much waits for those who ask for much, and for nobody else: not in the tasks that serve connections,
//! because the work runs [aside](sim::task::aside); and not behind one connection that asks a thousand times, because each
//! connection with a request that waits has its turn. What has waited too long is refused: whoever asked has given up.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::channel::ChannelId;

/// The limits of a [`Lane`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneConfig {
    /// Requests that run at a time. 4.
    pub running_max: usize,
    /// Requests that wait, of one connection. 64.
    pub waiting_per_channel_max: usize,
    /// Requests that wait in all. 1,024.
    pub waiting_max: usize,
    /// How long a request may wait. 5 s.
    pub wait_max: Duration,
}

impl Default for LaneConfig {
    fn default() -> Self {
        Self { running_max: 4, waiting_per_channel_max: 64, waiting_max: 1024, wait_max: Duration::from_secs(5) }
    }
}

/// Why a request does not run. RocketMQ's code for it is SYSTEM_BUSY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneBusy {
    /// Too many wait: of this connection, or in all.
    Overload {
        /// How many.
        waiting: usize,
    },
    /// It has waited too long.
    Timeout {
        /// For how long.
        waited: Duration,
    },
}

impl fmt::Display for LaneBusy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overload { waiting } => {
                write!(f, "[OVERLOAD]system busy, start flow control for a while: {waiting} long requests wait")
            }
            Self::Timeout { waited } => {
                let waited_ms = waited.as_millis();
                write!(f, "[TIMEOUT_CLEAN_QUEUE]system busy: this request waited {waited_ms} ms behind other long ones")
            }
        }
    }
}

/// See the module's head. Clones are the same lane.
#[derive(Clone, Debug)]
pub struct Lane(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: LaneConfig,
    turns: Mutex<Turns<ChannelId, oneshot::Sender<Permit>>>,
}

impl Lane {
    /// A lane with these limits.
    #[must_use]
    pub fn new(config: LaneConfig) -> Self {
        let turns = Mutex::new(Turns::new(config.running_max));
        Self(Arc::new(Inner { config, turns }))
    }

    /// Runs `work` when it is `channel`'s turn.
    ///
    /// # Errors
    /// It was not begun.
    pub async fn run<F>(&self, channel: ChannelId, work: F) -> Result<F::Output, LaneBusy>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let permit = self.enter(channel).await?;
        Ok(sim::task::aside(async move {
            let _permit = permit;
            work.await
        })
        .await)
    }

    async fn enter(&self, channel: ChannelId) -> Result<Permit, LaneBusy> {
        let LaneConfig { waiting_per_channel_max, waiting_max, wait_max, .. } = self.0.config;
        let (number, permitted) = {
            let mut turns = self.0.lock();
            if turns.begin() {
                return Ok(Permit(Arc::clone(&self.0)));
            }
            let of_channel = turns.waiting_of(channel);
            if of_channel >= waiting_per_channel_max || turns.waiting >= waiting_max {
                return Err(LaneBusy::Overload { waiting: turns.waiting });
            }
            let (sender, permitted) = oneshot::channel();
            (turns.wait(channel, sender), permitted)
        };
        // Forgotten when it gives up, and when whoever waits for it is dropped.
        let _waiting = Waiting { inner: &self.0, channel, number };
        match sim::time::timeout(wait_max, permitted).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(LaneBusy::Overload { waiting: 0 }),
            Err(_) => Err(LaneBusy::Timeout { waited: wait_max }),
        }
    }
}

impl Default for Lane {
    fn default() -> Self {
        Self::new(LaneConfig::default())
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Turns<ChannelId, oneshot::Sender<Permit>>> {
        // No code that can panic half-way runs under this lock.
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of those that run. Its end is the next one's turn.
#[derive(Debug)]
struct Permit(Arc<Inner>);

impl Drop for Permit {
    fn drop(&mut self) {
        let next = self.0.lock().end();
        if let Some(next) = next {
            // Whoever has given up meanwhile drops the permit, and with it comes the turn after.
            let _ = next.send(Permit(Arc::clone(&self.0)));
        }
    }
}

struct Waiting<'a> {
    inner: &'a Inner,
    channel: ChannelId,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.inner.lock().give_up(self.channel, self.number);
    }
}

/// Whose turn it is: pure. `K` names a connection, `T` is what tells a waiting one that it may run.
#[derive(Debug)]
struct Turns<K, T> {
    running: usize,
    running_max: usize,
    waiting: usize,
    queues: BTreeMap<K, VecDeque<(u64, T)>>,
    /// Those of whom something waits, in the order of their turns.
    ring: VecDeque<K>,
    number_next: u64,
}

impl<K: Ord + Copy, T> Turns<K, T> {
    const fn new(running_max: usize) -> Self {
        Self { running: 0, running_max, waiting: 0, queues: BTreeMap::new(), ring: VecDeque::new(), number_next: 0 }
    }

    /// Begins, if one more may run at once.
    const fn begin(&mut self) -> bool {
        let may = self.running < self.running_max;
        if may {
            self.running += 1;
        }
        may
    }

    fn waiting_of(&self, key: K) -> usize {
        self.queues.get(&key).map_or(0, VecDeque::len)
    }

    /// Waits for its turn; names it.
    fn wait(&mut self, key: K, turn: T) -> u64 {
        let number = self.number_next;
        self.number_next += 1;
        let queue = self.queues.entry(key).or_default();
        if queue.is_empty() {
            self.ring.push_back(key);
        }
        queue.push_back((number, turn));
        self.waiting += 1;
        number
    }

    /// One has ended. The next one runs in its place, if any waits.
    fn end(&mut self) -> Option<T> {
        while let Some(key) = self.ring.pop_front() {
            let Some(queue) = self.queues.get_mut(&key) else { continue };
            let first = queue.pop_front();
            if queue.is_empty() {
                self.queues.remove(&key);
            } else {
                self.ring.push_back(key);
            }
            if let Some((_, turn)) = first {
                self.waiting -= 1;
                return Some(turn);
            }
        }
        self.running -= 1;
        None
    }

    /// One does not wait any more; without effect on one whose turn has come.
    fn give_up(&mut self, key: K, number: u64) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        if let Ok(at) = queue.binary_search_by_key(&number, |(number, _)| *number) {
            queue.remove(at);
            self.waiting -= 1;
            if queue.is_empty() {
                self.queues.remove(&key);
                self.ring.retain(|other| *other != key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_has_its_turn() {
        let mut turns = Turns::new(2);
        assert!(turns.begin() && turns.begin() && !turns.begin());
        for number in 0..5 {
            turns.wait("greedy", number);
        }
        turns.wait("modest", 100);
        turns.wait("other", 200);
        let order: Vec<_> = std::iter::from_fn(|| turns.end()).collect();
        assert_eq!(order, [0, 100, 200, 1, 2, 3, 4]);
        assert_eq!((turns.running, turns.waiting), (1, 0));
        assert!(turns.queues.is_empty() && turns.ring.is_empty());
        assert_eq!(turns.end(), None);
        assert!(turns.begin() && turns.begin() && !turns.begin());
    }

    #[test]
    fn whoever_gives_up_is_passed_over() {
        let mut turns = Turns::new(1);
        assert!(turns.begin());
        let first = turns.wait("a", 1);
        let second = turns.wait("a", 2);
        let third = turns.wait("b", 3);
        turns.give_up("a", second);
        turns.give_up("a", second);
        turns.give_up("a", first);
        turns.give_up("b", 99);
        assert_eq!((turns.waiting, turns.waiting_of("a")), (1, 0));
        assert_eq!(turns.end(), Some(3));
        turns.give_up("b", third);
        assert_eq!((turns.end(), turns.running), (None, 0));
    }
}
