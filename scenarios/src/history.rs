//! What happened, as seen from outside of the cluster: the only thing that oracles may look at.
//!
//! A history is a list of [`Event`]s in the order of time. Its file form is JSON Lines, one event a line, so that other
//! checkers can read it and other systems can be judged by our oracles:
//!
//! ```json
//! {"event":"send","at_ns":3000000000,"id":"p1-000001","bytes":512,"checksum":305419896}
//! {"event":"sent","at_ns":3001200000,"id":"p1-000001","outcome":"ok","queue":"broker-a/StaticfireTopic/2","offset":17}
//! {"event":"delivered","at_ns":3001900000,"consumer":2,"id":"p1-000001","checksum":305419896,"queue":"broker-a/StaticfireTopic/2","offset":17}
//! {"event":"fault","at_ns":21000000000,"host":"broker-a","what":"power cut","destroys":true,"broker":"broker-a"}
//! {"event":"fault","at_ns":30000000000,"host":"broker-a","what":"disk full but for 4096 bytes","destroys":true,"full":true,"broker":"broker-a"}
//! {"event":"healed","at_ns":50000000000}
//! {"event":"probe","at_ns":56100000000,"broker":"broker-a","ok":true}
//! {"event":"stored","id":"p1-000001","checksum":305419896,"queue":"broker-a/StaticfireTopic/2","offset":17}
//! {"event":"offsets","queue":"broker-a/StaticfireTopic/2","min":0,"max":18,"committed":18}
//! {"event":"replica","broker":"broker-a","host":"broker-a-s","master":false,"min":0,"max":1048900}
//! {"event":"record","host":"broker-a-s","physical":1048576,"checksum":2596996162,"queue":"broker-a/StaticfireTopic/2","offset":17,"id":"p1-000001"}
//! {"event":"end","at_ns":58000000000}
//! ```
//!
//! What was added later is optional: `broker` and `full` of a fault, `probe`, `replica` and `record`.

use crate::message::MessageId;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io::{self, BufRead, Write},
    sync::Arc,
};

/// A queue of the cluster: `broker/topic/number`.
pub type Queue = Arc<str>;

/// How a send ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// SEND_OK: the cluster promised to keep it.
    Ok,
    /// Definitely not done.
    Fail,
    /// It may have been done: no answer, or FLUSH_DISK_TIMEOUT, FLUSH_SLAVE_TIMEOUT, SLAVE_NOT_AVAILABLE.
    Unknown,
}

/// One event. Times are true simulated time in nanoseconds since the start of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase", deny_unknown_fields)]
pub enum Event {
    /// A producer begins to send a message.
    Send { at_ns: u64, id: MessageId, bytes: u32, checksum: u32 },
    /// And this is how it ended; the queue and offset are those of the answer.
    Sent {
        at_ns: u64,
        id: MessageId,
        outcome: Outcome,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        queue: Option<Queue>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<i64>,
        /// What the client said, where the outcome is not `ok`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<Arc<str>>,
    },
    /// A consumer is given a message. `id` is absent when the body names none.
    Delivered {
        at_ns: u64,
        consumer: u16,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<MessageId>,
        checksum: u32,
        queue: Queue,
        offset: i64,
    },
    /// Something was done to the cluster. `destroys`: it may have taken acknowledged messages with it; those of the queues
    /// of `broker`, or of all where that is absent. `full`: its disk is full, or was until now: of what it had it may have
    /// deleted the oldest, and nothing else.
    Fault {
        at_ns: u64,
        host: Arc<str>,
        what: Arc<str>,
        destroys: bool,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        full: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        broker: Option<Arc<str>>,
    },
    /// Something the cluster or the harness has to say: a broker that boots, or refuses to.
    Note { at_ns: u64, host: Arc<str>, what: Arc<str> },
    /// The load begins.
    Load { at_ns: u64 },
    /// Everything is healed: from now on the cluster must become live again.
    Healed { at_ns: u64 },
    /// The load ends.
    Unload { at_ns: u64 },
    /// After healing, a message was sent to each broker name in turn: whether it got SEND_OK in the end, and if not, why.
    Probe {
        at_ns: u64,
        broker: Arc<str>,
        ok: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<Arc<str>>,
    },
    /// At the end every queue is read from its first to its last message: this is one of them.
    Stored {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<MessageId>,
        checksum: u32,
        queue: Queue,
        offset: i64,
    },
    /// At the end: the bounds of a queue and the offset that the consumer group has committed, if it has one.
    Offsets {
        queue: Queue,
        min: i64,
        max: i64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        committed: Option<i64>,
    },
    /// At the end a queue could not be read.
    Unreadable { queue: Queue, why: Arc<str> },
    /// At the end, when replication had had time to finish, the log of every replica was read from its disk: this is one
    /// of them, from `min` to `max`.
    Replica { broker: Arc<str>, host: Arc<str>, master: bool, min: u64, max: u64 },
    /// A record of the log of the replica on `host`: its place, the checksum of its bytes, and what it says that it is.
    Record {
        host: Arc<str>,
        physical: u64,
        checksum: u32,
        queue: Queue,
        offset: i64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<MessageId>,
    },
    /// The run is over.
    End { at_ns: u64 },
}

impl Event {
    /// When it happened; what is read at the end has no time of its own.
    pub fn at_ns(&self) -> Option<u64> {
        match self {
            Event::Send { at_ns, .. }
            | Event::Sent { at_ns, .. }
            | Event::Delivered { at_ns, .. }
            | Event::Fault { at_ns, .. }
            | Event::Note { at_ns, .. }
            | Event::Load { at_ns }
            | Event::Healed { at_ns }
            | Event::Unload { at_ns }
            | Event::Probe { at_ns, .. }
            | Event::End { at_ns } => Some(*at_ns),
            Event::Stored { .. }
            | Event::Offsets { .. }
            | Event::Unreadable { .. }
            | Event::Replica { .. }
            | Event::Record { .. } => None,
        }
    }
}

/// Why a history file is none.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("line {line} is not an event of a history: {source}")]
    Line { line: usize, source: serde_json::Error },
    #[error("cannot read line {line}: {source}")]
    Read { line: usize, source: io::Error },
    #[error("line {line} cannot follow what comes before it: {why}")]
    Impossible { line: usize, why: String },
    #[error(
        "it is not whole: there is no `end` after its {events} events, so that what it lacks would be taken for what did not \
         happen"
    )]
    CutOff { events: usize },
}

/// Reads a history.
///
/// # Errors
/// The first line that is no event, or cannot be what happened next; and a history that is cut off.
pub fn read(input: impl BufRead) -> Result<Vec<Event>, HistoryError> {
    let mut events = Vec::new();
    let mut order = Order::default();
    for (line, text) in (1..).zip(input.lines()) {
        let text = text.map_err(|source| HistoryError::Read { line, source })?;
        if text.trim().is_empty() {
            continue;
        }
        let event = serde_json::from_str(&text).map_err(|source| HistoryError::Line { line, source })?;
        order.follow(&event).map_err(|why| HistoryError::Impossible { line, why })?;
        events.push(event);
    }
    if order.has_ended { Ok(events) } else { Err(HistoryError::CutOff { events: events.len() }) }
}

/// What has been, as far as it limits what can come: oracles rely on it.
#[derive(Default)]
struct Order {
    now_ns: u64,
    /// The messages that were sent, and whether their sends have ended.
    sends: BTreeMap<MessageId, bool>,
    has_ended: bool,
}

impl Order {
    fn follow(&mut self, event: &Event) -> Result<(), String> {
        if self.has_ended {
            return Err("the history has ended".to_owned());
        }
        if let Some(at_ns) = event.at_ns() {
            if at_ns < self.now_ns {
                return Err(format!("time goes back from {} to {at_ns} ns", self.now_ns));
            }
            self.now_ns = at_ns;
        }
        match event {
            Event::Send { id, .. } if self.sends.insert(*id, false).is_some() => Err(format!("{id} is sent twice")),
            Event::Sent { id, .. } => match self.sends.insert(*id, true) {
                Some(false) => Ok(()),
                Some(true) => Err(format!("the send of {id} ends twice")),
                None => Err(format!("{id} was never sent")),
            },
            Event::End { .. } => {
                self.has_ended = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Writes a history.
///
/// # Errors
/// Those of the output.
pub fn write(events: &[Event], mut output: impl Write) -> io::Result<()> {
    // Line by line: a serialiser writes in many small pieces.
    let mut line = Vec::new();
    for event in events {
        line.clear();
        serde_json::to_writer(&mut line, event)?;
        line.push(b'\n');
        output.write_all(&line)?;
    }
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_documentation_shows_is_read_and_written_back() {
        let documentation = include_str!("history.rs");
        let lines = documentation
            .lines()
            .filter_map(|line| line.strip_prefix("//! {\"event\""))
            .map(|rest| format!("{{\"event\"{rest}\n"));
        let text = lines.collect::<String>();
        let events = read(text.as_bytes()).expect("the documented form");
        assert_eq!(events.len(), 12);
        let mut written = Vec::new();
        write(&events, &mut written).expect("memory");
        assert_eq!(String::from_utf8(written).expect("JSON is UTF-8"), text);
    }

    #[test]
    fn what_cannot_have_happened_is_refused_by_its_line() {
        let refused = |lines: &[&str]| read(lines.join("\n").as_bytes()).expect_err("damaged").to_string();
        let send = r#"{"event":"send","at_ns":5,"id":"p1-000001","bytes":1,"checksum":1}"#;
        let sent = r#"{"event":"sent","at_ns":6,"id":"p1-000001","outcome":"ok"}"#;
        let end = r#"{"event":"end","at_ns":7}"#;
        assert!(refused(&[]).contains("no `end` after its 0 events"));
        assert!(refused(&[send, sent]).contains("no `end` after its 2 events"));
        assert!(
            refused(&[sent, end]).starts_with("line 1 cannot follow") && refused(&[sent, end]).contains("never sent")
        );
        assert!(refused(&[send, sent, sent, end]).contains("line 3"));
        assert!(
            refused(&[send, "", send, end])
                .contains("line 3 cannot follow what comes before it: p1-000001 is sent twice")
        );
        assert!(refused(&[end, send]).contains("has ended"));
        assert!(
            refused(&[send, &sent.replace("\"at_ns\":6", "\"at_ns\":4"), end])
                .contains("time goes back from 5 to 4 ns")
        );
        assert_eq!(read([send, sent, end].join("\n").as_bytes()).expect("sound").len(), 3);
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = read("{\"event\":\"healed\",\"at_ns\":1}\n{\"event\":\"haeled\"}\n".as_bytes())
            .expect_err("a misspelt event");
        assert!(error.to_string().starts_with("line 2 "), "{error}");
    }
}
