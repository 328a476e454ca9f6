//! The simulated process that we are.

use super::kernel;

/// The process id: another one after every boot.
pub fn id() -> u32 {
    let process = kernel::current_process();
    kernel::with(|kernel| {
        let key = kernel.core.key().derive("pid").index(u64::from(process.host.0));
        // Linux hands out 300..4194304 after boot; small numbers keep traces readable.
        300 + (key.index(u64::from(process.incarnation)).u64() % 32_000) as u32
    })
}

/// How many files and sockets this process may have open at a time.
pub fn open_files_max() -> u64 {
    let process = kernel::current_process();
    kernel::with(|kernel| kernel.open_files_max(process.host))
}

/// Raises that to the hard limit, which here is the only one; returns what it is then.
pub fn raise_open_files_max() -> u64 {
    open_files_max()
}

/// Tells one boot of the machine from another: a new one after an OS crash or a power loss, the same one after a process
/// was killed.
pub fn boot_id() -> String {
    let process = kernel::current_process();
    kernel::with(|kernel| {
        let boots = kernel.host(process.host).machine_boots;
        let key = kernel.core.key().derive("boot-id").index(u64::from(process.host.0)).index(u64::from(boots));
        format!("{:016x}", key.u64())
    })
}
