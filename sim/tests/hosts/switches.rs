//! All switches of hosts at once: each is seen in the trace, and together they are deterministic.

use crate::support::{Log, MS_NS, Tick, ticks};
use sim::world::{
    ClockStrobe, CpuStarvation, Crash, CrashLoop, Finished, HostId, HostSpec, SimulationSpec, World, simulate,
};
use std::time::Duration;

/// Four hosts that tick, and a harness that does something to them every 100 ms or so.
fn run(seed: u64, faults: impl AsyncFnOnce(&World, [HostId; 4]) + Send + 'static) -> Finished<Vec<usize>> {
    let spec = SimulationSpec { seed, keep_trace: true, ..SimulationSpec::default() };
    let finished = simulate(spec, |world| async move {
        let logs = [(); 4].map(|()| Log::<Tick>::default());
        let hosts =
            [0, 1, 2, 3].map(|number| world.add_host(HostSpec::new(format!("host{number}"), ticks(&logs[number]))));
        world.boot_in_order(&hosts, Duration::from_millis(50)).await;
        faults(&world, hosts).await;
        world.sleep(Duration::from_secs(1)).await;
        logs.map(|log| log.count()).to_vec()
    });
    finished.expect("nothing panics")
}

async fn everything(world: &World, [a, b, c, d]: [HostId; 4]) {
    world.starve_cpu(a, CpuStarvation { share: 0.3, slice_ns: 20 * MS_NS });
    world.strobe_clock(b, ClockStrobe { step_ms: -40, period_ns: 7 * MS_NS });
    world.set_drift(c, 400);
    world.set_wall_drift(c, -900);
    world.freeze_clock(d);
    world.limit_memory(d, Some(1 << 20));
    world.sleep(Duration::from_millis(100)).await;
    world.pause(b);
    world.suspend(c);
    world.oom_kill_at(d, Some(3));
    world.sleep(Duration::from_millis(100)).await;
    world.resume(b);
    world.wake(c);
    world.thaw_clock(d);
    world.step_clock(d, 5);
    let crash_loop =
        CrashLoop { crash: Crash::Os, crashes: 3, down: Duration::from_millis(30), up: Duration::from_millis(30) };
    world.crash_loop(d, crash_loop).await;
    world.restore_cpu(a);
    world.still_clock(b);
    world.limit_memory(d, None);
    world.oom_kill_at(d, None);
}

#[test]
fn the_same_faults_on_the_same_seed_are_the_same_run() {
    for seed in 0..20 {
        let (one, another) = (run(seed, everything), run(seed, everything));
        assert_eq!(
            (one.trace_hash, one.value, one.trace),
            (another.trace_hash, another.value, another.trace),
            "seed {seed}"
        );
    }
    assert_ne!(run(0, everything).trace_hash, run(0, async |_, _| {}).trace_hash);
}

#[test]
fn every_switch_leaves_a_step_in_the_trace() {
    let steps = run(1, everything).trace.into_iter().map(|step| step.step).collect::<Vec<_>>();
    for step in [
        "boot",
        "cpu-starve",
        "clock-strobe",
        "clock-drift",
        "clock-wall-drift",
        "clock-freeze",
        "memory-limit",
        "pause",
        "suspend",
        "oom-kill-at",
        "oom-kill",
        "resume",
        "wake",
        "clock-thaw",
        "clock-step",
        "os-crash",
        "cpu-restore",
        "clock-still",
    ] {
        assert!(steps.contains(&step), "{step}: {steps:?}");
    }
}

#[test]
#[should_panic(expected = "the share of CPU time is a part of 1, not 1.5")]
fn a_share_above_1_is_refused() {
    let refused = simulate(SimulationSpec::default(), |world| async move {
        let host = world.add_host(HostSpec::new("host", std::future::pending::<()>));
        world.starve_cpu(host, CpuStarvation { share: 1.5, slice_ns: 1 });
    });
    panic!("{}", refused.expect_err("it is no share"));
}

#[test]
#[should_panic(expected = "does not go forward")]
fn a_clock_that_would_run_backwards_is_refused() {
    let refused = simulate(SimulationSpec::default(), |world| async move {
        let host = world.add_host(HostSpec::new("host", std::future::pending::<()>));
        world.set_drift(host, -1_000_000);
    });
    panic!("{}", refused.expect_err("it is no rate"));
}
