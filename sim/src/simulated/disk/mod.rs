//! The simulated disk.
/// An in-flight operation of a disk comes to its end.
#[derive(Debug)]
pub struct DiskEvent;
