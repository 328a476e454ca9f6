//! From records to things that people read.
//!
//! A run leaves one [`RunRecord`]; everything here is a function of records: the page of one run ([`run_text`]), and the
//! matrix of many trials by cell ([`Cells`]) for a terminal, in Markdown, or as data ([`CellSummary`]). Modes, flushes and
//! faults are names here and nothing more. Nothing here runs a simulation.
//!
//! # Records on disk
//!
//! | command | directory | files |
//! |---|---|---|
//! | `run` | `out/SCENARIO-FLUSH-FAULT-SEED` | `run.json`: the [`RunRecord`] |
//! | `sweep` | `out/sweep` | `records.jsonl`, `sweep.json` |
//! | `demo` | `target/staticfire/demo` | `records.jsonl`, `demo.json` |
//!
//! `records.jsonl` has one [`RunRecord`] a line, in the order of the trials, with at most a hundred identifiers of lost
//! messages each; [`read_records`] reads it. The file beside it has how many trials there were and how long they took, and the
//! cells as [`CellSummary`]. A trial in which the cluster's own code panicked has no record, and is counted in its cell.

mod cells;
mod columns;
mod distribution;
#[cfg(test)]
mod fixture;
mod interval;
mod markdown;
mod record;
mod records;
mod run_text;
mod seal;
mod summary;
mod table;
mod text;

pub use cells::{Cell, CellKey, Cells, WorstOutcome, WorstTrial};
pub use distribution::Distribution;
pub use interval::{Interval, clopper_pearson_95};
pub use record::{
    Availability, BrokerAvailability, Build, DuplicateCauses, FaultPointCount, Finding, Injection, LossPromise, PLAN,
    RunRecord, TimelineEntry, Verdict, run_command,
};
pub use records::{RecordsError, read_records, write_record};
pub use run_text::{run_text, run_text_with};
pub use seal::seal_of;
pub use summary::CellSummary;
pub use table::TableStyle;
pub use text::{count, duration_ms};
