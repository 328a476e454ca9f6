//! The columns of the matrix: what each says of a cell, in words. Terminal and Markdown show the same ones.

use crate::{
    cells::{Cell, CellKey, WorstTrial},
    record::{HARDENED, LossPromise, Verdict},
    text::{count, duration_ms, median_and_max_ms, short_ms},
};

/// What stands where there is nothing to say.
const NOTHING: &str = "–";

/// One column.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    pub header: &'static str,
    /// Numbers stand to the right, words to the left.
    pub is_number: bool,
    pub value: fn(&CellKey, &Cell) -> String,
}

const fn words(header: &'static str, value: fn(&CellKey, &Cell) -> String) -> Column {
    Column { header, is_number: false, value }
}

const fn number(header: &'static str, value: fn(&CellKey, &Cell) -> String) -> Column {
    Column { header, is_number: true, value }
}

pub(crate) const MODE: Column = words("mode", |key, _| mode(key));
pub(crate) const FLUSH: Column = words("flush", |key, _| key.flush.clone());
pub(crate) const FAULT: Column = words("fault", |key, _| key.fault.clone());
pub(crate) const PROMISE: Column = words("promise", |_, cell| promise(cell));
/// Trials with a loss, of how many.
pub(crate) const WITH_LOSS: Column =
    number("with loss", |_, cell| format!("{}/{}", count(cell.trials_with_loss), count(cell.trials)));
pub(crate) const INTERVAL: Column = number("95 %", |_, cell| {
    if cell.trials == 0 {
        return NOTHING.to_owned();
    }
    let interval = cell.loss_interval();
    // Rounded outwards, so that the interval that is shown covers the exact one.
    format!("{:.0}–{:.0} %", (interval.low * 100.0).floor(), (interval.high * 100.0).ceil())
});
pub(crate) const LOST: Column = number("lost", |_, cell| count(cell.lost));
pub(crate) const OLDEST: Column =
    number("oldest lost", |_, cell| match (cell.oldest_lost_ms.median(), cell.oldest_lost_ms.max()) {
        // In milliseconds as far as a bound reaches, for the comparison with it.
        (Some(median), Some(max)) => median_and_max_ms(median, max, 20_000),
        _ => NOTHING.to_owned(),
    });
pub(crate) const OLDEST_MAX: Column =
    number("oldest", |_, cell| cell.oldest_lost_ms.max().map_or_else(|| NOTHING.to_owned(), duration_ms));
pub(crate) const BOUND: Column = number("bound", |_, cell| match cell.loss_promise {
    Some(LossPromise::None) => "none".to_owned(),
    Some(LossPromise::Window { bound_ms }) => duration_ms(bound_ms),
    Some(LossPromise::Oldest) => "oldest".to_owned(),
    Some(LossPromise::Host) => "host".to_owned(),
    None => NOTHING.to_owned(),
});
pub(crate) const NO_SERVICE: Column =
    number("no service", |_, cell| match (cell.unavailable_ms.median(), cell.unavailable_ms.max()) {
        (Some(median), Some(max)) => median_and_max_ms(median, max, 1_000),
        _ => NOTHING.to_owned(),
    });
pub(crate) const NO_SERVICE_MAX: Column =
    number("no service", |_, cell| cell.unavailable_ms.max().map_or_else(|| NOTHING.to_owned(), short_ms));
pub(crate) const DUPLICATES: Column = number("dup./1000", |_, cell| match cell.duplicates_per_1000() {
    _ if cell.trials == 0 => NOTHING.to_owned(),
    few if few > 0.0 && few < 9.95 => format!("{few:.1}"),
    many => format!("{many:.0}"),
});

/// The mode, and the profile where it is not the one that is meant when nothing is said.
pub(crate) fn mode(key: &CellKey) -> String {
    if key.profile == HARDENED { key.mode.clone() } else { format!("{} ({})", key.mode, key.profile) }
}

fn promise(cell: &Cell) -> String {
    match (cell.panicked, cell.verdict()) {
        (0, Verdict::Held) => "held".to_owned(),
        (0, Verdict::NotLive) => format!("NOT LIVE ×{}", count(cell.not_live)),
        (0, Verdict::Broken) => format!("BROKEN ×{}", count(cell.broken)),
        (panicked, _) => format!("PANICKED ×{}", count(panicked)),
    }
}

/// What the worst trial of a cell shows, in a few words.
pub(crate) fn outcome(worst: &WorstTrial) -> String {
    let Some(outcome) = worst.outcome else { return "panicked".to_owned() };
    let verdict = match outcome.verdict {
        Verdict::Held => None,
        Verdict::NotLive => Some("not live".to_owned()),
        Verdict::Broken => Some("broken".to_owned()),
    };
    let loss = (outcome.lost > 0).then(|| {
        format!("{} lost, oldest {} before the fault", count(outcome.lost), duration_ms(outcome.oldest_lost_ms))
    });
    verdict.into_iter().chain(loss).collect::<Vec<_>>().join(": ")
}

/// How to read the columns that every table has.
pub(crate) const LEGEND: [&str; 6] = [
    "with loss    trials that lost an acknowledged message, of all",
    "oldest lost  how long before the fault it had been acknowledged, over the",
    "             trials with loss; bound: how long that may be by the promise",
    "             (none: nothing may be lost; oldest: what a full disk has made the",
    "             broker delete; host: what only the lost host had)",
    "no service   the longest time of a trial without a successful send",
];
/// How to read those that only a wide one has.
pub(crate) const LEGEND_WIDE: [&str; 2] = [
    "95 %         the interval of the proportion of trials with loss (Clopper-Pearson)",
    "dup./1000    repeated deliveries per thousand messages delivered",
];
