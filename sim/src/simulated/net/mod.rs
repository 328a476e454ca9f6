//! The simulated network.
/// Something happens on the network.
#[derive(Debug)]
pub struct NetEvent;
