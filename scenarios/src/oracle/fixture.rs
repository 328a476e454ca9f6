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

/// Something that destroys messages of this host, of [`QUEUE`]'s broker.
fn fault(at_ms: u64, host: &str, what: &str, full: bool) -> Event {
    let broker = Some("broker-a".into());
    Event::Fault { at_ns: at_ms * MS, host: host.into(), what: what.into(), destroys: true, full, broker }
}

pub fn power_loss(at_ms: u64) -> Event {
    fault(at_ms, "broker-a", "power cut", false)
}

/// The disk of this host is full.
pub fn disk_full(at_ms: u64, host: &str) -> Event {
    fault(at_ms, host, "disk full", true)
}

/// A power loss of the host of another broker name than [`QUEUE`]'s.
pub fn power_loss_elsewhere(at_ms: u64) -> Event {
    let (host, what, broker) = ("broker-b".into(), "power cut".into(), Some("broker-b".into()));
    Event::Fault { at_ns: at_ms * MS, host, what, destroys: true, full: false, broker }
}

/// The bounds of the log of a replica of [`QUEUE`]'s broker: of the master, or of its slave.
pub fn replica(is_master: bool, min: u64, max: u64) -> Event {
    Event::Replica { broker: "broker-a".into(), host: host(is_master), master: is_master, min, max }
}

/// A record of 100 bytes in it, of the message with this sequence.
pub fn record(is_master: bool, physical: u64, sequence: u32, offset: i64) -> Event {
    Event::Record {
        host: host(is_master),
        physical,
        checksum: sequence,
        queue: QUEUE.into(),
        offset,
        id: Some(id(sequence)),
    }
}

fn host(is_master: bool) -> std::sync::Arc<str> {
    if is_master { "broker-a" } else { "broker-a-s" }.into()
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
