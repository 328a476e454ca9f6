//! The process that we are.

/// The process id.
pub fn id() -> u32 {
    std::process::id()
}
