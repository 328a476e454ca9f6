//! A sweep by cell: all trials of one (mode, flush, fault), added up as they come, in memory that does not grow with them.

use crate::{
    interval::clopper_pearson_95,
    record::{LossPromise, RunRecord, Verdict},
    text::{count, duration_ms},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt::Write};

/// What the trials of a cell have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CellKey {
    pub mode: String,
    /// The position of the fault in the list of faults, so that cells keep that order.
    pub fault_order: usize,
    pub fault: String,
    pub flush: String,
}

/// The sums over the trials of a cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    pub trials: u64,
    pub held: u64,
    pub broken: u64,
    pub not_live: u64,
    /// Trials that lost at least one acknowledged message.
    pub trials_with_loss: u64,
    pub acked: u64,
    pub lost: u64,
    pub duplicates: u64,
    pub oldest_lost_ms_max: u64,
    pub unavailable_ms_max: u64,
    /// What the configuration allows; absent where the promise is not a window.
    pub bound_ms: Option<u64>,
    pub promise: String,
    /// The command that replays the trial that lost most, or broke.
    pub worst: Option<String>,
    worst_rank: (Option<Verdict>, u64),
}

/// All cells of a sweep.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cells(BTreeMap<CellKey, Cell>);

impl Cells {
    /// Adds a trial. `fault_order` places its fault among the others.
    pub fn add(&mut self, record: &RunRecord, fault_order: usize) {
        let key = CellKey {
            mode: record.mode.clone(),
            fault_order,
            fault: record.fault.clone(),
            flush: record.flush.clone(),
        };
        let cell = self.0.entry(key).or_default();
        cell.trials += 1;
        match record.verdict {
            Verdict::Held => cell.held += 1,
            Verdict::Broken => cell.broken += 1,
            Verdict::NotLive => cell.not_live += 1,
        }
        cell.trials_with_loss += u64::from(record.lost > 0);
        cell.acked += record.acked;
        cell.lost += record.lost;
        cell.duplicates += record.duplicates;
        cell.oldest_lost_ms_max = cell.oldest_lost_ms_max.max(record.oldest_lost_ms);
        cell.unavailable_ms_max = cell.unavailable_ms_max.max(record.unavailable_ms);
        cell.promise.clone_from(&record.promise);
        if let LossPromise::Window { bound_ms } = record.promise_loss {
            cell.bound_ms = Some(bound_ms);
        }
        // A verdict other than `held` ranks above any loss; ties go to the trial that came first in the order of seeds.
        let rank = ((record.verdict != Verdict::Held).then_some(record.verdict), record.lost);
        if rank > cell.worst_rank {
            cell.worst_rank = rank;
            cell.worst = Some(record.command());
        }
    }

    /// The cells in order.
    pub fn iter(&self) -> impl Iterator<Item = (&CellKey, &Cell)> {
        self.0.iter()
    }

    /// The worst verdict over all trials.
    pub fn verdict(&self) -> Verdict {
        let any = |count: fn(&Cell) -> u64| self.0.values().any(|cell| count(cell) > 0);
        if any(|cell| cell.broken) {
            Verdict::Broken
        } else if any(|cell| cell.not_live) {
            Verdict::NotLive
        } else {
            Verdict::Held
        }
    }

    /// The table for a terminal, with the commands that replay the worst trials below it.
    pub fn text(&self) -> String {
        let header = [
            "mode",
            "fault",
            "flush",
            "promise",
            "trials",
            "with loss (95 %)",
            "lost",
            "oldest",
            "bound",
            "no service",
            "dup.",
        ]
        .map(str::to_owned);
        let rows = self.0.iter().map(|(key, cell)| {
            let interval = clopper_pearson_95(cell.trials_with_loss, cell.trials);
            [
                key.mode.clone(),
                key.fault.clone(),
                key.flush.clone(),
                match (cell.broken, cell.not_live) {
                    (0, 0) => "held".to_owned(),
                    (0, stuck) => format!("NOT LIVE ×{stuck}"),
                    (broken, _) => format!("BROKEN ×{broken}"),
                },
                count(cell.trials),
                format!(
                    "{} ({:.0}–{:.0} %)",
                    count(cell.trials_with_loss),
                    (interval.low * 100.0).floor(),
                    (interval.high * 100.0).ceil()
                ),
                count(cell.lost),
                if cell.lost > 0 { duration_ms(cell.oldest_lost_ms_max) } else { "–".to_owned() },
                cell.bound_ms.map_or_else(|| "–".to_owned(), duration_ms),
                duration_ms(cell.unavailable_ms_max),
                count(cell.duplicates),
            ]
        });
        let table = std::iter::once(header).chain(rows).collect::<Vec<_>>();
        let mut text = String::new();
        let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 11] = std::array::from_fn(width);
        for row in &table {
            let mut line = String::new();
            for (column, value) in row.iter().enumerate() {
                let gap = " ".repeat(widths[column] - value.chars().count());
                // Words to the left, numbers to the right.
                let _ = if column < 4 { write!(line, "{value}{gap}  ") } else { write!(line, "{gap}{value}  ") };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        let worst = self.0.values().filter_map(|cell| cell.worst.as_deref()).collect::<Vec<_>>();
        if !worst.is_empty() {
            text.push_str("\nthe worst trial of each cell that lost messages or broke its promise:\n");
            for command in worst {
                text.push_str("  ");
                text.push_str(command);
                text.push('\n');
            }
        }
        text
    }
}
