//! What a simulation says to code that goes around the seam.
//!
//! | what | what becomes of it |
//! |---|---|
//! | `tokio::spawn` | panics here, in the hook of tokio's runtime |
//! | `std::thread::spawn`, `tokio::task::spawn_blocking`, `tokio::fs` | madsim refuses the thread; std panics; the hint is added here |
//! | `tokio::time`, `tokio::net` | tokio panics for want of drivers; the hint is added here |
//! | `std::fs`, `std::env::current_dir`, `std::path::Path::exists`, … on a host | libc refuses, see below |
//! | `std::net`, `std::os::unix::net`, names looked up, on a host | the same |
//! | `std::thread::sleep`, `park_timeout`, `Condvar::wait_timeout`, … on a host | the same: it does not wait |
//! | `std::process::Command`, `std::process::id` on a host | the same |
//! | `std::time`, `getrandom` | answered from the simulation by madsim: deterministic, but no host's own |
//! | `std::thread::park`, a lock that nobody lets go of | **not noticed**: it hangs |
//! | system calls without libc (`rustix`); files, sockets that the harness opened | **not noticed** |
//!
//! The crate `interpose` has the functions of libc, and refuses what the task of a host calls. Such a call fails; the executor
//! panics when the task has been polled, whatever it made of the error. One that never comes back ends the whole process. The
//! harness is not guarded, neither within a simulation nor beside it.

use super::{executor, kernel};
use interpose::{Guard, Reached, Refusal};
use madsim::time::TimeHandle;
use std::{cell::Cell, time::Duration};

/// A tokio runtime without drivers, seeded, because `select!` and `watch` draw from its generator. Nothing runs on it.
pub fn seeded_tokio(seed: u64) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_le_bytes()))
        .on_task_spawn(|_| panic!("tokio::spawn in a simulation, where tokio runs nothing: use sim::task::spawn"))
        .build()
        .expect("a tokio runtime without drivers needs nothing")
}

/// Parts of the messages of others, and what to do instead.
const HINTS: [(&str, &str); 3] = [
    (
        // `assert_eq!(libc::pthread_attr_init(…), 0)` in std's `sys/thread/unix.rs`, where madsim answers -1.
        "left: -1\n right: 0",
        "a simulation has no threads, if this comes from starting one: use sim::task::spawn or sim::task::blocking, and for \
         files sim::disk",
    ),
    // `TIME_DISABLED` and `IO_DISABLED` of tokio's runtime.
    ("timers are disabled", "tokio::time does not work in a simulation: use sim::time"),
    ("IO is disabled", "tokio::net does not work in a simulation: use sim::net"),
];

/// The message of a panic, with a hint if it comes from a way around the seam.
pub fn with_hint(message: String) -> String {
    match HINTS.iter().find(|(part, _)| message.contains(part)) {
        Some((_, hint)) => format!("{message} ({hint})"),
        None => message,
    }
}

thread_local! {
    /// How many calls of the polled task were refused, and the first of them.
    static REFUSALS: Cell<u32> = const { Cell::new(0) };
    static FIRST: Cell<Option<Refusal>> = const { Cell::new(None) };
}

/// So many within one poll mean that it never ends: the task tries again and again, or waits for what only the refused call
/// could bring about.
const REFUSALS_MAX: u32 = 100_000;

/// Has libc refuse to tasks of hosts what reaches the real machine.
pub fn guard_hosts() {
    interpose::set(Guard { is_guarded: || executor::current_process().is_some(), refused });
}

fn refused(refusal: &Refusal) {
    let count = REFUSALS.get() + 1;
    REFUSALS.set(count);
    if count == 1 {
        FIRST.set(Some(*refusal));
    }
    if count == REFUSALS_MAX {
        eprintln!(
            "a program on a host called {refusal}, and goes on in that step for ever. {}",
            instead(refusal.reached)
        );
        std::process::abort();
    }
    // Who waits until a time has come shall come back to be told. The clock is of no more use: the run ends now.
    if matches!(refusal.reached, Reached::Sleep | Reached::TimedWait)
        && let Some(clock) = TimeHandle::try_current()
    {
        clock.advance(Duration::from_secs(3_600));
    }
}

/// Ends the simulation if the polled task has reached for the real machine.
///
/// # Panics
/// Then, with what it called and what it should call.
#[inline]
pub fn check() {
    if REFUSALS.get() > 0 {
        fail();
    }
}

#[cold]
fn fail() {
    if let Some(message) = take_refusal() {
        panic!("{message}");
    }
}

/// What the polled task called that reaches for the real machine, and what it should call; forgets it.
pub fn take_refusal() -> Option<String> {
    REFUSALS.set(0);
    let refusal = FIRST.take()?;
    let process = executor::current_process();
    let name = process.and_then(|process| kernel::try_with(|kernel| kernel.host(process.host).name.clone()));
    let (name, instead) = (name.unwrap_or_default(), instead(refusal.reached));
    Some(format!("host {name} calls {refusal}, which reaches for the real machine: {instead}"))
}

fn instead(reached: Reached) -> &'static str {
    match reached {
        Reached::File => "use sim::disk",
        Reached::Socket => "use sim::net",
        Reached::HostName => "use sim::net::resolve",
        Reached::Sleep => "use sim::time::sleep",
        Reached::TimedWait => "use sim::time::timeout, and tokio::sync instead of what blocks a thread",
        Reached::Process => "a simulated host has one process: use sim::task",
        Reached::ProcessId => "use sim::process::id",
    }
}
