//! The records of a sweep as they stand on disk: JSON Lines, one [`RunRecord`] a line, in the order of the trials.

use crate::record::RunRecord;
use std::io::{self, BufRead, Write};

/// A file of records that is none.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    #[error("line {line} is not the record of a run: {source}")]
    Line { line: usize, source: serde_json::Error },
    #[error("cannot read line {line}: {source}")]
    Read { line: usize, source: io::Error },
}

/// Writes one record as a line.
///
/// # Errors
/// Those of the output.
pub fn write_record(record: &RunRecord, mut output: impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut output, record)?;
    output.write_all(b"\n")
}

/// Reads records one by one, so that a file of any size can be read; empty lines are passed over.
///
/// ```
/// # fn main() -> Result<(), reports::RecordsError> {
/// let file = b""; // std::io::BufReader of target/staticfire/demo/records.jsonl
/// let mut cells = reports::Cells::default();
/// for record in reports::read_records(&file[..]) {
///     cells.add(&record?);
/// }
/// println!("{}", cells.markdown());
/// # Ok(())
/// # }
/// ```
pub fn read_records(input: impl BufRead) -> impl Iterator<Item = Result<RunRecord, RecordsError>> {
    (1..).zip(input.lines()).filter_map(|(line, text)| match text {
        Ok(text) if text.trim().is_empty() => None,
        Ok(text) => Some(serde_json::from_str(&text).map_err(|source| RecordsError::Line { line, source })),
        Err(source) => Some(Err(RecordsError::Read { line, source })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cells::Cells,
        fixture::{lossy, record},
    };

    #[test]
    fn the_matrix_can_be_had_from_the_file() {
        let mut cells = Cells::default();
        let mut file = Vec::new();
        for trial in [record(), lossy(3, 120), RunRecord { settings: vec!["a=b".to_owned()], ..lossy(9, 10) }] {
            cells.add(&trial);
            write_record(&trial, &mut file).expect("memory");
        }
        let mut again = Cells::default();
        for trial in read_records(&file[..]) {
            again.add(&trial.expect("what was just written"));
        }
        assert_eq!(again, cells);
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = read_records(&b"\n{\"seed\":1}\n"[..]).next().expect("a line").expect_err("no record");
        assert!(error.to_string().starts_with("line 2 is not the record of a run: missing field"), "{error}");
    }
}
