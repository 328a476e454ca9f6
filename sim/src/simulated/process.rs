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
