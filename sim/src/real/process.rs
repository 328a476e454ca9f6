//! The process that we are.

/// The process id.
pub fn id() -> u32 {
    std::process::id()
}

/// Tells one boot of the machine from another: `/proc/sys/kernel/random/boot_id`. Where that cannot be read, the process id
/// stands in for it, so that every new process counts as a new boot: that is the careful side.
pub fn boot_id() -> String {
    match std::fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(id) => id.trim().to_owned(),
        Err(_) => format!("process {}", id()),
    }
}
