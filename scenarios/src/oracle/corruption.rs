//! Corruption: a message delivered or stored with another body than it was sent with.

use super::{finding, ledger::Ledger};
use reports::Finding;

/// Finds the damaged messages.
pub fn find(ledger: &Ledger) -> Vec<Finding> {
    let damaged = ledger.messages.iter().filter(|(_, entry)| !entry.corrupted.is_empty());
    damaged
        .map(|(id, entry)| {
            let (queue, offset) = &entry.corrupted[0];
            finding("corruption", format!("{id} at {queue} offset {offset} has another body than was sent"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{history::Event, oracle::fixture::*};

    #[test]
    fn the_same_body_is_fine_and_another_is_not() {
        let mut history = good(1, 1, 0);
        assert_eq!(find(&Ledger::new(&history)), []);
        history.push(Event::Stored { id: Some(id(1)), checksum: 99, queue: QUEUE.into(), offset: 0 });
        assert_eq!(find(&Ledger::new(&history)).len(), 1);
    }
}
