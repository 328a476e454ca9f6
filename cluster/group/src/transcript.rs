//! What a master that forms its group was told and did, line by line, so that a running broker can be held against the machine: whoever
//! runs [`Forming`] writes a line for its start, each event and each step, and [`replay`] has a fresh machine say what follows.
//!
//! Brokers write the lines to their log as JSON, at TRACE under the target [`TARGET`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Event, Forming, Start, Step};

/// The target of the lines in a broker's log.
pub const TARGET: &str = "replica_group";

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Whose: the master's remoting address.
    pub broker: String,
    /// When, since its start.
    pub at: Duration,
    /// What.
    pub entry: Entry,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Entry {
    /// It starts to form its group, with this knowledge.
    Start(Start),
    /// It is told.
    Event(Event),
    /// It does.
    Step(Step),
}

/// A broker did what the machine does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// There is a line before the first start.
    #[error("line {number}: something happens before the start")]
    NotStarted {
        /// Which line, from 0.
        number: usize,
    },
    /// It has done something else.
    #[error("line {number}: the broker does {done:?}, and what follows from what it was told is {allowed:?}")]
    Other {
        /// Which line, from 0.
        number: usize,
        /// What it has done.
        done: Box<Step>,
        /// What follows.
        allowed: Box<Step>,
    },
    /// It was told something after it had begun.
    #[error("line {number}: the history has begun, or the log is to be cut, and it goes on")]
    Ended {
        /// Which line, from 0.
        number: usize,
    },
}

/// Has a fresh machine say what follows from each line of one broker; gives how many steps were taken.
///
/// # Errors
/// The first line that the machine does not allow.
pub fn replay(lines: &[Line]) -> Result<usize, Mismatch> {
    let (mut forming, mut steps, mut is_over) = (None, 0, false);
    for (number, Line { at, entry, .. }) in lines.iter().enumerate() {
        if let Entry::Start(start) = entry {
            (forming, is_over) = (Some(Forming::new(start.clone(), *at)), false);
            continue;
        }
        let Some(forming) = &mut forming else { return Err(Mismatch::NotStarted { number }) };
        if is_over {
            return Err(Mismatch::Ended { number });
        }
        match entry {
            Entry::Event(event) => forming.apply(event.clone(), *at),
            Entry::Step(done) => {
                let allowed = forming.step(*at);
                if allowed != *done {
                    return Err(Mismatch::Other { number, done: Box::new(done.clone()), allowed: Box::new(allowed) });
                }
                steps += 1;
                is_over = matches!(done, Step::Begin { .. } | Step::Cut(..));
            }
            Entry::Start(_) => {}
        }
    }
    Ok(steps)
}
