//! Up to which queue offset a reader can honestly have got, in this life of the broker.
//!
//! A crash under asynchronous flush may take the end of a queue away: a group had consumed up to offset 5, recovery keeps
//! 3 messages. The next two messages get the offsets 3 and 4, and a reader that still stands at 5, from the broker's
//! previous life, never sees them although they were acknowledged and are durable. Apache's broker behaves like that (its
//! `consumerProgress` shows a difference of 0); whether it happens depends on whether the reader pulls before the new
//! messages come.
//!
//! This state machine tells the two kinds of offset apart. Each queue has a *floor*: the offset of the first message that
//! this life of the log may have written. On a master that is the queue's end after recovery; on a slave the first message
//! of the master's present epoch. What a reader may stand at is
//! * the floor, or anything before: those messages survived;
//! * what this broker has told on the same connection: as the next offset of a pull, as the committed offset of the group,
//!   as the queue's maximum. Connections do not outlive the broker, so such an offset is of this life;
//! * what it has given the same reader on an earlier connection. A reader is one client of a group. It is known by its
//!   client id once it has sent a heartbeat on the connection, and before that by its address, so that a connection that
//!   breaks and comes back does not send an honest reader back;
//! * anything, once the client has pulled the queue from this broker in this life at an honest offset, or has been told
//!   where its group stands: from there it only goes on as this master and its slaves lead it. A slave is told by its master which clients these are
//!   ([`ReadHorizon::clients`]), so that consumers keep their places when they turn to the slave.
//!
//! A log that has grown again beyond the place of a left-over offset when the broker fails once more hides it: so the floor
//! is not put above the first message of a life that began not long ago (`replication::recent_lives`).
//!
//! A group as a whole is too much: another member may have been given messages beyond the left-over offset, have lost
//! the queue to the member that stands there, and so have consumed only some of them.
//!
//! Anything beyond is a left-over. The broker answers it with PULL_OFFSET_MOVED and an offset at or before the floor: the
//! reader sees some messages twice rather than new ones never.
//!
//! The price: a reader that keeps its offsets elsewhere and jumps, right after a restart of the broker, to an offset that
//! it has not been given by this incarnation is sent back as well.

use std::{collections::BTreeMap, net::IpAddr};

use super::queue_map::QueueMap;

/// What holds for a queue that has no floor of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unlisted {
    /// It was empty when the life began (a master).
    Empty,
    /// It has no message of this life yet (a slave; or a broker that believes every offset).
    Old,
}

/// See the module's head. `C` names a connection.
#[derive(Debug)]
pub struct ReadHorizon<C> {
    /// The offset of the first message of this life, by queue.
    floors: QueueMap<i64>,
    unlisted: Unlisted,
    /// A master: where each queue ended when the life began.
    recovered: QueueMap<i64>,
    /// The clients of groups that have pulled a queue at an honest offset in this life.
    clients: BTreeMap<String, QueueMap<()>>,
    /// By reader, both by address and by client id: the highest offset it was given, where that is beyond what was
    /// recovered.
    given: BTreeMap<String, QueueMap<i64>>,
    /// By connection: the highest offset that was told or given on it.
    told: BTreeMap<C, Told>,
}

/// What was said on one connection. Clients of several groups may share it.
#[derive(Debug, Default)]
struct Told {
    /// As an answer about a queue: the question did not say for which group.
    to_anyone: QueueMap<i64>,
    /// As the place to go on from, by group.
    to_group: BTreeMap<String, ToGroup>,
}

/// What a group was told on one connection.
#[derive(Debug)]
struct ToGroup {
    highest: QueueMap<i64>,
    /// The client that it was told, as far as that was known.
    client_id: Option<String>,
    /// Under which keys the reader is remembered beyond the connection: kept, because every pull asks for them.
    keys: Vec<String>,
}

/// Who reads: one client of a group, on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader<'a, C> {
    /// The connection.
    pub channel: C,
    /// The group.
    pub group: &'a str,
    /// Where the connection comes from.
    pub address: IpAddr,
    /// Its client id, if it has sent a heartbeat on this connection.
    pub client_id: Option<&'a str>,
}

/// Between the parts of a reader's key; no name can contain it.
const SEPARATOR: &str = "\u{1}";

/// Clients that have pulled at honest offsets: by client of a group, topic and queue ids.
pub type HonestClients = BTreeMap<String, BTreeMap<String, Vec<i32>>>;

/// How many readers are remembered beyond their connections. Beyond that all are forgotten: some of them may then be sent
/// back once, when their connections break.
const READERS_MAX: usize = 16_384;

impl<C> Reader<'_, C> {
    fn by_address(&self) -> String {
        format!("{}{SEPARATOR}{}", self.group, self.address)
    }

    fn by_client(&self) -> Option<String> {
        // Without the machinery of formatting: this is on the path of every pull.
        self.client_id.map(|id| [self.group, SEPARATOR, SEPARATOR, id].concat())
    }
}

impl<C: Ord + Copy> ReadHorizon<C> {
    /// The horizon of a master that has just recovered: each queue with one past its last offset.
    pub fn new<'a>(recovered_max: impl IntoIterator<Item = (&'a str, i32, i64)>) -> Self {
        Self::with(recovered_max, Unlisted::Empty)
    }

    /// The horizon of a slave: the queues that have messages of the present epoch, each with the first of them.
    pub fn of_slave<'a>(floors: impl IntoIterator<Item = (&'a str, i32, i64)>) -> Self {
        Self::with(floors, Unlisted::Old)
    }

    /// No horizon: every offset is believed (`Quirk::LeftOverOffsets`).
    #[must_use]
    pub fn unbounded() -> Self {
        Self::with([], Unlisted::Old)
    }

    fn with<'a>(floors: impl IntoIterator<Item = (&'a str, i32, i64)>, unlisted: Unlisted) -> Self {
        let mut map = QueueMap::default();
        for (topic, queue_id, floor) in floors {
            map.insert(topic, queue_id, floor);
        }
        let recovered = if unlisted == Unlisted::Empty { map.clone() } else { QueueMap::default() };
        Self {
            floors: map,
            unlisted,
            recovered,
            clients: BTreeMap::new(),
            given: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// The offset of the first message of this life in a queue: what is before has survived.
    #[must_use]
    pub fn floor(&self, topic: &str, queue_id: i32) -> i64 {
        self.floors.get(topic, queue_id).copied().unwrap_or(match self.unlisted {
            Unlisted::Empty => 0,
            Unlisted::Old => i64::MAX,
        })
    }

    /// Lowers a queue's floor: what is beyond may be another message than the one that a reader has seen there.
    pub fn lower(&mut self, topic: &str, queue_id: i32, floor: i64) {
        let present = self.floors.get_or_insert_with(topic, queue_id, || floor);
        *present = floor.min(*present);
    }

    /// A slave has come upon a new epoch: whoever was honest in the one before, and may have been led on by the master, may
    /// be anywhere now; but up to `end` of each queue, all that this slave had shown is still what it shows. The floors of
    /// that epoch stay if its readers may include some of the epoch before it.
    pub fn begin_epoch(&mut self, keep_floors: bool, end: impl Fn(&str, i32) -> i64) {
        for (client, queues) in std::mem::take(&mut self.clients) {
            let given = self.given.entry(client).or_default();
            for (topic, queue_id, ()) in queues.iter() {
                raise(given, topic, queue_id, end(topic, queue_id));
            }
        }
        self.unlisted = Unlisted::Old;
        if !keep_floors {
            self.floors = QueueMap::default();
        }
    }

    /// A slave has come upon a message of the present epoch: if it is the first of its queue, it is the floor. Says whether
    /// it was.
    pub fn message_of_epoch(&mut self, topic: &str, queue_id: i32, queue_offset: i64) -> bool {
        let is_first = self.floors.get(topic, queue_id).is_none();
        if is_first {
            self.floors.insert(topic, queue_id, queue_offset);
        }
        is_first
    }

    /// Whether `reader` can have got to `offset` in this life of the broker.
    #[must_use]
    pub fn allows(&self, reader: &Reader<'_, C>, topic: &str, queue_id: i32, offset: i64) -> bool {
        let reaches = |map: Option<&QueueMap<i64>>| {
            map.and_then(|map| map.get(topic, queue_id)).is_some_and(|&highest| offset <= highest)
        };
        offset <= self.floor(topic, queue_id)
            || self.told.get(&reader.channel).is_some_and(|told| {
                reaches(Some(&told.to_anyone)) || reaches(told.to_group.get(reader.group).map(|told| &told.highest))
            })
            || match reader.by_client() {
                Some(client) => {
                    self.clients.get(&client).is_some_and(|queues| queues.get(topic, queue_id).is_some())
                        || reaches(self.given.get(&client))
                }
                // One address may have several clients: it stands for a client only while that is unknown.
                None => reaches(self.given.get(&reader.by_address())),
            }
    }

    /// `reader` has pulled the queue at an honest offset, or was told to begin at one.
    pub fn led(&mut self, reader: &Reader<'_, C>, topic: &str, queue_id: i32) {
        let Some(client) = reader.by_client() else { return };
        if self.clients.len() >= READERS_MAX && !self.clients.contains_key(&client) {
            self.clients.clear();
        }
        let queues = self.clients.entry(client).or_default();
        if queues.get(topic, queue_id).is_none() {
            queues.insert(topic, queue_id, ());
        }
    }

    /// The clients that have pulled at honest offsets, as a slave is told of them: by client, topic and queue.
    #[must_use]
    pub fn clients(&self) -> HonestClients {
        let of_client = |queues: &QueueMap<()>| {
            let of_topic = |topic: &str| {
                let ids = queues.topic(topic).into_iter().flat_map(BTreeMap::keys).copied().collect();
                (topic.to_owned(), ids)
            };
            queues.topics().map(of_topic).collect()
        };
        self.clients.iter().map(|(client, queues)| (client.clone(), of_client(queues))).collect()
    }

    /// What a slave's master says of its [`ReadHorizon::clients`], in the same epoch.
    pub fn vouch(&mut self, clients: HonestClients) {
        for (client, topics) in clients.into_iter().take(READERS_MAX) {
            let queues = self.clients.entry(client).or_default();
            for (topic, ids) in topics {
                for queue_id in ids {
                    queues.insert(&topic, queue_id, ());
                }
            }
        }
    }

    /// What a slave says whose readers still live in the epoch before this master's: all that it had shown them is in this
    /// log, below where the life began.
    pub fn vouch_for_epoch_before(&mut self, clients: HonestClients) {
        for (client, topics) in clients.into_iter().take(READERS_MAX) {
            for (topic, ids) in topics {
                for queue_id in ids {
                    if let Some(&end) = self.recovered.get(&topic, queue_id) {
                        raise(self.given.entry(client.clone()).or_default(), &topic, queue_id, end);
                    }
                }
            }
        }
    }

    /// `reader` was given `next_offset` as the place to go on from.
    pub fn give(&mut self, reader: &Reader<'_, C>, topic: &str, queue_id: i32, next_offset: i64) {
        if next_offset <= self.floor(topic, queue_id) {
            return;
        }
        // A pull at the tail gives one more each time: as long as the connection lasts, this is the only map that counts.
        let to_group = &mut self.told.entry(reader.channel).or_default().to_group;
        if to_group.get(reader.group).is_none_or(|told| told.client_id.as_deref() != reader.client_id) {
            let told = ToGroup {
                highest: to_group.remove(reader.group).map(|told| told.highest).unwrap_or_default(),
                client_id: reader.client_id.map(ToOwned::to_owned),
                keys: std::iter::once(reader.by_address()).chain(reader.by_client()).collect(),
            };
            to_group.insert(reader.group.to_owned(), told);
        }
        let told = to_group.get_mut(reader.group).expect("it is there: it was inserted above if it was missing");
        raise(&mut told.highest, topic, queue_id, next_offset);
        if self.given.len() >= READERS_MAX {
            self.given.clear();
        }
        for key in &told.keys {
            if !self.given.contains_key(key) {
                self.given.insert(key.clone(), QueueMap::default());
            }
            let given = self.given.get_mut(key).expect("it is there: it was inserted above if it was missing");
            raise(given, topic, queue_id, next_offset);
        }
    }

    /// The peer of `channel` was told `offset` when it asked about the queue.
    pub fn tell(&mut self, channel: C, topic: &str, queue_id: i32, offset: i64) {
        if offset > self.floor(topic, queue_id) {
            raise(&mut self.told.entry(channel).or_default().to_anyone, topic, queue_id, offset);
        }
    }

    /// A connection has ended: what was told on it is forgotten.
    pub fn forget_channel(&mut self, channel: C) {
        self.told.remove(&channel);
    }

    /// A topic was deleted: if it comes again, its queues start at 0.
    pub fn forget_topic(&mut self, topic: &str) {
        self.floors.remove_topic(topic);
        self.recovered.remove_topic(topic);
        for told in self.told.values_mut() {
            told.to_anyone.remove_topic(topic);
            for told in told.to_group.values_mut() {
                told.highest.remove_topic(topic);
            }
        }
        for map in self.given.values_mut() {
            map.remove_topic(topic);
        }
        self.given.retain(|_, map| !map.is_empty());
        for map in self.clients.values_mut() {
            map.remove_topic(topic);
        }
        self.clients.retain(|_, map| !map.is_empty());
    }
}

fn raise(map: &mut QueueMap<i64>, topic: &str, queue_id: i32, offset: i64) {
    let highest = map.get_or_insert_with(topic, queue_id, || offset);
    *highest = offset.max(*highest);
}

/// Where a reader that stands at a left-over offset goes on.
///
/// The committed offset (clamped to the floor when it was read) is what the group is known to have done
/// with. A group that has committed nothing starts over where QUERY_CONSUMER_OFFSET would let it start: at the beginning
/// of a queue that is still young, else at the end of what was recovered.
#[must_use]
pub fn corrected_offset(
    committed: Option<i64>,
    recovered_max: i64,
    min_offset: i64,
    max_offset: i64,
    is_young: bool,
) -> i64 {
    let wanted = match committed {
        Some(committed) if committed >= 0 => committed,
        _ if is_young => min_offset,
        _ => recovered_max,
    };
    wanted.clamp(min_offset, max_offset.max(min_offset))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOPIC: &str = "TopicZ";

    fn reader<'a>(channel: u8, group: &'a str, host: u8, client_id: Option<&'a str>) -> Reader<'a, u8> {
        Reader { channel, group, address: [10, 0, 0, host].into(), client_id }
    }

    #[test]
    fn a_left_over_of_the_previous_life_is_told_from_an_honest_offset() {
        let mut horizon = ReadHorizon::new([(TOPIC, 0, 3)]);
        let one = reader(1, "cz1", 1, None);
        assert!(horizon.allows(&one, TOPIC, 0, 3));
        assert!(!horizon.allows(&one, TOPIC, 0, 5));
        horizon.give(&one, TOPIC, 0, 5);
        assert!(horizon.allows(&one, TOPIC, 0, 5));
        assert!(!horizon.allows(&reader(2, "other", 1, None), TOPIC, 0, 5));
        assert!(!horizon.allows(&one, TOPIC, 1, 1), "a queue that was not recovered starts at 0");
    }

    #[test]
    fn what_was_told_on_a_connection_counts_there_until_it_ends() {
        let mut horizon = ReadHorizon::new([(TOPIC, 0, 3)]);
        horizon.tell(7, TOPIC, 0, 9);
        assert!(horizon.allows(&reader(7, "new", 1, None), TOPIC, 0, 9));
        assert!(!horizon.allows(&reader(8, "new", 1, None), TOPIC, 0, 9));
        horizon.forget_channel(7);
        assert!(!horizon.allows(&reader(7, "new", 1, None), TOPIC, 0, 9));
    }

    #[test]
    fn what_one_member_was_given_is_no_honest_offset_of_another() {
        let mut horizon = ReadHorizon::new([(TOPIC, 0, 3)]);
        horizon.give(&reader(1, "g", 1, Some("one")), TOPIC, 0, 40);
        for other in [reader(2, "g", 2, None), reader(2, "g", 2, Some("two")), reader(2, "g", 1, Some("two"))] {
            assert!(!horizon.allows(&other, TOPIC, 0, 5), "{other:?}");
        }
    }

    #[test]
    fn groups_that_share_a_connection_are_told_apart() {
        let mut horizon = ReadHorizon::new([(TOPIC, 0, 3)]);
        horizon.give(&reader(1, "g", 1, Some("one")), TOPIC, 0, 40);
        assert!(!horizon.allows(&reader(1, "h", 1, Some("one")), TOPIC, 0, 5));
    }

    #[test]
    fn an_honest_reader_keeps_its_place_when_its_connection_breaks() {
        let mut horizon = ReadHorizon::new([(TOPIC, 0, 3)]);
        horizon.give(&reader(1, "g", 1, Some("one")), TOPIC, 0, 40);
        horizon.forget_channel(1);
        // Before its first heartbeat on the new connection, and after it.
        assert!(horizon.allows(&reader(2, "g", 1, None), TOPIC, 0, 40));
        assert!(horizon.allows(&reader(2, "g", 1, Some("one")), TOPIC, 0, 40));
    }

    #[test]
    fn a_deleted_topic_starts_at_zero() {
        let mut horizon = ReadHorizon::new([(TOPIC, 0, 3)]);
        let one = reader(1, "g", 1, None);
        horizon.give(&one, TOPIC, 0, 6);
        horizon.forget_topic(TOPIC);
        assert!(!horizon.allows(&one, TOPIC, 0, 1));
        assert!(horizon.allows(&one, TOPIC, 0, 0));
    }

    #[test]
    fn a_client_that_began_at_an_honest_offset_may_come_back_from_a_slave() {
        let mut master = ReadHorizon::new([(TOPIC, 0, 3)]);
        let one = reader(1, "g", 1, Some("one"));
        master.led(&one, TOPIC, 0);
        assert!(master.allows(&one, TOPIC, 0, 40), "the slave has led it there");
        assert!(!master.allows(&reader(1, "g", 1, Some("two")), TOPIC, 0, 40));
        assert!(!master.allows(&one, TOPIC, 1, 1), "another queue");
        let mut slave = ReadHorizon::of_slave([(TOPIC, 0, 3)]);
        assert!(!slave.allows(&one, TOPIC, 0, 40));
        slave.vouch(master.clients());
        assert!(slave.allows(&one, TOPIC, 0, 40));
    }

    #[test]
    fn the_floor_of_a_recent_life_stays() {
        let one = reader(1, "g", 1, None);
        let mut master = ReadHorizon::new([(TOPIC, 0, 108)]);
        assert!(master.allows(&one, TOPIC, 0, 105));
        master.lower(TOPIC, 0, 100);
        assert!(!master.allows(&one, TOPIC, 0, 105), "the life before the last had another message at 100");
        let mut slave = ReadHorizon::of_slave([(TOPIC, 0, 100)]);
        slave.begin_epoch(true, |_, _| 108);
        slave.message_of_epoch(TOPIC, 0, 108);
        assert!(!slave.allows(&one, TOPIC, 0, 105));
        let two = reader(2, "g", 2, Some("two"));
        slave.led(&two, TOPIC, 0);
        slave.begin_epoch(true, |_, _| 108);
        assert!(slave.allows(&two, TOPIC, 0, 108), "what this slave has shown it stays");
        assert!(!slave.allows(&two, TOPIC, 0, 109), "the master may have led it further");
        slave.begin_epoch(false, |_, _| 108);
        slave.message_of_epoch(TOPIC, 0, 108);
        assert!(slave.allows(&one, TOPIC, 0, 105));
    }

    #[test]
    fn a_slave_of_the_epoch_before_vouches_up_to_where_the_life_began() {
        let mut master = ReadHorizon::new([(TOPIC, 0, 108)]);
        master.lower(TOPIC, 0, 100);
        let one = reader(1, "g", 1, Some("one"));
        let mut slave = ReadHorizon::of_slave([]);
        slave.led(&one, TOPIC, 0);
        master.vouch_for_epoch_before(slave.clients());
        assert!(master.allows(&one, TOPIC, 0, 108));
        assert!(!master.allows(&one, TOPIC, 0, 109));
        assert!(!master.allows(&reader(1, "g", 1, Some("two")), TOPIC, 0, 108));
    }

    #[test]
    fn a_slave_finds_its_floors_as_messages_of_the_epoch_come() {
        let mut slave = ReadHorizon::of_slave([]);
        let one = reader(1, "g", 1, None);
        assert!(slave.allows(&one, TOPIC, 0, 40), "nothing of this epoch is there");
        assert!(slave.message_of_epoch(TOPIC, 0, 20));
        assert!(!slave.message_of_epoch(TOPIC, 0, 21));
        assert!(slave.allows(&one, TOPIC, 0, 20));
        assert!(!slave.allows(&one, TOPIC, 0, 21));
    }

    /// What happens to one queue after a restart.
    #[derive(Clone, Debug)]
    enum Step {
        /// That many messages are appended.
        Append(i64),
        /// The group pulls, at its position.
        Pull(usize),
        /// The group reconnects and takes its committed offset.
        Reconnect(usize),
        /// The group commits its position.
        Commit(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1..5_i64).prop_map(Step::Append),
            (0..3_usize).prop_map(Step::Pull),
            (0..3_usize).prop_map(Step::Reconnect),
            (0..3_usize).prop_map(Step::Commit),
        ]
    }

    proptest! {
        /// However far ahead the readers stand after a crash, and whatever comes first, each of them is given every
        /// message that was appended after the recovery; and an honest reader is never sent back.
        #[test]
        fn no_reader_misses_a_message_of_this_life(
            recovered in 0..20_i64,
            stands_at in prop::array::uniform3(0..40_i64),
            committed_then in prop::array::uniform3(0..40_i64),
            steps in prop::collection::vec(step(), 0..80),
        ) {
            let mut horizon = ReadHorizon::new([(TOPIC, 0, recovered)]);
            let names = ["a", "b", "c"];
            let mut max = recovered;
            let mut position = stands_at;
            let mut committed = committed_then.map(|offset| offset.min(recovered));
            // A position is of this life once the broker has given it.
            let mut of_this_life = [false; 3];
            let mut seen: [Vec<i64>; 3] = Default::default();
            let pull = |horizon: &mut ReadHorizon<u8>, who: usize, position: &mut [i64; 3], of_this_life: &mut [bool; 3],
                            committed: &[i64; 3], seen: &mut [Vec<i64>; 3], max: i64| {
                let reader = reader(0, names[who], 1, Some(names[who]));
                // Connections come and go.
                horizon.forget_channel(0);
                let at = position[who];
                if horizon.allows(&reader, TOPIC, 0, at) {
                    if at < max {
                        seen[who].push(at);
                        position[who] = at + 1;
                        horizon.led(&reader, TOPIC, 0);
                        horizon.give(&reader, TOPIC, 0, at + 1);
                        of_this_life[who] = true;
                    }
                } else {
                    assert!(!of_this_life[who], "an honest reader was sent back from {at}");
                    position[who] = corrected_offset(Some(committed[who]), recovered, 0, max, false);
                    assert!(position[who] <= recovered);
                    of_this_life[who] = true;
                }
            };
            for step in steps {
                match step {
                    Step::Append(count) => max += count,
                    Step::Pull(who) => {
                        pull(&mut horizon, who, &mut position, &mut of_this_life, &committed, &mut seen, max);
                    }
                    Step::Reconnect(who) => {
                        position[who] = committed[who];
                        of_this_life[who] = true;
                    }
                    Step::Commit(who) => {
                        if horizon.allows(&reader(0, names[who], 1, Some(names[who])), TOPIC, 0, position[who]) {
                            committed[who] = position[who];
                        }
                    }
                }
            }
            for who in 0..3 {
                for _ in 0..200 {
                    pull(&mut horizon, who, &mut position, &mut of_this_life, &committed, &mut seen, max);
                }
                for offset in recovered..max {
                    prop_assert!(seen[who].contains(&offset), "reader {who} never saw {offset} of {max}");
                }
            }
        }
    }
}
