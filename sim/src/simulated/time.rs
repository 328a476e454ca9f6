//! Virtual time, as the clocks of the polled task's host show it.

use super::{
    clock::EPOCH_MS,
    kernel,
    timer::{Due, TimerId},
};
use std::{
    fmt,
    ops::{Add, AddAssign, Sub},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// A reading of the host's monotonic clock. Readings of different hosts must not be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The present reading.
    pub fn now() -> Instant {
        Instant(kernel::with(|kernel| {
            let true_ns = kernel.core.now_ns();
            kernel.current_clock().map_or(true_ns, |(_, clock)| clock.monotonic_ns(true_ns))
        }))
    }

    /// The time since this reading.
    pub fn elapsed(&self) -> Duration {
        Instant::now().duration_since(*self)
    }

    /// The time from an earlier reading to this one; zero if it was later.
    pub fn duration_since(&self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// As [`Instant::duration_since`].
    pub fn saturating_duration_since(&self, earlier: Instant) -> Duration {
        self.duration_since(earlier)
    }

    /// This reading moved forward, unless it overflows.
    pub fn checked_add(&self, duration: Duration) -> Option<Instant> {
        self.0.checked_add(u64::try_from(duration.as_nanos()).ok()?).map(Instant)
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, duration: Duration) -> Instant {
        self.checked_add(duration).unwrap_or(Instant(u64::MAX))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;
    fn sub(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_sub(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        self.duration_since(earlier)
    }
}

/// The wall clock in milliseconds since 1970-01-01T00:00:00Z, as this host believes it to be.
pub fn wall_clock_ms() -> i64 {
    kernel::with(|kernel| {
        let true_ns = kernel.core.now_ns();
        match kernel.current_clock() {
            Some((_, clock)) => clock.wall_ms(true_ns),
            None => EPOCH_MS + (true_ns / 1_000_000).cast_signed(),
        }
    })
}

/// The time since the machine was started, suspensions included (CLOCK_BOOTTIME): nobody sets that clock, and it goes on from one
/// process to the next. Readings of two boots ([`process::boot_id`](super::process::boot_id)) must not be compared.
pub fn since_boot() -> Duration {
    Duration::from_nanos(kernel::with(|kernel| {
        let true_ns = kernel.core.now_ns();
        kernel.current_clock().map_or(true_ns, |(_, clock)| clock.since_boot_ns(true_ns))
    }))
}

/// Waits for a time to pass.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(Instant::now() + duration)
}

/// Waits until the monotonic clock reads at least `deadline`.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline, timer: None }
}

/// The future of [`sleep`].
#[must_use = "a sleep does nothing unless it is awaited"]
#[derive(Debug)]
pub struct Sleep {
    deadline: Instant,
    timer: Option<TimerId>,
}

impl Sleep {
    /// When the wait ends.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether the wait has ended.
    pub fn is_elapsed(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Changes the end of the wait.
    pub fn reset(mut self: Pin<&mut Self>, deadline: Instant) {
        self.stop();
        self.deadline = deadline;
    }

    fn stop(&mut self) {
        if let Some(timer) = self.timer.take() {
            // The waker is dropped here, outside of the kernel.
            drop(kernel::try_with(|kernel| kernel.timers.stop(timer)));
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let elapsed = kernel::with(|kernel| match this.timer {
            Some(timer) => kernel.timers.poll(timer, context.waker()),
            None => {
                let clock = kernel.current_clock();
                let (host, at_ns) = match clock {
                    Some((host, clock)) => (Some(host), clock.true_ns(this.deadline.0)),
                    None => (None, this.deadline.0),
                };
                if at_ns <= kernel.core.now_ns() {
                    return true;
                }
                if !kernel.operate_current() {
                    return false;
                }
                let due = Due { host, at_ns, deadline_ns: this.deadline.0 };
                this.timer = Some(kernel.timers.start(&mut kernel.core, due, context.waker()));
                false
            }
        });
        if elapsed {
            this.stop();
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The time set by [`timeout`] has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("deadline has elapsed")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for std::io::Error {
    fn from(_: Elapsed) -> std::io::Error {
        std::io::ErrorKind::TimedOut.into()
    }
}

/// Awaits a future for at most `duration`.
///
/// # Errors
/// [`Elapsed`] when the future was not ready by then; it is dropped.
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut sleep = sleep(duration);
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(&mut sleep).poll(context).map(|()| Err(Elapsed(())))
    })
    .await
}

/// Ticks at once and then every `period`; ticks that were missed follow at once, as tokio's do by default.
///
/// # Panics
/// When `period` is zero.
pub fn interval(period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval needs a period");
    Interval { period, sleep: sleep(Duration::ZERO) }
}

/// See [`interval`].
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    sleep: Sleep,
}

impl Interval {
    /// Waits for the next tick and returns its time.
    pub async fn tick(&mut self) -> Instant {
        (&mut self.sleep).await;
        let ticked = self.sleep.deadline();
        Pin::new(&mut self.sleep).reset(ticked + self.period);
        ticked
    }

    /// The period.
    pub fn period(&self) -> Duration {
        self.period
    }
}
