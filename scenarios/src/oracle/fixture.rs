//! Short histories for the oracles' tests: one producer, one queue, times in milliseconds.

use crate::{
    history::{Event, Outcome},
    message::MessageId,
};

pub const QUEUE: &str = "broker-a/T/0";
pub const MS: u64 = 1_000_000;

pub fn id(sequence: u32) -> MessageId {
    MessageId { producer: 1, sequence }
}

pub fn send(sequence: u32, at_ms: u64) -> Event {
    Event::Send { at_ns: at_ms * MS, id: id(sequence), bytes: 100, checksum: sequence }
}

pub fn sent(sequence: u32, at_ms: u64, outcome: Outcome) -> Event {
    Event::Sent { at_ns: at_ms * MS, id: id(sequence), outcome, queue: None, offset: None, why: None }
}

pub fn acked(sequence: u32, at_ms: u64, offset: i64) -> Event {
    Event::Sent {
        at_ns: at_ms * MS,
        id: id(sequence),
        outcome: Outcome::Ok,
        queue: Some(QUEUE.into()),
        offset: Some(offset),
        why: None,
    }
}

pub fn delivered(sequence: u32, at_ms: u64, offset: i64) -> Event {
    Event::Delivered {
        at_ns: at_ms * MS,
        consumer: 1,
        id: Some(id(sequence)),
        checksum: sequence,
        queue: QUEUE.into(),
        offset,
    }
}

pub fn stored(sequence: u32, offset: i64) -> Event {
    Event::Stored { id: Some(id(sequence)), checksum: sequence, queue: QUEUE.into(), offset }
}

pub fn offsets(min: i64, max: i64, committed: Option<i64>) -> Event {
    Event::Offsets { queue: QUEUE.into(), min, max, committed }
}

pub fn power_loss(at_ms: u64) -> Event {
    Event::Fault { at_ns: at_ms * MS, host: "broker-a".into(), what: "power cut".into(), destroys: true }
}

/// A message that went through everything as it should.
pub fn good(sequence: u32, at_ms: u64, offset: i64) -> Vec<Event> {
    vec![
        send(sequence, at_ms),
        acked(sequence, at_ms + 1, offset),
        delivered(sequence, at_ms + 2, offset),
        stored(sequence, offset),
    ]
}
