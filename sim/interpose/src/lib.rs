//! Calls of libc that reach the real machine, refused where a program must not make them.
//!
//! An executable that links this crate has its own `open64`, `connect`, `clock_nanosleep`, … (`libc_calls.rs` has the whole list):
//! all that std asks of libc for files, sockets, processes, sleep and waits with a time-out. They pass everything on to libc,
//! but for a thread that is guarded at that moment, see [`Guard`]: then the guard is told, and the call fails. Nobody may
//! unwind through std's and libc's frames, so a panic at the call itself is not to be had; and code may swallow the error. Who
//! guards must remember what it was told, and act when the guarded code has come back.
//!
//! A thread that panics is not guarded, because printing a backtrace reads files.
//!
//! What is not seen: system calls that are made without libc (as the crate `rustix` does); reading and writing of what is
//! open already (standard output, a file that somebody handed over); waits without a time-out, because nobody can tell
//! `thread::park` from a lock that is held by another thread for a moment; and `std::time`, because madsim has the
//! definitions of `clock_gettime` and `getrandom`. On other systems than Linux with glibc nothing is interposed.
//!
//! This is the only crate with unsafe code. It does not allocate, takes no locks and leaves no destructors to a thread, because an
//! allocator may be what calls.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod libc_calls;
mod refusal;

pub use refusal::{Reached, Refusal};

use std::sync::OnceLock;

/// Who decides. Both are called on the thread that calls libc; they must neither panic nor allocate.
#[derive(Clone, Copy, Debug)]
pub struct Guard {
    /// Whether what this thread calls now must be refused.
    pub is_guarded: fn() -> bool,
    /// Is told of each refusal before the call fails.
    pub refused: fn(&Refusal),
}

static GUARD: OnceLock<Guard> = OnceLock::new();

/// Sets the guard of this process. The first one stays.
pub fn set(guard: Guard) {
    // An error means that there is one.
    let _ = GUARD.set(guard);
}

/// The guard, if this thread is guarded now.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn guard() -> Option<&'static Guard> {
    GUARD.get().filter(|guard| (guard.is_guarded)() && !std::thread::panicking())
}
