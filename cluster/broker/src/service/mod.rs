//! What a broker does by itself, beside answering requests: one file for each loop.

pub(crate) mod consumed;
pub(crate) mod delay;
pub(crate) mod housekeeping;
pub(crate) mod notices;
pub(crate) mod pull_wait;
pub(crate) mod registration;
