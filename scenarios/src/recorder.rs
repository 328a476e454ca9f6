//! Takes down the history of a run while it happens.
//!
//! Shared by the harness and the client programs. It stands outside of the simulated world: it reads true time, survives
//! every crash and costs no simulated time.

use crate::history::{Event, Outcome, Queue};
use crate::message::MessageId;
use sim::world::World;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

#[derive(Default)]
struct Tape {
    events: Vec<Event>,
    /// By number: the broker, the topic and the name.
    queues: BTreeMap<i32, Vec<(String, String, Queue)>>,
    /// Acknowledged and not yet delivered.
    outstanding: BTreeSet<MessageId>,
    delivered: BTreeSet<MessageId>,
    last_delivery_ns: u64,
}

/// The recorder. Clones write on the same tape.
#[derive(Clone)]
pub struct Recorder {
    world: World,
    tape: Arc<Mutex<Tape>>,
}

impl Recorder {
    pub fn new(world: World) -> Recorder {
        Recorder { world, tape: Arc::default() }
    }

    /// True time.
    pub fn now_ns(&self) -> u64 {
        self.world.now_ns()
    }

    /// The world, for waiting in true time.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Adds an event made with the present time.
    pub fn push(&self, event: impl FnOnce(u64) -> Event) {
        let event = event(self.now_ns());
        self.tape().events.push(event);
    }

    pub fn note(&self, host: &str, what: impl Into<Arc<str>>) {
        self.push(|at_ns| Event::Note { at_ns, host: host.into(), what: what.into() });
    }

    pub fn send(&self, id: MessageId, bytes: u32, checksum: u32) {
        self.push(|at_ns| Event::Send { at_ns, id, bytes, checksum });
    }

    pub fn sent(&self, id: MessageId, outcome: Outcome, place: Option<(Queue, i64)>, why: Option<Arc<str>>) {
        let (queue, offset) = place.unzip();
        self.push(|at_ns| Event::Sent { at_ns, id, outcome, queue, offset, why });
        if outcome == Outcome::Ok {
            let mut tape = self.tape();
            if !tape.delivered.contains(&id) {
                tape.outstanding.insert(id);
            }
        }
    }

    pub fn delivered(&self, consumer: u16, id: Option<MessageId>, checksum: u32, queue: Queue, offset: i64) {
        let at_ns = self.now_ns();
        let mut tape = self.tape();
        tape.last_delivery_ns = at_ns;
        if let Some(id) = id {
            tape.outstanding.remove(&id);
            tape.delivered.insert(id);
        }
        tape.events.push(Event::Delivered { at_ns, consumer, id, checksum, queue, offset });
    }

    /// The name of a queue, shared by all events that name it.
    pub fn queue(&self, broker: &str, topic: &str, number: i32) -> Queue {
        let mut tape = self.tape();
        // A history names few queues and names them often: a look-up allocates nothing.
        let queues = tape.queues.entry(number).or_default();
        let known = queues.iter().find(|(of_broker, of_topic, _)| of_broker == broker && of_topic == topic);
        if let Some((_, _, queue)) = known {
            return Arc::clone(queue);
        }
        let queue: Queue = format!("{broker}/{topic}/{number}").into();
        queues.push((broker.to_owned(), topic.to_owned(), Arc::clone(&queue)));
        queue
    }

    /// How many acknowledged messages have not been delivered, and when the last delivery was.
    pub fn outstanding(&self) -> (usize, u64) {
        let tape = self.tape();
        (tape.outstanding.len(), tape.last_delivery_ns)
    }

    /// Takes the history out.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.tape().events)
    }

    fn tape(&self) -> MutexGuard<'_, Tape> {
        self.tape.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
