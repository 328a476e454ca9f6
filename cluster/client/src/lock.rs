//! A mutex for plain data that is never held across an await.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A mutex whose poison is ignored: no code that can panic half-way through a change runs under it.
#[derive(Debug, Default)]
pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
