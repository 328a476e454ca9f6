//! Many trials by cell: all trials of one (mode, fault, flush), added up as they come.
//!
//! The unit of every statistic is the trial: one run with one fault (or one sequence of faults) in it. The messages of a
//! trial share its fate, so that counting them as independent would make every interval far too narrow.

use crate::{
    distribution::Distribution,
    interval::{Interval, clopper_pearson_95},
    record::{LossPromise, RunRecord, Verdict},
};
use indexmap::IndexMap;

/// What the trials of a cell have in common, by the names on the command line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CellKey {
    /// Whose behaviour the brokers have.
    pub profile: String,
    pub mode: String,
    pub fault: String,
    pub flush: String,
}

/// The sums over the trials of a cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// Trials that ended with a record.
    pub trials: u64,
    pub held: u64,
    pub broken: u64,
    pub not_live: u64,
    /// Trials in which the cluster's own code panicked. They have no record and are not among `trials`.
    pub panicked: u64,
    /// Trials that lost at least one acknowledged message.
    pub trials_with_loss: u64,
    pub acked: u64,
    /// Deliveries to the consumer group, repeated ones included.
    pub delivered: u64,
    pub lost: u64,
    pub duplicates: u64,
    /// By trial with a loss: how long before the fault the oldest lost message had been acknowledged, in ms.
    pub oldest_lost_ms: Distribution,
    /// By trial: the longest time without a successful send, in ms.
    pub unavailable_ms: Distribution,
    /// What is promised: the weakest promise among the trials.
    pub loss_promise: Option<LossPromise>,
    /// The same in words.
    pub promise: String,
    /// The trial that broke its promise, or lost most; nothing when all trials held and lost nothing.
    pub worst: Option<WorstTrial>,
}

/// The trial of a cell that is most worth a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorstTrial {
    /// The command that runs it again.
    pub command: String,
    /// What came out; nothing when it panicked.
    pub outcome: Option<WorstOutcome>,
}

/// What came out of the worst trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorstOutcome {
    pub verdict: Verdict,
    pub lost: u64,
    pub oldest_lost_ms: u64,
}

/// All cells of a sweep, in the order in which their first trials came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cells(IndexMap<CellKey, Cell>);

/// A row of the matrix.
pub(crate) type Row<'a> = (&'a CellKey, &'a Cell);

impl CellKey {
    /// The cell of a record.
    pub fn of(record: &RunRecord) -> CellKey {
        CellKey {
            profile: record.profile.clone(),
            mode: record.mode.clone(),
            fault: record.fault.clone(),
            flush: record.flush.clone(),
        }
    }
}

impl Cells {
    /// Adds a trial.
    pub fn add(&mut self, record: &RunRecord) {
        self.0.entry(CellKey::of(record)).or_default().add(record);
    }

    /// Adds a trial in which the cluster's own code panicked; `command` runs it again.
    pub fn add_panic(&mut self, key: CellKey, command: String) {
        let cell = self.0.entry(key).or_default();
        cell.panicked += 1;
        if cell.panicked == 1 {
            cell.worst = Some(WorstTrial { command, outcome: None });
        }
    }

    /// The cells in order.
    pub fn iter(&self) -> impl Iterator<Item = (&CellKey, &Cell)> {
        self.0.iter()
    }

    /// How many cells there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no trial has come yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many trials ended with a record.
    pub fn trials(&self) -> u64 {
        self.0.values().map(|cell| cell.trials).sum()
    }

    /// How many cells have a trial that broke its promise, was not live, or panicked.
    pub fn bad_cells(&self) -> usize {
        self.0.values().filter(|cell| cell.is_bad()).count()
    }

    /// How many cells have each outcome, in words: `2 cells BROKEN, 1 cell NOT LIVE`.
    pub fn outcome(&self) -> String {
        let count = |is_one: fn(&Cell) -> bool| self.0.values().filter(|cell| is_one(cell)).count();
        let panicked = count(|cell| cell.panicked > 0);
        let broken = count(|cell| cell.panicked == 0 && cell.verdict() == Verdict::Broken);
        let not_live = count(|cell| cell.panicked == 0 && cell.verdict() == Verdict::NotLive);
        let told = [(broken, "BROKEN"), (not_live, "NOT LIVE"), (panicked, "PANICKED")];
        let told = told.iter().filter(|(count, _)| *count > 0);
        let told = told.map(|(count, what)| format!("{count} cell{} {what}", if *count == 1 { "" } else { "s" }));
        let told = told.collect::<Vec<_>>().join(", ");
        if told.is_empty() { "all promises held".to_owned() } else { told }
    }

    /// The blocks of the matrix: profiles, modes and flushes, each in the order in which they came, with the cells of each.
    pub(crate) fn blocks(&self) -> Vec<Vec<Row<'_>>> {
        let mut modes: IndexMap<(&str, &str), IndexMap<&str, Vec<Row<'_>>>> = IndexMap::new();
        for (key, cell) in &self.0 {
            let flushes = modes.entry((&key.profile, &key.mode)).or_default();
            flushes.entry(&key.flush).or_default().push((key, cell));
        }
        modes.into_values().flat_map(IndexMap::into_values).collect()
    }

    /// The cells in the order of the blocks.
    pub(crate) fn by_block(&self) -> impl Iterator<Item = Row<'_>> {
        self.blocks().into_iter().flatten()
    }

    /// The worst verdict over all trials.
    pub fn verdict(&self) -> Verdict {
        self.0.values().map(Cell::verdict).max().unwrap_or(Verdict::Held)
    }
}

impl Cell {
    fn add(&mut self, record: &RunRecord) {
        self.trials += 1;
        match record.verdict {
            Verdict::Held => self.held += 1,
            Verdict::Broken => self.broken += 1,
            Verdict::NotLive => self.not_live += 1,
        }
        self.acked += record.acked;
        self.delivered += record.delivered;
        self.lost += record.lost;
        self.duplicates += record.duplicates;
        self.unavailable_ms.add(record.unavailable_ms);
        if record.lost > 0 {
            self.trials_with_loss += 1;
            self.oldest_lost_ms.add(record.oldest_lost_ms);
        }
        if self.loss_promise.is_none_or(|promise| promise < record.promise_loss) {
            self.loss_promise = Some(record.promise_loss);
            self.promise.clone_from(&record.promise);
        }
        let outcome =
            WorstOutcome { verdict: record.verdict, lost: record.lost, oldest_lost_ms: record.oldest_lost_ms };
        // A tie goes to the trial that came first.
        let is_worse = match &self.worst {
            Some(WorstTrial { outcome: Some(worst), .. }) => worst.rank() < outcome.rank(),
            Some(WorstTrial { outcome: None, .. }) => false,
            None => outcome.verdict != Verdict::Held || outcome.lost > 0,
        };
        if is_worse {
            self.worst = Some(WorstTrial { command: record.command(), outcome: Some(outcome) });
        }
    }

    /// The worst verdict of its trials.
    pub fn verdict(&self) -> Verdict {
        match (self.broken, self.not_live) {
            (0, 0) => Verdict::Held,
            (0, _) => Verdict::NotLive,
            _ => Verdict::Broken,
        }
    }

    /// Whether a trial broke its promise, was not live, or panicked.
    pub fn is_bad(&self) -> bool {
        self.panicked > 0 || self.verdict() != Verdict::Held
    }

    /// The 95 % interval of the probability that a trial loses an acknowledged message.
    pub fn loss_interval(&self) -> Interval {
        clopper_pearson_95(self.trials_with_loss, self.trials)
    }

    /// Deliveries beyond the first of each message, per thousand deliveries that were a first.
    pub fn duplicates_per_1000(&self) -> f64 {
        let first = self.delivered.saturating_sub(self.duplicates);
        if first == 0 { 0.0 } else { self.duplicates as f64 * 1000.0 / first as f64 }
    }

    /// How old a lost message may be, in ms; nothing where the promise is not a window of time.
    pub fn bound_ms(&self) -> Option<u64> {
        match self.loss_promise {
            Some(LossPromise::Window { bound_ms }) => Some(bound_ms),
            _ => None,
        }
    }
}

impl WorstOutcome {
    /// Orders outcomes from harmless to worst: the verdict before the loss, the number lost before their age.
    fn rank(&self) -> (Verdict, u64, u64) {
        (self.verdict, self.lost, self.oldest_lost_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{lossy, record};

    #[test]
    fn cells_keep_the_order_in_which_they_came() {
        let mut cells = Cells::default();
        for (mode, fault) in [("2m-noslave", "power-loss"), ("2m-2s-sync", "none"), ("2m-noslave", "power-loss")] {
            cells.add(&RunRecord { mode: mode.to_owned(), fault: fault.to_owned(), ..record() });
        }
        let found = cells.iter().map(|(key, cell)| (key.mode.as_str(), cell.trials)).collect::<Vec<_>>();
        assert_eq!(found, [("2m-noslave", 2), ("2m-2s-sync", 1)]);
    }

    #[test]
    fn outcomes_are_counted_by_cell() {
        assert_eq!(Cells::default().outcome(), "all promises held");
        let mut cells = crate::fixture::cells();
        assert_eq!(cells.outcome(), "1 cell BROKEN, 1 cell NOT LIVE, 1 cell PANICKED");
        cells.add(&RunRecord { profile: "apache-4.9.8".to_owned(), ..record() });
        assert_eq!((cells.len(), cells.blocks().len()), (16, 5), "a profile has cells of its own");
    }

    #[test]
    fn the_worst_trial_is_a_broken_one_before_a_lossy_one_before_a_later_one() {
        let mut cells = Cells::default();
        let worst = |cells: &Cells| cells.iter().next().and_then(|(_, cell)| cell.worst.clone());
        cells.add(&RunRecord { seed: 1, ..record() });
        assert_eq!(worst(&cells), None);
        for (seed, lost, verdict) in [
            (2, 5, Verdict::Held),
            (3, 9, Verdict::Held),
            (4, 9, Verdict::Held),
            (5, 0, Verdict::Broken),
            (6, 50, Verdict::Held),
        ] {
            cells.add(&RunRecord { seed, verdict, ..lossy(lost, 100) });
        }
        assert_eq!(worst(&cells).map(|worst| worst.command.ends_with("--seed 5")), Some(true));
        let (_, cell) = cells.iter().next().expect("one cell");
        assert_eq!((cell.trials, cell.trials_with_loss, cell.lost, cell.broken), (6, 4, 73, 1));
        cells.add_panic(CellKey::of(&record()), "again".to_owned());
        cells.add(&RunRecord { seed: 7, verdict: Verdict::Broken, ..lossy(99, 100) });
        assert_eq!(worst(&cells), Some(WorstTrial { command: "again".to_owned(), outcome: None }));
        assert_eq!((cells.trials(), cells.bad_cells(), cells.verdict()), (7, 1, Verdict::Broken));
    }

    #[test]
    fn ages_are_those_of_lossy_trials_and_times_without_service_those_of_all() {
        let mut cells = Cells::default();
        for (lost, oldest_lost_ms, unavailable_ms) in [(0, 0, 10), (3, 400, 5_000), (1, 100, 6_000), (2, 300, 7_000)] {
            cells.add(&RunRecord { unavailable_ms, ..lossy(lost, oldest_lost_ms) });
        }
        let (_, cell) = cells.iter().next().expect("one cell");
        assert_eq!((cell.oldest_lost_ms.median(), cell.oldest_lost_ms.max()), (Some(300), Some(400)));
        assert_eq!((cell.unavailable_ms.median(), cell.unavailable_ms.max()), (Some(5_000), Some(7_000)));
    }
}
