//! From records to things that people read.
//!
//! A run leaves one [`RunRecord`]; everything here is a function of records: the page of one run ([`run_text`]), and the
//! summary of a sweep by cell ([`Cells`]). Nothing here runs a simulation.

mod cells;
mod interval;
mod record;
mod run_text;
mod text;

pub use cells::{Cell, CellKey, Cells};
pub use interval::{Interval, clopper_pearson_95};
pub use record::{
    Availability, BrokerAvailability, Build, DuplicateCauses, Finding, LossPromise, RunRecord, TimelineEntry, Verdict,
    run_command,
};
pub use run_text::run_text;
pub use text::{count, duration_ms};
