//! How far many trials are: a line on standard error while it is a terminal, nothing elsewhere.

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use reports::Cells;
use std::fmt;

/// Done and all, trials per second, time left, and how many cells broke so far: within 80 columns.
const TEMPLATE: &str = "{bar:16} {pos}/{len} trials  {rate}  {eta} to go  {msg}";

/// The line.
pub struct Progress(ProgressBar);

impl Progress {
    /// Shows that nothing is done yet.
    pub fn new(trials: usize) -> Progress {
        let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
            let _ = write!(out, "{:.1}/s", state.per_sec());
        };
        let style = ProgressStyle::with_template(TEMPLATE).expect("a fixed template").with_key("rate", rate);
        let bar = ProgressBar::new(trials as u64).with_style(style).with_message("");
        bar.tick();
        Progress(bar)
    }

    /// One more trial is in the cells.
    pub fn advance(&self, cells: &Cells) {
        self.0.set_message(cells.outcome());
        self.0.inc(1);
    }

    /// Prints a line to standard error, above the progress.
    pub fn say(&self, text: &str) {
        self.0.suspend(|| eprintln!("{text}"));
    }

    /// Takes the line away.
    pub fn finish(self) {
        self.0.finish_and_clear();
    }
}
