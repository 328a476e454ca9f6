//! How far a broker's log went when it sent a table that speaks of the log.
//!
//! A table of delay offsets says which delayed messages have been delivered, that is, stored once more. Whoever takes over
//! such a table without having those stored copies would never deliver them. So a broker of ours says along with its
//! tables where its log ends, and in which epoch; Apache's does not, and ignores it.

use protocol::{PhysicalOffset, RemotingCommand};
use store::{EpochEntry, MessageStore};

const EPOCH_FIELD: &str = "haEpochId";
const END_FIELD: &str = "haLogEnd";

/// A place in the history of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogPosition {
    /// The id of the last epoch; `None` before the first.
    pub epoch_id: Option<u64>,
    /// The log's end.
    pub end: PhysicalOffset,
}

impl LogPosition {
    /// Where this store's log ends now.
    pub(crate) fn of(store: &MessageStore) -> Self {
        Self { epoch_id: store.epochs().last().map(|epoch| epoch.id), end: store.max_physical_offset() }
    }

    /// Says it along with a response.
    pub(crate) fn attach(self, response: RemotingCommand) -> RemotingCommand {
        let response = response.with_field(END_FIELD, &self.end.to_string());
        match self.epoch_id {
            Some(id) => response.with_field(EPOCH_FIELD, &id.to_string()),
            None => response,
        }
    }

    /// What a response says; `None` from Apache's broker.
    pub(crate) fn read(response: &RemotingCommand) -> Option<Self> {
        let end = response.ext_fields.get(END_FIELD)?.parse().ok().map(PhysicalOffset)?;
        Some(Self { epoch_id: response.ext_fields.get(EPOCH_FIELD).and_then(|id| id.parse().ok()), end })
    }

    /// Whether a log with these epochs and this end has everything up to here.
    pub(crate) fn is_within(self, epochs: &[EpochEntry], log_end: PhysicalOffset) -> bool {
        let Some(id) = self.epoch_id else { return self.end == PhysicalOffset::ZERO };
        let Some(place) = epochs.iter().rposition(|epoch| epoch.id == id) else { return false };
        let epoch_end = epochs.get(place + 1).map_or(log_end, |next| next.start);
        self.end <= epoch_end.min(log_end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(u64, i64)]) -> Vec<EpochEntry> {
        entries.iter().map(|&(id, start)| EpochEntry { id, start: PhysicalOffset(start) }).collect()
    }

    #[test]
    fn a_log_has_what_lies_before_the_end_of_the_epoch_in_it() {
        let ours = epochs(&[(7, 0), (9, 100)]);
        let within = |id: Option<u64>, end: i64| {
            LogPosition { epoch_id: id, end: PhysicalOffset(end) }.is_within(&ours, PhysicalOffset(150))
        };
        assert!(within(Some(7), 100));
        assert!(!within(Some(7), 101), "the rest of that epoch was cut off here");
        assert!(within(Some(9), 150));
        assert!(!within(Some(9), 151));
        assert!(!within(Some(8), 10), "another history");
        assert!(within(None, 0), "an empty log is within every log");
    }

    #[test]
    fn it_travels_with_a_response() {
        let position = LogPosition { epoch_id: Some(u64::MAX >> 1), end: PhysicalOffset(12) };
        assert_eq!(LogPosition::read(&position.attach(RemotingCommand::response(0))), Some(position));
        assert_eq!(LogPosition::read(&RemotingCommand::response(0)), None);
    }
}
