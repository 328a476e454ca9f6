//! Clocks that are wrong. Each test that answers a row of a testbed's list of faults says which.

use crate::support::{Log, MS_NS, SECOND_NS, Tick, ticking, ticks};
use sim::time;
use sim::world::{ClockSpec, ClockStrobe, Crash, EPOCH_MS, HostSpec, SimulationSpec, simulate};
use std::time::Duration;

/// Testbeds §1.3 "per-node clock skew / drift".
#[test]
fn clocks_of_hosts_are_apart_from_the_start_and_drift_away() {
    let finished = simulate(SimulationSpec::default(), |world| async move {
        let host = |name: &str, offset_ms, drift_ppm| {
            let log = Log::<Tick>::default();
            let spec = HostSpec { clock: ClockSpec { offset_ms, drift_ppm }, ..HostSpec::new(name, ticks(&log)) };
            let host = world.add_host(spec);
            world.boot(host);
            (host, log)
        };
        let [(true_host, _), (ahead, _), (fast, log)] =
            [host("true", 0, 0), host("ahead", 5_000, 0), host("fast", 0, 1_000)];
        world.sleep(Duration::from_secs(100)).await;
        let apart = |host| world.wall_clock_ms(host) - world.wall_clock_ms(true_host);
        assert_eq!((apart(ahead), apart(fast)), (5_000, 100));
        assert_eq!(world.monotonic_ns(ahead), world.monotonic_ns(true_host));
        // A program sees it: it slept for 100 s and 0.1 s of its own time.
        let last = log.all().pop().expect("it ticks");
        assert!((last.since_start.as_secs_f64() - 100.1).abs() < 0.02, "{last:?}");
        assert!((last.wall_ms - EPOCH_MS - 100_100).abs() < 20, "{last:?}");
    });
    finished.expect("nothing panics");
}

#[test]
fn a_rate_that_changes_moves_the_timers_that_run() {
    ticking(1, async |world, host, log| {
        // Twice as fast: 10 ms of the host's are 5 ms.
        assert_eq!(world.set_drift(host, 1_000_000), 0);
        let before = log.count();
        world.sleep(Duration::from_secs(1)).await;
        assert!((198..=201).contains(&(log.count() - before)), "{}", log.count() - before);
        // Half as fast.
        assert_eq!(world.set_drift(host, -500_000), 1_000_000);
        let before = log.count();
        world.sleep(Duration::from_secs(1)).await;
        assert!((49..=51).contains(&(log.count() - before)), "{}", log.count() - before);
        // No timer ends before its deadline by the clock it follows, whatever happens to that clock.
        for (index, ppm) in (0..200).zip([-900_000, 3_000_000, 0, -10, 700].into_iter().cycle()) {
            world.set_drift(host, ppm);
            world.sleep(Duration::from_micros(3_700 + index)).await;
        }
        let ticks = log.all();
        let gaps = ticks.windows(2).map(|pair| pair[1].since_start - pair[0].since_start);
        let (shortest, longest) =
            gaps.fold((Duration::MAX, Duration::ZERO), |(low, high), gap| (low.min(gap), high.max(gap)));
        assert!(shortest >= Duration::from_millis(10), "{shortest:?}");
        assert!(longest < Duration::from_millis(11), "{longest:?}");
        assert_eq!(world.host_stats(host).drifts_injected, 202);
    });
}

#[test]
fn the_wall_clock_drifts_alone() {
    ticking(2, async |world, host, log| {
        let (wall_ms, monotonic_ns) = (world.wall_clock_ms(host), world.monotonic_ns(host));
        assert_eq!(world.set_wall_drift(host, 100_000), 0);
        let before = log.count();
        world.sleep(Duration::from_secs(10)).await;
        assert!((10_999..=11_001).contains(&(world.wall_clock_ms(host) - wall_ms)));
        assert!((10 * SECOND_NS..10 * SECOND_NS + 1_000).contains(&(world.monotonic_ns(host) - monotonic_ns)));
        assert!((990..=1_001).contains(&(log.count() - before)), "timers follow the monotonic clock");
        assert_eq!(world.set_wall_drift(host, 0), 100_000);
    });
}

/// Testbeds §1.3 "clock jump".
#[test]
fn a_wall_clock_jumps_forward_and_back_while_timers_go_on() {
    ticking(3, async |world, host, log| {
        for step_ms in [3_600_000, -7_200_000] {
            let before = log.count();
            world.step_clock(host, step_ms);
            world.sleep(Duration::from_secs(1)).await;
            let ticks = log.all();
            let seen_ms = ticks[before].wall_ms - ticks[before - 1].wall_ms;
            assert!((step_ms + 10..step_ms + 12).contains(&seen_ms), "{seen_ms}");
            assert!((98..=101).contains(&(ticks.len() - before)));
        }
        assert_eq!(world.host_stats(host).clock_steps_injected, 2);
    });
}

/// Testbeds §1.3 "clock jump": Jepsen's strobe.
#[test]
fn a_strobed_wall_clock_steps_forth_and_back_and_ends_right() {
    ticking(4, async |world, host, log| {
        let before = log.count();
        world.strobe_clock(host, ClockStrobe { step_ms: 200, period_ns: 25 * MS_NS });
        world.sleep(Duration::from_secs(10)).await;
        let ticks = log.all().split_off(before);
        let jumps = |range: std::ops::Range<i64>| {
            ticks.windows(2).filter(|pair| range.contains(&(pair[1].wall_ms - pair[0].wall_ms))).count()
        };
        let (forward, back, calm) = (jumps(200..220), jumps(-200..-180), jumps(0..15));
        // 400 steps in 10 s, forth and back in turn.
        assert!((198..=200).contains(&forward) && (198..=200).contains(&back), "{forward} forward, {back} back");
        assert_eq!(forward + back + calm, ticks.len() - 1);
        world.sleep(Duration::from_millis(10)).await;
        world.still_clock(host);
        let stats = world.host_stats(host);
        assert_eq!(world.wall_clock_ms(host), EPOCH_MS + (world.now_ns() / MS_NS).cast_signed());
        world.sleep(Duration::from_secs(1)).await;
        assert_eq!(world.host_stats(host), stats, "it stands");
        assert_eq!(stats.clock_steps_injected % 2, 0);
    });
}

#[test]
fn a_frozen_wall_clock_stands_while_timers_go_on() {
    ticking(5, async |world, host, log| {
        let before = log.count();
        assert!(world.freeze_clock(host));
        assert!(!world.freeze_clock(host));
        world.sleep(Duration::from_secs(5)).await;
        let frozen = log.all().split_off(before);
        assert!(frozen.len() > 490, "timers go on");
        assert!(frozen.windows(2).all(|pair| pair[0].wall_ms == pair[1].wall_ms));
        assert!(world.thaw_clock(host));
        assert!(!world.thaw_clock(host));
        world.sleep(Duration::from_secs(1)).await;
        assert_eq!(world.wall_clock_ms(host), EPOCH_MS + (world.now_ns() / MS_NS).cast_signed());
        assert_eq!(world.host_stats(host).clock_freezes_injected, 1);
    });
}

#[test]
fn the_clock_since_boot_goes_on_from_one_process_to_the_next_and_through_a_suspension() {
    let finished = simulate(SimulationSpec::default(), |world| async move {
        let log = Log::<u64>::default();
        let entries = log.clone();
        let host = world.add_host(HostSpec::new("host", move || {
            let entries = entries.clone();
            async move {
                loop {
                    entries.add(u64::try_from(time::since_boot().as_millis()).expect("some days"));
                    time::sleep(Duration::from_millis(100)).await;
                }
            }
        }));
        world.boot(host);
        world.sleep(Duration::from_secs(1)).await;
        world.step_clock(host, 86_400_000);
        world.crash(host, Crash::Process);
        world.sleep(Duration::from_secs(4)).await;
        world.boot(host);
        world.sleep(Duration::from_millis(10)).await;
        assert_eq!(log.all().last(), Some(&5_000), "the machine has gone on");
        world.suspend(host);
        world.sleep(Duration::from_secs(10)).await;
        world.wake(host);
        world.sleep(Duration::from_millis(100)).await;
        assert_eq!(log.all().last(), Some(&15_100), "and has counted its sleep");
        world.crash(host, Crash::Os);
        world.sleep(Duration::from_secs(1)).await;
        world.boot(host);
        world.sleep(Duration::from_millis(10)).await;
        assert_eq!(log.all().last(), Some(&0), "another boot");
    });
    finished.expect("nothing panics");
}
