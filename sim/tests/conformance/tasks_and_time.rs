//! Tasks, timers and clocks.

use sim::{
    task,
    time::{self, Instant},
};
use std::{
    io,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::sync::oneshot;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

conformance! {
    async fn sleeps_end_in_the_order_of_their_deadlines(_env: Env) {
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for number in [3_u64, 1, 4, 2, 0] {
            let log = Arc::clone(&log);
            tasks.push(task::spawn(async move {
                time::sleep(ms(50 + number * 100)).await;
                log.lock().expect("no panic").push(number);
            }));
        }
        for task in tasks {
            task.await.expect("it went well");
        }
        assert_eq!(*log.lock().expect("no panic"), [0, 1, 2, 3, 4]);
    }

    async fn a_sleep_is_never_short(_env: Env) {
        for micros in [0, 1, 999, 1_000, 1_001, 12_345] {
            let before = Instant::now();
            time::sleep(Duration::from_micros(micros)).await;
            assert!(before.elapsed() >= Duration::from_micros(micros), "{micros} µs");
        }
        let deadline = Instant::now() + ms(5);
        time::sleep_until(deadline).await;
        assert!(Instant::now() >= deadline);
        // A deadline that has passed is no wait.
        time::sleep_until(deadline).await;
    }

    async fn the_monotonic_clock_never_goes_back(_env: Env) {
        let mut last = Instant::now();
        for step in 0..2_000 {
            if step % 100 == 0 {
                time::sleep(Duration::from_micros(300)).await;
            }
            let now = Instant::now();
            assert!(now >= last);
            assert_eq!(last.saturating_duration_since(now + ms(1)), Duration::ZERO);
            last = now;
        }
        assert_eq!(last.duration_since(last + ms(1)), Duration::ZERO);
        assert_eq!((last + ms(7)) - last, ms(7));
    }

    async fn the_clock_since_boot_goes_with_the_monotonic_one(_env: Env) {
        let (before, monotonic) = (time::since_boot(), Instant::now());
        time::sleep(ms(100)).await;
        let (passed, since_boot) = (monotonic.elapsed(), time::since_boot() - before);
        assert!(since_boot.abs_diff(passed) <= ms(20), "{since_boot:?} and {passed:?}");
    }

    async fn the_wall_clock_goes_with_the_monotonic_one(_env: Env) {
        let (wall_ms, monotonic) = (time::wall_clock_ms(), Instant::now());
        time::sleep(ms(100)).await;
        let passed_ms = monotonic.elapsed().as_millis() as i64;
        assert!((time::wall_clock_ms() - wall_ms - passed_ms).abs() <= 20);
        // After 2025-01-01.
        assert!(wall_ms > 1_735_689_600_000);
    }

    async fn a_timeout_gives_up_and_drops(_env: Env) {
        struct Dropped(Arc<AtomicU32>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let drops = Arc::new(AtomicU32::new(0));
        let guard = Dropped(Arc::clone(&drops));
        let never = async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        };
        let elapsed = time::timeout(ms(20), never).await.expect_err("it never ends");
        assert_eq!(drops.load(Ordering::SeqCst), 1);
        assert_eq!(io::Error::from(elapsed).kind(), io::ErrorKind::TimedOut);
        assert_eq!(time::timeout(ms(1_000), async { 7 }).await, Ok(7));
        // What is ready at once wins over a timeout of nothing.
        assert_eq!(time::timeout(Duration::ZERO, async { 7 }).await, Ok(7));
        assert!(time::timeout(Duration::ZERO, std::future::pending::<()>()).await.is_err());
    }

    async fn an_interval_ticks_at_once_and_catches_up(_env: Env) {
        let begin = Instant::now();
        let mut interval = time::interval(ms(40));
        let first = interval.tick().await;
        assert!(first >= begin && first.duration_since(begin) < ms(40));
        assert_eq!(interval.tick().await - first, ms(40));
        assert!(begin.elapsed() >= ms(40));
        time::sleep(ms(200)).await;
        // What was missed follows at once, each with its own time.
        for tick in 2..6 {
            assert_eq!(interval.tick().await - first, ms(40) * tick);
        }
        let late = Instant::now();
        interval.tick().await;
        interval.tick().await;
        assert!(late.elapsed() > Duration::ZERO && Instant::now() - first >= ms(40) * 7);
        assert_eq!(interval.period(), ms(40));
    }

    async fn a_sleep_can_be_put_off_and_brought_forward(_env: Env) {
        let begin = Instant::now();
        let mut sleep = pin!(time::sleep(ms(10)));
        sleep.as_mut().reset(begin + ms(100));
        sleep.as_mut().await;
        assert!(begin.elapsed() >= ms(100) && sleep.is_elapsed());
        let mut sleep = pin!(time::sleep(Duration::from_secs(1_000)));
        assert!(time::timeout(ms(10), sleep.as_mut()).await.is_err());
        sleep.as_mut().reset(Instant::now() + ms(10));
        time::timeout(Duration::from_secs(100), sleep).await.expect("it was brought forward");
    }

    async fn a_task_gives_its_value(_env: Env) {
        assert_eq!(task::spawn(async { 42 }).await.expect("it ended"), 42);
        let waiting = task::spawn(async {
            time::sleep(ms(20)).await;
            "late"
        });
        assert!(!waiting.is_finished());
        assert_eq!(waiting.await.expect("it ended"), "late");
    }

    async fn a_task_goes_on_without_its_handle(_env: Env) {
        let (sender, receiver) = oneshot::channel();
        drop(task::spawn(async move {
            time::sleep(ms(20)).await;
            sender.send(7).expect("somebody waits");
        }));
        assert_eq!(receiver.await, Ok(7));
    }

    async fn an_aborted_task_is_cancelled_and_dropped(_env: Env) {
        let (sender, receiver) = oneshot::channel::<()>();
        let waiting = task::spawn(async move {
            let _held = sender;
            std::future::pending::<()>().await;
        });
        time::sleep(ms(20)).await;
        waiting.abort();
        let error = waiting.await.expect_err("it was aborted");
        assert!(error.is_cancelled() && !error.is_panic());
        receiver.await.expect_err("what the task held was dropped");
    }

    async fn aborting_what_has_ended_changes_nothing(_env: Env) {
        let ended = task::spawn(async { 7 });
        time::sleep(ms(20)).await;
        assert!(ended.is_finished());
        ended.abort();
        assert_eq!(ended.await.expect("it had ended"), 7);
    }

    async fn yielding_lets_others_run(_env: Env) {
        let count = Arc::new(AtomicU32::new(0));
        let other = task::spawn({
            let count = Arc::clone(&count);
            async move {
                for _ in 0..10 {
                    count.fetch_add(1, Ordering::SeqCst);
                    task::yield_now().await;
                }
            }
        });
        while count.load(Ordering::SeqCst) < 10 {
            task::yield_now().await;
        }
        other.await.expect("it ended");
    }

    async fn blocking_work_gives_its_value(_env: Env) {
        let mut tasks = Vec::new();
        for number in 0..20_u64 {
            tasks.push(task::spawn(task::blocking(move || (0..=number).sum::<u64>())));
        }
        for (number, task) in (0..).zip(tasks) {
            assert_eq!(task.await.expect("it ended"), number * (number + 1) / 2);
        }
    }

    async fn work_aside_waits_and_gives_its_value(_env: Env) {
        let (sender, receiver) = oneshot::channel();
        let waiting = task::spawn(task::aside(async move {
            time::sleep(ms(20)).await;
            receiver.await.map(|number: u32| number + 1)
        }));
        let sum = task::aside(async { (0..=20_u64).sum::<u64>() }).await;
        assert_eq!(sum, 210);
        sender.send(6).expect("it waits");
        assert_eq!(waiting.await.expect("it ended"), Ok(7));
    }

    async fn select_takes_the_first_in_order_when_both_are_ready(_env: Env) {
        for _ in 0..20 {
            let first = tokio::select! {
                biased;
                () = std::future::ready(()) => true,
                () = std::future::ready(()) => false,
            };
            assert!(first);
        }
    }
}
