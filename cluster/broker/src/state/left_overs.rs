//! Offsets that are left over from before a loss.
//!
//! A power loss under asynchronous flush may take the end of a queue away: a group had consumed up to offset 5, recovery
//! keeps 3 messages. The next two messages get the offsets 3 and 4, and a reader that still stands at 5 never sees them,
//! although they were acknowledged and are durable. Apache's broker behaves like that (its `consumerProgress` shows a
//! difference of 0); whether it happens depends on whether the reader pulls before the new messages come.
//!
//! As long as nothing was lost there is nothing to guard against, and every offset is served. A [`Loss`] knows of each queue
//! * its *floor*: where it ended when the loss was found. A reader that stands there or before has missed nothing;
//! * its *bound*: how far readers may have been shown it before ([`EpochEntry::lost_bytes_max`] divided by the bytes of the
//!   shortest record). Nobody can have a left-over beyond it;
//! * until when left-overs turn up: a consumer that has not asked for so long has no place of its own any more.
//!
//! An offset between floor and bound is a left-over unless this life of the broker has *issued* it: as an answer about the
//! queue on the same connection, or because the client has pulled the queue, or was told where its group stands, since the
//! broker started; from there it only goes on as it is led. A connection does not outlive the broker; a client is known by
//! its id once it has sent a heartbeat on its connection. A group as a whole is too much: another member may have been given
//! messages beyond the left-over, have lost the queue to the member that stands there, and so have consumed only some of
//! them.
//!
//! A bound is no better than the drive: one that lies about its flushes loses more, and the note of it too. So after a
//! machine went down, a reader whose offsets are *kept here* is doubted beyond the bound as well. It has no need to know
//! an offset that was not issued here; it says so by committing along with its pulls. A reader that keeps its offsets
//! itself (a connector, a pull consumer, a broadcasting one) is doubted only between floor and bound.
//!
//! A topic that is deleted and made again begins at 0 as well: there too a reader is doubted whose offsets are kept here.
//!
//! What the group has committed it has done with, in the log as it is now: so nothing up to there is a left-over of a reader
//! whose offsets are kept here.
//!
//! A left-over is answered with PULL_OFFSET_MOVED and an offset that is not beyond the floor, or with what the group is
//! known to have committed: the reader sees some messages twice rather than new ones never.
//!
//! A log that has grown beyond a left-over when the broker starts once more hides it: so a loss is remembered over restarts
//! (`replication::recent_losses`). What was issued is not: readers between floor and bound are then sent back once.
//!
//! Left out: a reader that keeps its offsets itself and comes after that time, or beyond the bound of a drive that lied.
//!
//! [`EpochEntry::lost_bytes_max`]: store::EpochEntry::lost_bytes_max

use std::collections::BTreeMap;

use protocol::message::RECORD_BYTES_MIN;

use super::queue_map::QueueMap;

/// How long after a loss left-overs may turn up: consumers ask at least every 30 s.
pub const LEFT_OVERS_MS: i64 = 10 * 60_000;

/// How many clients are remembered; beyond that all are forgotten, and some may be sent back once.
const CLIENTS_MAX: usize = 16_384;

/// The end of the log was lost, or may have been.
#[derive(Clone, Debug)]
pub struct Loss {
    floors: QueueMap<i64>,
    unlisted: Unlisted,
    lost_bytes_max: u64,
    ends_at_ms: i64,
}

/// What holds for a queue that has no floor yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlisted {
    /// It was empty: a master has listed all its queues.
    Empty,
    /// This slave has none of its messages yet: the first one that comes is at the floor.
    Unseen,
}

impl Loss {
    /// A loss of at most `lost_bytes_max` bytes of the log, of which left-overs may turn up until `ends_at_ms`, with the
    /// floors of queues.
    pub fn new<'a>(
        floors: impl IntoIterator<Item = (&'a str, i32, i64)>,
        unlisted: Unlisted,
        lost_bytes_max: u64,
        ends_at_ms: i64,
    ) -> Self {
        let mut map = QueueMap::default();
        for (topic, queue_id, floor) in floors {
            map.insert(topic, queue_id, floor);
        }
        Self { floors: map, unlisted, lost_bytes_max, ends_at_ms }
    }

    fn floor(&self, topic: &str, queue_id: i32) -> i64 {
        self.floors.get(topic, queue_id).copied().unwrap_or(match self.unlisted {
            Unlisted::Empty => 0,
            Unlisted::Unseen => i64::MAX,
        })
    }

    /// How far readers may have been shown a queue.
    #[must_use]
    pub fn bound(&self, topic: &str, queue_id: i32) -> i64 {
        if self.lost_bytes_max == u64::MAX {
            return i64::MAX;
        }
        let messages_max = i64::try_from(self.lost_bytes_max / record_bytes_min(topic)).unwrap_or(i64::MAX);
        self.floor(topic, queue_id).saturating_add(messages_max)
    }

    /// Whether an offset may be left over. A slave is asked only by readers that its master has issued their offsets, or
    /// its own: they are not doubted beyond the bound.
    fn doubts<C>(&self, reader: &Reader<'_, C>, topic: &str, queue_id: i32, offset: i64) -> bool {
        let beyond_bound = self.unlisted == Unlisted::Empty && !reader.keeps_its_offsets;
        offset > self.floor(topic, queue_id) && (beyond_bound || offset <= self.bound(topic, queue_id))
    }
}

/// Who reads: one client of a group, on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader<'a, C> {
    /// The connection.
    pub channel: C,
    /// The group.
    pub group: &'a str,
    /// Its client id, if it has sent a heartbeat on this connection.
    pub client_id: Option<&'a str>,
    /// It does not commit its offsets here.
    pub keeps_its_offsets: bool,
}

impl<C> Reader<'_, C> {
    fn by_client(&self) -> Option<String> {
        // No name can contain the separator.
        self.client_id.map(|id| [self.group, "\u{1}", id].concat())
    }
}

/// What was issued on one connection. Clients of several groups may share it.
#[derive(Debug, Default)]
struct Told {
    /// The highest offset that was an answer about a queue: the question did not say for which group.
    to_anyone: QueueMap<i64>,
    /// The queues that a group has pulled, or was told where it stands.
    groups: BTreeMap<String, QueueMap<()>>,
}

/// See the module's head. `C` names a connection.
#[derive(Debug)]
pub struct LeftOvers<C> {
    losses: Vec<Loss>,
    /// Topics that were deleted, with the time until when left-overs of them turn up.
    deleted: BTreeMap<String, i64>,
    told: BTreeMap<C, Told>,
    /// By client of a group: as [`Told::groups`].
    clients: BTreeMap<String, QueueMap<()>>,
}

impl<C> Default for LeftOvers<C> {
    fn default() -> Self {
        Self { losses: Vec::new(), deleted: BTreeMap::new(), told: BTreeMap::new(), clients: BTreeMap::new() }
    }
}

impl<C: Ord + Copy> LeftOvers<C> {
    /// After these losses.
    #[must_use]
    pub fn after(losses: Vec<Loss>) -> Self {
        Self { losses, ..Self::default() }
    }

    /// Another loss was found: what was issued before may be beyond it.
    pub fn add(&mut self, loss: Loss) {
        self.losses.push(loss);
        self.told.clear();
        self.clients.clear();
    }

    fn is_empty(&self) -> bool {
        self.losses.is_empty() && self.deleted.is_empty()
    }

    /// Whether left-overs may turn up at this time. When none can any more, all is forgotten.
    pub fn may_turn_up(&mut self, now_ms: impl FnOnce() -> i64) -> bool {
        // This is on the path of every pull, and as a rule nothing was lost.
        if self.is_empty() {
            return false;
        }
        let now_ms = now_ms();
        self.losses.retain(|loss| now_ms < loss.ends_at_ms);
        self.deleted.retain(|_, ends_at_ms| now_ms < *ends_at_ms);
        if self.is_empty() {
            *self = Self::default();
        }
        !self.is_empty()
    }

    /// Whether an offset of this queue may be a left-over in the eyes of another broker of the group, which knows the losses of the
    /// log as well, and not what this one has issued.
    #[must_use]
    pub fn is_doubted_elsewhere(&self, topic: &str, queue_id: i32, offset: i64) -> bool {
        let is_between = |loss: &Loss| offset > loss.floor(topic, queue_id) && offset <= loss.bound(topic, queue_id);
        self.losses.iter().any(is_between)
    }

    /// If `offset` is a left-over of this reader, whose group has `committed` so much: up to where it has missed nothing.
    #[must_use]
    pub fn floor_of_left_over(
        &self,
        reader: &Reader<'_, C>,
        topic: &str,
        queue_id: i32,
        offset: i64,
        committed: impl FnOnce() -> Option<i64>,
    ) -> Option<i64> {
        let doubting = self.losses.iter().filter(|loss| loss.doubts(reader, topic, queue_id, offset));
        let of_deleted = offset > 0 && !reader.keeps_its_offsets && self.deleted.contains_key(topic);
        let floors = doubting.map(|loss| loss.floor(topic, queue_id)).chain(of_deleted.then_some(0));
        let floor = floors.min()?;
        let is_done_with = || !reader.keeps_its_offsets && committed().is_some_and(|committed| offset <= committed);
        (!self.was_issued(reader, topic, queue_id, offset) && !is_done_with()).then_some(floor)
    }

    /// Beyond it, what another broker knows of the queue may be of messages that are no more.
    #[must_use]
    pub fn floor(&self, topic: &str, queue_id: i32) -> i64 {
        let of_deleted = self.deleted.contains_key(topic).then_some(0);
        let floors = self.losses.iter().map(|loss| loss.floor(topic, queue_id)).chain(of_deleted);
        floors.min().unwrap_or(i64::MAX)
    }

    fn was_issued(&self, reader: &Reader<'_, C>, topic: &str, queue_id: i32, offset: i64) -> bool {
        let has = |map: Option<&QueueMap<()>>| map.is_some_and(|queues| queues.get(topic, queue_id).is_some());
        let on_connection = self.told.get(&reader.channel).is_some_and(|told| {
            told.to_anyone.get(topic, queue_id).is_some_and(|&highest| offset <= highest)
                || has(told.groups.get(reader.group))
        });
        on_connection || reader.by_client().is_some_and(|client| has(self.clients.get(&client)))
    }

    /// `reader` has pulled the queue at an offset that is none of these, or was told to begin at one.
    pub fn lead(&mut self, reader: &Reader<'_, C>, topic: &str, queue_id: i32) {
        if self.losses.is_empty() && !self.deleted.contains_key(topic) {
            return;
        }
        let groups = &mut self.told.entry(reader.channel).or_default().groups;
        note(groups, reader.group, topic, queue_id);
        let Some(client) = reader.by_client() else { return };
        if self.clients.len() >= CLIENTS_MAX && !self.clients.contains_key(&client) {
            self.clients.clear();
        }
        note(&mut self.clients, &client, topic, queue_id);
    }

    /// The peer of `channel` was told `offset` when it asked about the queue.
    pub fn tell(&mut self, channel: C, topic: &str, queue_id: i32, offset: i64) {
        if offset > self.floor(topic, queue_id) {
            let highest = &mut self.told.entry(channel).or_default().to_anyone;
            let highest = highest.get_or_insert_with(topic, queue_id, || offset);
            *highest = offset.max(*highest);
        }
    }

    /// A slave has come upon a message. If it is the first of its queue after a loss, it is at the floor, and the queue's
    /// bound is returned.
    pub fn message_arrived(&mut self, topic: &str, queue_id: i32, queue_offset: i64) -> Option<i64> {
        let mut bound = None;
        for loss in self.losses.iter_mut().filter(|loss| loss.unlisted == Unlisted::Unseen) {
            if loss.floors.get(topic, queue_id).is_none() {
                loss.floors.insert(topic, queue_id, queue_offset);
                bound = bound.max(Some(loss.bound(topic, queue_id)));
            }
        }
        bound
    }

    /// A connection has ended: what was issued on it alone is forgotten.
    pub fn forget_channel(&mut self, channel: C) {
        self.told.remove(&channel);
    }

    /// A topic was deleted: if it comes again, its queues start at 0. On a master left-overs of it may turn up until
    /// `ends_at_ms`.
    pub fn delete_topic(&mut self, topic: &str, ends_at_ms: Option<i64>) {
        if let Some(ends_at_ms) = ends_at_ms {
            self.deleted.insert(topic.to_owned(), ends_at_ms);
        }
        for loss in &mut self.losses {
            loss.floors.remove_topic(topic);
        }
        for told in self.told.values_mut() {
            told.to_anyone.remove_topic(topic);
            told.groups.values_mut().for_each(|queues| drop(queues.remove_topic(topic)));
        }
        self.clients.values_mut().for_each(|queues| drop(queues.remove_topic(topic)));
    }
}

fn note(map: &mut BTreeMap<String, QueueMap<()>>, key: &str, topic: &str, queue_id: i32) {
    if !map.contains_key(key) {
        map.insert(key.to_owned(), QueueMap::default());
    }
    let queues = map.get_mut(key).expect("it is there: it was inserted above if it was missing");
    if queues.get(topic, queue_id).is_none() {
        queues.insert(topic, queue_id, ());
    }
}

/// The bytes that a message of a topic takes in the log at least.
#[must_use]
pub const fn record_bytes_min(topic: &str) -> u64 {
    (RECORD_BYTES_MIN + topic.len()) as u64
}

/// Where a reader goes on that stands at a left-over offset.
///
/// The committed offset is what its group is known to have done with. A group that has committed nothing, and leaves
/// its offsets here, starts over where QUERY_CONSUMER_OFFSET would let it start: at the beginning of a queue that is still
/// young, else at the floor. A reader that keeps its offsets itself has had all before the floor.
#[must_use]
pub fn corrected_offset(
    committed: Option<i64>,
    floor: i64,
    min_offset: i64,
    max_offset: i64,
    starts_over: bool,
) -> i64 {
    let wanted = match committed {
        Some(committed) if committed >= 0 => committed,
        _ if starts_over => min_offset,
        _ => floor,
    };
    wanted.clamp(min_offset, max_offset.max(min_offset))
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "TopicZ";
    const RECORD: u64 = record_bytes_min(TOPIC);

    fn keeping(channel: u8, group: &str) -> Reader<'_, u8> {
        Reader { channel, group, client_id: None, keeps_its_offsets: true }
    }

    fn kept_here<'a>(channel: u8, group: &'a str, client_id: Option<&'a str>) -> Reader<'a, u8> {
        Reader { channel, group, client_id, keeps_its_offsets: false }
    }

    /// A queue ended at 3, and up to `messages` messages may have been lost.
    fn loss(messages: u64) -> Loss {
        Loss::new([(TOPIC, 0, 3)], Unlisted::Empty, messages * RECORD, LEFT_OVERS_MS)
    }

    fn left_overs(messages: u64) -> LeftOvers<u8> {
        LeftOvers::after(vec![loss(messages)])
    }

    fn is_served(left_overs: &LeftOvers<u8>, reader: &Reader<'_, u8>, queue_id: i32, offset: i64) -> bool {
        left_overs.floor_of_left_over(reader, TOPIC, queue_id, offset, || None).is_none()
    }

    #[test]
    fn without_a_loss_every_offset_is_served() {
        let mut left_overs = LeftOvers::default();
        assert!(!left_overs.may_turn_up(|| unreachable!("there is nothing that could end")));
        for reader in [keeping(1, "g"), kept_here(1, "g", None), kept_here(1, "g", Some("one"))] {
            assert!(is_served(&left_overs, &reader, 0, i64::MAX));
        }
    }

    #[test]
    fn only_what_may_have_been_lost_is_doubted() {
        let left_overs = left_overs(2);
        let reader = keeping(1, "g");
        assert!(is_served(&left_overs, &reader, 0, 3), "what is before the floor is there");
        assert_eq!(left_overs.floor_of_left_over(&reader, TOPIC, 0, 4, || None), Some(3));
        assert_eq!(left_overs.floor_of_left_over(&reader, TOPIC, 0, 5, || None), Some(3));
        assert!(is_served(&left_overs, &reader, 0, 6), "no more than two messages were lost");
        assert!(!is_served(&left_overs, &reader, 1, 1), "another queue may have lost all that it had");
        assert!(is_served(&left_overs, &reader, 1, 3));
    }

    #[test]
    fn another_broker_doubts_what_lies_between_floor_and_bound() {
        let doubted = |left_overs: &LeftOvers<u8>, offset| left_overs.is_doubted_elsewhere(TOPIC, 0, offset);
        assert_eq!([3, 4, 5, 6].map(|offset| doubted(&left_overs(2), offset)), [false, true, true, false]);
        assert!(!doubted(&LeftOvers::default(), 4), "nothing was lost");
    }

    #[test]
    fn whose_offset_is_kept_here_is_doubted_beyond_that_because_drives_lie() {
        let mut left_overs = left_overs(0);
        let one = kept_here(1, "g", Some("one"));
        assert!(is_served(&left_overs, &keeping(1, "g"), 0, 4));
        assert!(!is_served(&left_overs, &one, 0, 4));
        left_overs.lead(&one, TOPIC, 0);
        assert!(is_served(&left_overs, &one, 0, 400));
    }

    #[test]
    fn what_the_group_has_committed_is_no_left_over() {
        let left_overs = left_overs(100);
        let floor = |reader, offset| left_overs.floor_of_left_over(&reader, TOPIC, 0, offset, || Some(7));
        assert_eq!([7, 8].map(|offset| floor(kept_here(1, "g", None), offset)), [None, Some(3)]);
        assert_eq!(floor(keeping(1, "g"), 7), Some(3), "it is not this reader that has committed it");
    }

    #[test]
    fn an_answer_about_a_queue_counts_on_its_connection_until_that_ends() {
        let mut left_overs = left_overs(100);
        left_overs.tell(7, TOPIC, 0, 9);
        assert!(is_served(&left_overs, &keeping(7, "new"), 0, 9));
        assert!(!is_served(&left_overs, &keeping(7, "new"), 0, 10));
        assert!(!is_served(&left_overs, &keeping(8, "new"), 0, 9));
        left_overs.forget_channel(7);
        assert!(!is_served(&left_overs, &keeping(7, "new"), 0, 9));
    }

    #[test]
    fn what_one_member_was_led_to_is_not_issued_to_another() {
        let mut left_overs = left_overs(100);
        left_overs.lead(&kept_here(1, "g", Some("one")), TOPIC, 0);
        for other in [kept_here(2, "g", None), kept_here(2, "g", Some("two")), kept_here(1, "h", Some("one"))] {
            assert!(!is_served(&left_overs, &other, 0, 5), "{other:?}");
        }
        let one = kept_here(3, "g", Some("one"));
        assert!(is_served(&left_overs, &one, 0, 40), "it keeps its place when its connection breaks");
        assert!(!is_served(&left_overs, &one, 1, 1), "another queue");
    }

    #[test]
    fn left_overs_turn_up_for_some_time_only() {
        let mut left_overs = left_overs(100);
        assert!(left_overs.may_turn_up(|| LEFT_OVERS_MS - 1));
        assert!(!is_served(&left_overs, &keeping(1, "g"), 0, 5));
        assert!(!left_overs.may_turn_up(|| LEFT_OVERS_MS));
        assert!(is_served(&left_overs, &keeping(1, "g"), 0, 5));
    }

    #[test]
    fn of_two_losses_each_has_its_own_floor_and_bound() {
        let mut left_overs = left_overs(2);
        left_overs.lead(&keeping(1, "g"), TOPIC, 0);
        left_overs.add(Loss::new([(TOPIC, 0, 20)], Unlisted::Empty, 5 * RECORD, LEFT_OVERS_MS));
        let floor = |offset| left_overs.floor_of_left_over(&keeping(1, "g"), TOPIC, 0, offset, || None);
        let floors = [3, 5, 6, 20, 21, 25, 26].map(floor);
        assert_eq!(floors, [None, Some(3), None, None, Some(20), Some(20), None]);
        assert_eq!(left_overs.floor(TOPIC, 0), 3);
    }

    #[test]
    fn a_deleted_topic_starts_at_zero() {
        let mut left_overs = LeftOvers::default();
        left_overs.delete_topic(TOPIC, Some(LEFT_OVERS_MS));
        let one = kept_here(1, "g", Some("one"));
        assert_eq!(left_overs.floor_of_left_over(&one, TOPIC, 0, 1, || None), Some(0));
        assert!(is_served(&left_overs, &one, 0, 0));
        assert!(is_served(&left_overs, &keeping(1, "g"), 0, 1), "nothing was lost");
        left_overs.lead(&one, TOPIC, 0);
        assert!(is_served(&left_overs, &one, 0, 40));
        assert!(!left_overs.may_turn_up(|| LEFT_OVERS_MS));
    }

    #[test]
    fn a_slave_finds_its_floors_as_messages_come() {
        let loss = Loss::new([(TOPIC, 0, 3)], Unlisted::Unseen, 2 * RECORD, LEFT_OVERS_MS);
        let mut slave = LeftOvers::after(vec![loss]);
        let reader = kept_here(1, "g", None);
        assert_eq!(slave.message_arrived(TOPIC, 0, 3), None, "it is known");
        assert!(!is_served(&slave, &reader, 0, 5));
        assert!(is_served(&slave, &reader, 0, 6), "its master may have led it there");
        assert!(is_served(&slave, &reader, 1, 40), "nothing of this queue is there");
        assert_eq!(slave.message_arrived(TOPIC, 1, 20), Some(22));
        assert_eq!(slave.message_arrived(TOPIC, 1, 21), None);
        assert!(!is_served(&slave, &reader, 1, 21));
    }

    #[test]
    fn a_left_over_goes_back_to_what_is_done_with() {
        assert_eq!(corrected_offset(Some(2), 3, 0, 9, true), 2);
        assert_eq!(corrected_offset(None, 3, 0, 9, false), 3);
        assert_eq!(corrected_offset(None, 3, 0, 9, true), 0);
        assert_eq!(corrected_offset(Some(2), 3, 5, 9, false), 5, "the oldest messages are deleted");
        assert_eq!(corrected_offset(None, i64::MAX, 0, 9, false), 9);
    }
}
