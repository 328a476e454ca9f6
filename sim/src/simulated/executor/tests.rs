//! The executor, from outside: what becomes of tasks, and how the time goes on.

use crate::{
    task::{self, JoinHandle},
    time,
    world::{Crash, Finished, HostSpec, Panicked, SimulationSpec, World, simulate},
};
use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

fn run<T: Send + 'static>(
    seed: u64,
    harness: impl AsyncFnOnce(&World) -> T + Send + 'static,
) -> Result<Finished<T>, Panicked> {
    let spec = SimulationSpec { seed, time_limit: Duration::from_secs(100), ..SimulationSpec::default() };
    simulate(spec, |world| async move { harness(&world).await })
}

/// Notes that it was dropped.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn hanging(flag: &Arc<AtomicBool>) -> JoinHandle<()> {
    let flag = Flag(Arc::clone(flag));
    task::spawn(async move {
        let _flag = flag;
        pending().await
    })
}

#[test]
fn a_task_gives_its_output_and_an_aborted_one_an_error() {
    run(1, async |_| {
        let dropped = Arc::<AtomicBool>::default();
        assert_eq!(task::spawn(async { 7 }).await.expect("it ran"), 7);
        let hanging = hanging(&dropped);
        task::yield_now().await;
        assert!(!hanging.is_finished());
        hanging.abort();
        assert!(hanging.await.expect_err("it was aborted").is_cancelled());
        assert!(dropped.load(Ordering::Relaxed));
    })
    .expect("nothing panics");
}

#[test]
fn a_dropped_handle_lets_its_task_run_on() {
    run(1, async |_| {
        let ran = Arc::<AtomicBool>::default();
        let shared = Arc::clone(&ran);
        drop(task::spawn(async move { shared.store(true, Ordering::Relaxed) }));
        time::sleep(Duration::from_nanos(1)).await;
        assert!(ran.load(Ordering::Relaxed));
    })
    .expect("nothing panics");
}

#[test]
fn tasks_of_a_killed_process_are_dropped_before_the_time_jumps() {
    run(1, async |world| {
        let dropped = Arc::<AtomicBool>::default();
        let flag = Arc::clone(&dropped);
        let host = world.add_host(HostSpec::new("host", move || {
            drop(hanging(&flag));
            pending()
        }));
        world.boot(host);
        world.sleep(Duration::from_secs(1)).await;
        assert!(!dropped.load(Ordering::Relaxed));
        world.crash(host, Crash::Power);
        world.sleep(Duration::from_nanos(1_000)).await;
        assert!(dropped.load(Ordering::Relaxed));
    })
    .expect("nothing panics");
}

#[test]
fn the_end_frees_what_still_hangs() {
    let dropped = Arc::<AtomicBool>::default();
    let flag = Arc::clone(&dropped);
    run(1, async move |_| drop(hanging(&flag))).expect("nothing panics");
    assert!(dropped.load(Ordering::Relaxed));
    assert_eq!(Arc::strong_count(&dropped), 1);
}

/// In which order eight tasks run that are ready at once.
fn order(seed: u64) -> Vec<usize> {
    let finished = run(seed, async |_| {
        let order = Arc::<Mutex<Vec<usize>>>::default();
        for number in 0..8 {
            let order = Arc::clone(&order);
            drop(task::spawn(async move { order.lock().expect("no panics").push(number) }));
        }
        time::sleep(Duration::from_micros(10)).await;
        let order = order.lock().expect("no panics");
        order.clone()
    });
    finished.expect("nothing panics").value
}

#[test]
fn tasks_that_are_ready_at_once_run_in_an_order_of_the_seed() {
    assert_eq!(order(1), order(1));
    let orders: std::collections::BTreeSet<_> = (0..10).map(order).collect();
    assert!(orders.len() > 7, "{orders:?}");
    assert!(orders.iter().all(|order| order.len() == 8));
}

#[test]
fn a_task_that_polls_for_ever_does_not_stop_the_clock_of_the_others() {
    let polls = run(1, async |world| {
        let polls = Arc::<Mutex<u64>>::default();
        let shared = Arc::clone(&polls);
        drop(task::spawn(async move {
            loop {
                *shared.lock().expect("no panics") += 1;
                task::yield_now().await;
            }
        }));
        world.sleep(Duration::from_millis(1)).await;
        let polls = polls.lock().expect("no panics");
        *polls
    });
    // A poll takes 50 to 100 ns.
    let polls = polls.expect("nothing panics").value;
    assert!((12_500..14_200).contains(&polls), "{polls}");
}

#[test]
fn panics_idleness_without_end_and_overtime_end_the_simulation() {
    let message = |result: Result<Finished<()>, Panicked>| result.expect_err("it panics").message;
    assert_eq!(message(run(1, async |_| panic!("in the harness"))), "in the harness");
    let in_a_program = run(1, async |world| {
        let host = world.add_host(HostSpec::new("host", || async { panic!("in a program") }));
        world.boot(host);
        world.sleep(Duration::from_secs(1)).await;
    });
    assert_eq!(message(in_a_program), "in a program");
    assert_eq!(message(run(1, async |_| pending().await)), "no events, all tasks will block forever");
    let late = run(1, async |_| {
        loop {
            time::sleep(Duration::from_secs(1)).await;
        }
    });
    assert_eq!(message(late), "time limit exceeded: 100s");
}
