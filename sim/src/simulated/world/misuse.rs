//! What a simulation says to code that goes around the seam.
//!
//! | what | what becomes of it |
//! |---|---|
//! | `tokio::spawn` | panics here, in the hook of tokio's runtime |
//! | `std::thread::spawn`, `tokio::task::spawn_blocking`, `tokio::fs` | madsim refuses the thread; std panics; the hint is added here |
//! | `tokio::time`, `tokio::net` | tokio panics for want of drivers; the hint is added here |
//! | `std::time`, `getrandom` | answered from the simulation: deterministic, but no host's own |
//! | `std::fs`, `std::net`, `std::thread::sleep` | **not noticed**: they need an interposed libc. clippy's lists forbid them |

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
