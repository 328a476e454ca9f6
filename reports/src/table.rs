//! The matrix on a terminal: a block for each mode and flush, a row for each fault, and the commands that show the worst
//! trials.
//!
//! It is made for 120 columns, and folds to fewer columns of the table where that is too wide (80 columns are enough then).
//! Sequences of faults stand on two lines. Without a given width nothing is folded.

use crate::{
    cells::{Cell, CellKey, Cells},
    columns::{
        BOUND, Column, DUPLICATES, FAULT, INTERVAL, LEGEND, LEGEND_WIDE, LOST, NO_SERVICE, NO_SERVICE_MAX, OLDEST,
        OLDEST_MAX, PROMISE, WITH_LOSS, mode, outcome,
    },
    record::Verdict,
};
use std::fmt::Write;

/// Everything.
const WIDE: [Column; 9] = [
    FAULT,
    PROMISE,
    WITH_LOSS,
    INTERVAL,
    LOST,
    Column { header: "oldest lost\nmedian / max", ..OLDEST },
    BOUND,
    Column { header: "no service\nmedian / max", ..NO_SERVICE },
    DUPLICATES,
];
/// Without interval, medians and duplicates.
const NARROW: [Column; 7] = [
    FAULT,
    PROMISE,
    Column { header: "with\nloss", ..WITH_LOSS },
    LOST,
    OLDEST_MAX,
    BOUND,
    Column { header: "no\nservice", ..NO_SERVICE_MAX },
];

const INDENT: &str = "  ";
const GAP: usize = 2;

/// How to print the matrix.
#[derive(Clone, Copy, Debug, Default)]
pub struct TableStyle {
    /// The columns of the terminal, if it is one.
    pub width: Option<usize>,
    /// With ANSI colours.
    pub has_colour: bool,
}

/// What a piece of text is, for its colour.
#[derive(Clone, Copy)]
enum Tone {
    Heading,
    Note,
    Good,
    Warning,
    Bad,
}

impl Tone {
    /// The SGR parameters of ECMA-48.
    fn sgr(self) -> &'static str {
        match self {
            Tone::Heading => "1",
            Tone::Note => "2",
            Tone::Good => "32",
            Tone::Warning => "33",
            Tone::Bad => "1;31",
        }
    }
}

impl TableStyle {
    fn paint(self, tone: Tone, text: &str) -> String {
        if self.has_colour { format!("\u{1b}[{}m{text}\u{1b}[0m", tone.sgr()) } else { text.to_owned() }
    }
}

impl Cells {
    /// The table, with the commands that run the worst trials again below it.
    pub fn text(&self, style: TableStyle) -> String {
        let wide = Widths::of(self, &WIDE);
        let is_narrow = style.width.is_some_and(|width| wide.total() > width);
        let (columns, widths) = if is_narrow { (&NARROW[..], Widths::of(self, &NARROW)) } else { (&WIDE[..], wide) };
        let mut text = String::new();
        for header in headers(columns) {
            let header = line(columns, &widths, &header, |_, value| value);
            let _ = writeln!(text, "{}", style.paint(Tone::Note, &header));
        }
        for block in self.blocks() {
            if let Some((key, _)) = block.first() {
                let _ =
                    writeln!(text, "\n{}", style.paint(Tone::Heading, &format!("{}, {} flush", mode(key), key.flush)));
            }
            for (key, cell) in block {
                row(columns, &widths, key, cell, style, &mut text);
            }
        }
        text.push('\n');
        let mut notes = LEGEND.map(str::to_owned).to_vec();
        if is_narrow {
            let full = Widths::of(self, &WIDE).total();
            notes.push(format!("A terminal of {full} columns shows intervals, medians and duplicates, too."));
        } else {
            notes.extend(LEGEND_WIDE.map(str::to_owned));
        }
        for note in notes {
            let _ = writeln!(text, "{}", style.paint(Tone::Note, &note));
        }
        self.write_worst(style, &mut text);
        text
    }

    /// The worst trial of each cell that has one, broken promises first.
    fn write_worst(&self, style: TableStyle, text: &mut String) {
        for (title, tone, is_bad) in [
            ("broken or not live: the worst trial of each cell", Tone::Bad, true),
            ("losses that the promise allows: the worst trial of each cell", Tone::Heading, false),
        ] {
            let worst = self.by_block().filter(|(_, cell)| cell.is_bad() == is_bad);
            let worst = worst.filter_map(|(_, cell)| cell.worst.as_ref()).collect::<Vec<_>>();
            if worst.is_empty() {
                continue;
            }
            let _ = writeln!(text, "\n{}", style.paint(tone, title));
            for worst in worst {
                // What follows the # is a comment to a shell, so that the whole line can be pasted.
                let comment = style.paint(Tone::Note, &format!("  # {}", outcome(worst)));
                let _ = writeln!(text, "{INDENT}{}{comment}", worst.command);
            }
        }
    }
}

/// How wide each column is.
struct Widths(Vec<usize>);

impl Widths {
    fn of(cells: &Cells, columns: &[Column]) -> Widths {
        let width = |column: &Column| {
            let values = cells.iter().flat_map(|(key, cell)| folded(&(column.value)(key, cell)));
            let header = column.header.lines().map(str::to_owned);
            values.chain(header).map(|value| value.chars().count()).max().unwrap_or(0)
        };
        Widths(columns.iter().map(width).collect())
    }

    fn total(&self) -> usize {
        INDENT.len() + self.0.iter().sum::<usize>() + GAP * self.0.len().saturating_sub(1)
    }
}

/// The lines of the header; those of one line stand on the last.
fn headers(columns: &[Column]) -> Vec<Vec<String>> {
    let height = columns.iter().map(|column| column.header.lines().count()).max().unwrap_or(0);
    let value = |column: &Column, index: usize| {
        let above = height - column.header.lines().count();
        index.checked_sub(above).and_then(|index| column.header.lines().nth(index)).unwrap_or_default().to_owned()
    };
    (0..height).map(|index| columns.iter().map(|column| value(column, index)).collect()).collect()
}

/// A sequence of faults on a line for each; everything else as it is.
fn folded(value: &str) -> Vec<String> {
    let parts = value.split('+').enumerate();
    parts.map(|(index, part)| if index == 0 { part.to_owned() } else { format!("  +{part}") }).collect()
}

/// One line, padded; `paint` colours a value after that.
fn line(columns: &[Column], widths: &Widths, values: &[String], paint: impl Fn(&Column, String) -> String) -> String {
    let mut line = INDENT.to_owned();
    for (index, (column, value)) in columns.iter().zip(values).enumerate() {
        let gap = " ".repeat(widths.0[index].saturating_sub(value.chars().count()));
        let between = if index == 0 { "" } else { "  " };
        let value = paint(column, value.clone());
        let _ = if column.is_number {
            write!(line, "{between}{gap}{value}")
        } else {
            write!(line, "{between}{value}{gap}")
        };
    }
    line.truncate(line.trim_end().len());
    line
}

fn row(columns: &[Column], widths: &Widths, key: &CellKey, cell: &Cell, style: TableStyle, text: &mut String) {
    let mut values = columns.iter().map(|column| (column.value)(key, cell)).collect::<Vec<_>>();
    let mut fault = folded(&values[0]).into_iter();
    values[0] = fault.next().unwrap_or_default();
    let tone = match (cell.panicked, cell.verdict()) {
        (0, Verdict::Held) => Tone::Good,
        (0, Verdict::NotLive) => Tone::Warning,
        _ => Tone::Bad,
    };
    let paint = |column: &Column, value: String| {
        if column.header == PROMISE.header { style.paint(tone, &value) } else { value }
    };
    let _ = writeln!(text, "{}", line(columns, widths, &values, paint));
    for rest in fault {
        let _ = writeln!(text, "{INDENT}{rest}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn at_120_columns() {
        let text = fixture::cells().text(TableStyle { width: Some(120), has_colour: false });
        assert!(table_lines(&text).all(|line| line.chars().count() <= 120), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn at_80_columns() {
        let text = fixture::cells().text(TableStyle { width: Some(80), has_colour: false });
        assert!(table_lines(&text).all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text);
    }

    /// All but the commands, which must stay whole.
    fn table_lines(text: &str) -> impl Iterator<Item = &str> {
        text.lines().filter(|line| !line.contains("cargo staticfire"))
    }

    #[test]
    fn without_a_terminal_nothing_is_folded() {
        let cells = fixture::cells();
        let wide = TableStyle { width: Some(10_000), has_colour: false };
        assert_eq!(cells.text(TableStyle::default()), cells.text(wide));
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let cells = fixture::cells();
        for width in [Some(80), Some(120)] {
            let painted = cells.text(TableStyle { width, has_colour: true });
            assert!(painted.contains("\u{1b}[32mheld") && painted.contains("\u{1b}[1;31mBROKEN ×1"), "{painted}");
            let mut plain = String::new();
            for (index, piece) in painted.split('\u{1b}').enumerate() {
                plain.push_str(if index == 0 { piece } else { piece.split_once('m').expect("a sequence ends").1 });
            }
            let trimmed = plain.lines().map(str::trim_end).collect::<Vec<_>>();
            let expected = cells.text(TableStyle { width, has_colour: false });
            assert_eq!(trimmed, expected.lines().collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_empty_matrix_is_a_header() {
        let text = Cells::default().text(TableStyle::default());
        assert!(text.lines().nth(1).is_some_and(|line| line.starts_with("  fault  promise")), "{text}");
    }
}
