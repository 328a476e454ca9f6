//! A table of configuration, and which of its rows have changed since when: who keeps a copy of it, a file or a name server, is
//! told what it does not have yet.
//!
//! Each change has a number, counted from 1 in this life of the broker. A copy that has everything up to a number lacks the rows
//! that changed after it ([`Tracked::since`]); of one that is too far behind nothing is known but that it lacks something.
//!
//! A table is sent as a whole, in one frame: to name servers, to slaves, to consoles. So it takes no row that would make it longer
//! than that, and whoever asked for it is told; the rows that are there go on.

use std::collections::BTreeMap;
use std::ops::Deref;

use bytes::Bytes;
use protocol::body::ConfigTable;
use protocol::frame::FRAME_BYTES_MAX;

use super::encoded::Encoded;

/// So many more changes than there are rows are remembered.
const REMEMBERED_MIN: usize = 1_024;

/// The most bytes of the rows of a table as it is sent. The rest of a frame is for what is sent with them.
pub const ROWS_BYTES_MAX: usize = FRAME_BYTES_MAX - (2 << 20);

/// A table cannot take another row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name} was not made: the table that it belongs to has {rows} rows and may have {ROWS_BYTES_MAX} bytes as it is sent, \
     which is what fits into one frame. Delete what nobody uses"
)]
pub struct TableFull {
    /// The row that it would not take.
    pub name: String,
    /// How many rows it has.
    pub rows: usize,
}

/// The number of a change; 0 is before the first.
pub type ChangeNumber = u64;

/// See the module's head.
#[derive(Clone, Debug, Default)]
pub struct Tracked<T: ConfigTable> {
    table: Encoded<T>,
    /// How long the rows are as they are sent.
    rows_bytes: usize,
    /// The last change.
    last: ChangeNumber,
    /// What the table's file has.
    saved: ChangeNumber,
    /// Of changes up to here it is not known any more which rows they were of.
    forgotten: ChangeNumber,
    /// By the number of a row's last change.
    rows_by_change: BTreeMap<ChangeNumber, String>,
    /// The other way round.
    change_of_row: BTreeMap<String, ChangeNumber>,
}

impl<T: ConfigTable> Deref for Tracked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.table
    }
}

impl<T: ConfigTable> Tracked<T> {
    /// A table as its file has it.
    #[must_use]
    pub fn saved(table: T) -> Self {
        Self { rows_bytes: rows_bytes(&table), table: table.into(), ..Self::default() }
    }

    /// The table as it is sent.
    #[must_use]
    pub fn json(&self) -> Bytes {
        self.table.json()
    }

    /// Sets a row, as a new version of the table.
    ///
    /// # Errors
    /// The table would be longer than what can be sent; it is as it was.
    pub fn put(&mut self, name: &str, row: T::Row, now_ms: i64) -> Result<(), TableFull> {
        self.put_all(vec![(name.to_owned(), row)], now_ms)
    }

    /// Sets several rows, each as a new version of the table; none of them if there is no room for all.
    ///
    /// # Errors
    /// The table would have more bytes than can be sent.
    pub fn put_all(&mut self, rows: Vec<(String, T::Row)>, now_ms: i64) -> Result<(), TableFull> {
        let mut all_bytes = self.rows_bytes;
        for (name, row) in &rows {
            let old_bytes = self.table.rows().get(name).map_or(0, |old| row_bytes::<T>(name, old));
            let longer_by = row_bytes::<T>(name, row).saturating_sub(old_bytes);
            all_bytes += longer_by;
            if longer_by > 0 && all_bytes > ROWS_BYTES_MAX {
                return Err(TableFull { name: name.clone(), rows: self.table.rows().len() });
            }
        }
        for (name, row) in rows {
            self.put_quietly(&name, row);
            self.table.version_mut().next_version(now_ms);
        }
        Ok(())
    }

    /// Sets a row; the version stays.
    pub fn put_quietly(&mut self, name: &str, row: T::Row) {
        self.rows_bytes += row_bytes::<T>(name, &row);
        if let Some(old) = self.table.rows_mut().insert(name.to_owned(), row) {
            self.rows_bytes -= row_bytes::<T>(name, &old);
        }
        self.note(name);
    }

    /// Takes a row away, as a new version of the table; says whether it was there.
    pub fn remove(&mut self, name: &str, now_ms: i64) -> bool {
        let Some(row) = self.table.rows_mut().remove(name) else { return false };
        self.rows_bytes -= row_bytes::<T>(name, &row);
        self.table.version_mut().next_version(now_ms);
        self.note(name);
        true
    }

    /// A new version, although no row has changed.
    pub fn next_version(&mut self, now_ms: i64) {
        self.table.version_mut().next_version(now_ms);
        self.last += 1;
    }

    /// The version's counter becomes at least this.
    pub fn raise_counter(&mut self, counter: i64) {
        let version = self.table.version_mut();
        version.counter = version.counter.max(counter);
        self.last += 1;
    }

    /// Becomes another table; gives the names of the rows that are no more.
    pub fn replace(&mut self, table: T) -> Vec<String> {
        self.rows_bytes = rows_bytes(&table);
        let old = std::mem::replace(&mut self.table, table.into());
        let gone: Vec<String> =
            old.rows().keys().filter(|name| !self.table.rows().contains_key(*name)).cloned().collect();
        let new = self.table.rows().iter().filter(|(name, row)| old.rows().get(*name) != Some(*row));
        let changed: Vec<String> = new.map(|(name, _)| name.clone()).collect();
        for name in gone.iter().chain(&changed) {
            self.note(name);
        }
        // The version is another one.
        self.last += 1;
        gone
    }

    fn note(&mut self, name: &str) {
        self.last += 1;
        if let Some(earlier) = self.change_of_row.insert(name.to_owned(), self.last) {
            self.rows_by_change.remove(&earlier);
        }
        self.rows_by_change.insert(self.last, name.to_owned());
        if self.rows_by_change.len() > self.table.rows().len() + REMEMBERED_MIN {
            self.forget();
        }
    }

    /// Rows that come and go shall not be remembered for ever.
    fn forget(&mut self) {
        for _ in 0..self.rows_by_change.len() / 2 {
            if let Some((number, name)) = self.rows_by_change.pop_first() {
                self.forgotten = number;
                self.change_of_row.remove(&name);
            }
        }
    }

    /// The number of the last change.
    #[must_use]
    pub fn last_change(&self) -> ChangeNumber {
        self.last
    }

    /// The rows that a copy which has everything up to change `number` does not have as they are: their names, and what they are
    /// now, if they are. `None` if that is not known any more.
    #[must_use]
    pub fn since(&self, number: ChangeNumber) -> Option<BTreeMap<String, Option<T::Row>>> {
        if number < self.forgotten {
            return None;
        }
        let changed = self.rows_by_change.range(number + 1..).map(|(_, name)| name);
        Some(changed.map(|name| (name.clone(), self.table.rows().get(name).cloned())).collect())
    }

    /// What the file has.
    #[must_use]
    pub fn saved_change(&self) -> ChangeNumber {
        self.saved
    }

    /// The file has everything up to this change.
    pub fn mark_saved(&mut self, number: ChangeNumber) {
        self.saved = self.saved.max(number);
    }

    /// Whether the file has everything.
    #[must_use]
    pub fn is_saved(&self) -> bool {
        self.saved == self.last
    }

    /// Whether the file has this row as it is.
    #[must_use]
    pub fn is_row_saved(&self, name: &str) -> bool {
        // The rule, which costs nothing.
        self.is_saved()
            || (self.forgotten <= self.saved && self.change_of_row.get(name).is_none_or(|number| *number <= self.saved))
    }
}

/// How long a row is as it is sent, with its name, a colon and a comma.
fn row_bytes<T: ConfigTable>(name: &str, row: &T::Row) -> usize {
    // In brackets, with a comma: as many bytes and one more.
    serde_json::to_vec(&(name, row)).map_or(0, |json| json.len() - 1)
}

fn rows_bytes<T: ConfigTable>(table: &T) -> usize {
    table.rows().iter().map(|(name, row)| row_bytes::<T>(name, row)).sum()
}

/// What is built around such a table.
pub trait Holds {
    /// The table.
    type Table: ConfigTable;

    /// The table with its changes.
    fn tracked(&self) -> &Tracked<Self::Table>;

    /// The table with its changes, to change it.
    fn tracked_mut(&mut self) -> &mut Tracked<Self::Table>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use protocol::body::{TopicConfig, TopicConfigSerializeWrapper};

    fn row(queues: i32) -> TopicConfig {
        TopicConfig::new("", queues, 6)
    }

    #[test]
    fn a_row_is_saved_when_its_last_change_is() {
        let mut table = Tracked::saved(TopicConfigSerializeWrapper::default());
        assert!(table.is_saved() && table.is_row_saved("A"));
        table.put("A", row(1), 1).expect("there is room");
        table.put("B", row(1), 2).expect("there is room");
        assert!(!table.is_row_saved("A"));
        table.mark_saved(1);
        assert!(table.is_row_saved("A") && !table.is_row_saved("B") && !table.is_saved());
        table.put("A", row(2), 3).expect("there is room");
        table.mark_saved(2);
        assert!(!table.is_row_saved("A") && table.is_row_saved("B"));
        table.mark_saved(3);
        assert!(table.is_saved());
        table.next_version(4);
        assert!(!table.is_saved() && table.is_row_saved("A"));
        assert_eq!(table.data_version.counter, 4);
    }

    #[test]
    fn what_comes_and_goes_is_forgotten() {
        let mut table = Tracked::saved(TopicConfigSerializeWrapper::default());
        for number in 0..10_000 {
            table.put(&format!("T{number}"), row(1), 1).expect("there is room");
            table.remove(&format!("T{number}"), 1);
        }
        assert!(table.rows_by_change.len() <= REMEMBERED_MIN && table.change_of_row.len() <= REMEMBERED_MIN);
        assert_eq!(table.since(0), None);
        assert!(table.since(table.last_change()).is_some_and(|rows| rows.is_empty()));
        assert!(!table.is_row_saved("T9999"));
    }

    #[test]
    fn a_table_takes_no_more_than_can_be_sent_and_what_is_there_goes_on() {
        let mut table = Tracked::saved(TopicConfigSerializeWrapper::default());
        let name = |number: usize| format!("{number:0>120}");
        let full = (0..).find_map(|number| table.put(&name(number), row(8), 1).err()).expect("there is an end");
        assert_eq!(full.rows, table.rows().len());
        assert!(table.json().len() <= ROWS_BYTES_MAX + 1024 && table.json().len() > ROWS_BYTES_MAX - 1024);
        assert!(table.rows().get(&full.name).is_none() && full.to_string().contains("Delete what nobody uses"));
        table.put(&name(7), row(4), 1).expect("it becomes no longer");
        assert!(table.remove(&name(0), 1));
        let version = table.data_version.clone();
        let two = vec![(name(7), row(1)), (full.name.clone(), row(8)), (format!("{}-", full.name), row(8))];
        assert!(table.put_all(two, 2).is_err(), "there is room for one");
        assert_eq!(table.rows()[&name(7)], row(4), "none of them, if not all");
        assert!(!table.rows().contains_key(&full.name) && table.data_version == version);
        table.put(&full.name, row(8), 1).expect("there is room again");
    }

    proptest! {
        /// A copy that takes what it lacks, whenever it does, is the table.
        #[test]
        fn a_copy_catches_up(steps in prop::collection::vec((0_u8..6, 0_u8..5), 0..40)) {
            let mut table = Tracked::saved(TopicConfigSerializeWrapper::default());
            let (mut copy, mut has) = (BTreeMap::new(), 0);
            for (what, name) in steps {
                let name = format!("T{name}");
                match what {
                    0 | 1 => table.put(&name, row(i32::from(what)), 1).expect("there is room"),
                    2 => drop(table.remove(&name, 1)),
                    3 => {
                        let mut other = TopicConfigSerializeWrapper::default();
                        other.topic_config_table.insert(name, row(9));
                        drop(table.replace(other));
                    }
                    _ => {
                        for (name, row) in table.since(has).expect("it is not far behind") {
                            match row {
                                Some(row) => drop(copy.insert(name, row)),
                                None => drop(copy.remove(&name)),
                            }
                        }
                        has = table.last_change();
                        prop_assert_eq!(&copy, table.rows());
                    }
                }
                prop_assert_eq!(table.rows_bytes, rows_bytes(&*table.table));
            }
        }
    }
}
