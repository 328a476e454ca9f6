//! The matrix in Markdown: one table with all columns, and the commands that run the worst trials again.

use crate::{
    cells::Cells,
    columns::{
        BOUND, Column, DUPLICATES, FAULT, FLUSH, INTERVAL, LOST, MODE, NO_SERVICE, OLDEST, PROMISE, WITH_LOSS, outcome,
    },
};
use std::fmt::Write;

const COLUMNS: [Column; 11] = [
    MODE,
    FLUSH,
    FAULT,
    PROMISE,
    WITH_LOSS,
    INTERVAL,
    LOST,
    Column { header: "oldest lost (median / max)", ..OLDEST },
    BOUND,
    Column { header: "no service (median / max)", ..NO_SERVICE },
    DUPLICATES,
];

impl Cells {
    /// The matrix in GitHub's Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let mut row = |values: Vec<String>| {
            let _ = writeln!(text, "| {} |", values.join(" | "));
        };
        row(COLUMNS.iter().map(|column| column.header.to_owned()).collect());
        row(COLUMNS.iter().map(|column| if column.is_number { "---:" } else { "---" }.to_owned()).collect());
        for (key, cell) in self.by_block() {
            let values = COLUMNS.iter().map(|column| {
                let value = (column.value)(key, cell).replace('|', r"\|");
                let is_bad = column.header == PROMISE.header && cell.is_bad();
                if is_bad { format!("**{value}**") } else { value }
            });
            row(values.collect());
        }
        text.push_str(LEGEND);
        let worst = self.by_block().filter_map(|(_, cell)| cell.worst.as_ref()).collect::<Vec<_>>();
        if !worst.is_empty() {
            text.push_str("\nThe worst trial of each cell that lost messages or broke its promise:\n\n```sh\n");
            for worst in worst {
                let _ = writeln!(text, "{}  # {}", worst.command, outcome(worst));
            }
            text.push_str("```\n");
        }
        text
    }
}

/// How to read the columns.
const LEGEND: &str = "
*with loss*: trials that lost an acknowledged message, of all, with the 95 % interval of their proportion
(Clopper-Pearson). *oldest lost*: how long before the fault it had been acknowledged, over the trials with loss.
*bound*: how long that may be by the promise (*none*: nothing may be lost; *host*: what only the lost host had).
*no service*: the longest time of a trial without a successful send. *dup./1000*: repeated deliveries per thousand
messages delivered.
";

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn the_matrix() {
        insta::assert_snapshot!(fixture::cells().markdown());
    }
}
