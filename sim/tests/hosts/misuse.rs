//! Programs that go around the seam: what the simulation catches while it runs, and what it says. What it cannot catch is
//! forbidden by `cluster/clippy.toml`, and `tests/tests/seam.rs` looks for it in the source.

use sim::world::{HostSpec, SimulationSpec, simulate};
use std::time::Duration;

/// What a simulation ends with in which a program misbehaves.
fn caught<F: Future<Output = ()> + Send + 'static>(misuse: impl Fn() -> F + Send + Sync + 'static) -> String {
    let finished = simulate(SimulationSpec::default(), move |world| async move {
        let host = world.add_host(HostSpec::new("host", misuse));
        world.boot(host);
        world.sleep(Duration::from_secs(1)).await;
    });
    finished.expect_err("it was not caught").to_string()
}

#[test]
fn a_thread_is_caught() {
    let message = caught(|| async {
        let thread = std::thread::spawn(|| {});
        thread.join().expect("it does nothing");
    });
    assert!(message.contains("use sim::task::spawn or sim::task::blocking"), "{message}");
}

#[test]
fn a_blocking_call_on_tokios_threads_is_caught() {
    // tokio::fs does the same.
    let message = caught(|| async {
        let read = tokio::task::spawn_blocking(|| std::fs::read("/etc/hostname"));
        drop(read.await);
    });
    assert!(message.contains("sim::task::blocking") && message.contains("sim::disk"), "{message}");
}

#[test]
fn a_task_of_tokio_is_caught() {
    let message = caught(|| async {
        drop(tokio::spawn(async {}).await);
    });
    assert!(message.contains("use sim::task::spawn"), "{message}");
}

#[test]
fn the_seam_outside_of_a_simulation_is_caught() {
    let panicked = std::panic::catch_unwind(sim::time::wall_clock_ms);
    let message = panicked.expect_err("there is no clock");
    let message = message.downcast_ref::<String>().map(String::as_str).or(message.downcast_ref::<&str>().copied());
    assert!(message.is_some_and(|message| message.contains("world::simulate")), "{message:?}");
}

#[test]
fn files_and_randomness_of_the_harness_are_caught() {
    let finished = simulate(SimulationSpec::default(), |_| async {
        drop(sim::disk::read("/f").await);
    });
    let message = finished.expect_err("it was not caught").to_string();
    assert!(message.contains("boot a program"), "{message}");
    let finished = simulate(SimulationSpec::default(), |_| async { sim::rng::u64("test") });
    let message = finished.expect_err("it was not caught").to_string();
    assert!(message.contains("the harness has keys"), "{message}");
}

/// The clocks of std do not reach the real time either: they show the simulation's, which is no host's.
#[test]
fn the_clocks_of_std_are_simulated() {
    let run = || {
        let finished = simulate(SimulationSpec::default(), |world| async move {
            #[allow(clippy::disallowed_methods, reason = "that is what is tested")]
            let before = (std::time::Instant::now(), std::time::SystemTime::now());
            world.sleep(Duration::from_secs(1_000)).await;
            (before.0.elapsed(), before.1.elapsed().expect("time goes on"))
        });
        finished.expect("nothing panics").value
    };
    let (monotonic, wall) = run();
    assert!(monotonic >= Duration::from_secs(1_000) && wall >= Duration::from_secs(1_000));
    assert_eq!(run(), run());
}
