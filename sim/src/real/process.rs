//! The process that we are.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The process id.
pub fn id() -> u32 {
    std::process::id()
}

/// How many files and sockets this process may have open at a time (`RLIMIT_NOFILE`).
pub fn open_files_max() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Raises that to the hard limit, as the JVM does; returns what it is then.
pub fn raise_open_files_max() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        // Refused is what a system does that has a lower limit of its own: the soft limit stays.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
    open_files_max()
}

/// Tells one boot of the machine from another: `/proc/sys/kernel/random/boot_id`. Where that cannot be read, the process id
/// stands in for it, so that every new process counts as a new boot: that is the careful side.
pub fn boot_id() -> String {
    match std::fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(id) => id.trim().to_owned(),
        Err(_) => format!("process {}", id()),
    }
}
