//! How long a slave waits before it connects again: 100 ms, doubled at each failure up to 5 s.
//!
//! Apache's slave always waits 5 s; a slave that is back sooner keeps a SYNC_MASTER's puts from failing for as long.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
/// The longest wait, and the wait after a refusal, which no haste will mend.
pub(crate) const LONGEST: Duration = Duration::from_secs(5);

/// The waits since the last success.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Backoff {
        Backoff(FIRST)
    }

    /// The next wait.
    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(LONGEST);
        wait
    }

    /// All is well: the next failure is a first one.
    pub(crate) fn reset(&mut self) {
        self.0 = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_five_seconds() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..8).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        backoff.reset();
        assert_eq!(backoff.next(), FIRST);
    }
}
