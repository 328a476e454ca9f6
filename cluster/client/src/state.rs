//! The life cycle of a producer, a consumer and a client instance (`ServiceState`).

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::ClientError;

/// Where a service is in its life. There is no way back: what was shut down or failed to start is built anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ServiceState {
    /// Created, not started.
    CreateJust = 0,
    /// Running.
    Running = 1,
    /// Shut down.
    ShutdownAlready = 2,
    /// The start failed.
    StartFailed = 3,
}

impl ServiceState {
    /// Java's name of the state.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateJust => "CREATE_JUST",
            Self::Running => "RUNNING",
            Self::ShutdownAlready => "SHUTDOWN_ALREADY",
            Self::StartFailed => "START_FAILED",
        }
    }
}

impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The state of one service, shared by its handles and tasks.
#[derive(Debug)]
pub(crate) struct Lifecycle(AtomicU8);

impl Lifecycle {
    pub(crate) const fn new() -> Self {
        Self(AtomicU8::new(ServiceState::CreateJust as u8))
    }

    pub(crate) fn get(&self) -> ServiceState {
        match self.0.load(Ordering::Acquire) {
            0 => ServiceState::CreateJust,
            1 => ServiceState::Running,
            2 => ServiceState::ShutdownAlready,
            _ => ServiceState::StartFailed,
        }
    }

    pub(crate) fn set(&self, state: ServiceState) {
        self.0.store(state as u8, Ordering::Release);
    }

    pub(crate) fn is_running(&self) -> bool {
        self.get() == ServiceState::Running
    }

    /// From RUNNING to SHUTDOWN_ALREADY; whether this call made the step.
    pub(crate) fn shut_down(&self) -> bool {
        let (running, shut) = (ServiceState::Running as u8, ServiceState::ShutdownAlready as u8);
        self.0.compare_exchange(running, shut, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Refuses unless the service is running (`makeSureStateOK`).
    pub(crate) fn check_running(&self, service: impl FnOnce() -> String) -> Result<(), ClientError> {
        match self.get() {
            ServiceState::Running => Ok(()),
            state => Err(ClientError::NotRunning { service: service(), state }),
        }
    }

    /// Refuses unless the service was never started.
    pub(crate) fn check_new(&self, service: impl FnOnce() -> String) -> Result<(), ClientError> {
        match self.get() {
            ServiceState::CreateJust => Ok(()),
            state => Err(ClientError::NotRunning { service: service(), state }),
        }
    }
}
