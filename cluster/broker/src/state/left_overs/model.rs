//! Random lives of a broker with readers of all kinds, against a model that knows what each of them has really seen.
//!
//! Messages have numbers that never come again. A position of a reader is an offset together with the message before it, and
//! is *valid* if that message stands there still. To serve a position that is not valid is to skip messages; to refuse a
//! valid one is to be too careful, which is allowed only where a loss gives reason to.

use proptest::prelude::*;

use super::{LEFT_OVERS_MS, LeftOvers, Loss, Reader, Unlisted, corrected_offset, record_bytes_min};

const TOPIC: &str = "TopicZ";
const GROUP: &str = "g";
const RECORD: u64 = record_bytes_min(TOPIC);
const MEMBERS: usize = 2;
const KEEPERS: usize = 2;

/// An offset, and the message before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    offset: usize,
    before: Option<u64>,
}

#[derive(Clone, Debug)]
enum Step {
    /// So many messages are stored, and shown at once.
    Append(usize),
    /// All that is there comes to the drive.
    Flush,
    /// The offsets that were committed come to the drive.
    Persist,
    /// The process is killed.
    Kill,
    /// The machine goes down; this share of what was not flushed survives, of 255.
    Crash(u8),
    /// The machine goes down, and its drive had lied: this share of the log survives, and of the limit of what was shown.
    Lie(u8, u8),
    /// A member of the group pulls, if the queue is its own.
    Pull(usize),
    /// It commits where it stands.
    Commit(usize),
    /// The queue goes to the other member, which asks where the group stands.
    Rebalance,
    /// A client's connection breaks: who it is, is known when it has sent a heartbeat again.
    Reconnect(usize),
    Heartbeat(usize),
    /// A reader that keeps its offsets itself pulls.
    KeeperPulls(usize),
    /// The same, but from another client on another machine.
    KeeperMoves(usize),
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..5_usize).prop_map(Step::Append),
        1 => Just(Step::Flush),
        1 => Just(Step::Persist),
        1 => Just(Step::Kill),
        1 => any::<u8>().prop_map(Step::Crash),
        8 => (0..MEMBERS).prop_map(Step::Pull),
        3 => (0..MEMBERS).prop_map(Step::Commit),
        2 => Just(Step::Rebalance),
        2 => (0..MEMBERS + KEEPERS).prop_map(Step::Reconnect),
        3 => (0..MEMBERS).prop_map(Step::Heartbeat),
        6 => (0..KEEPERS).prop_map(Step::KeeperPulls),
        1 => (0..KEEPERS).prop_map(Step::KeeperMoves),
        1 => (0..LEFT_OVERS_MS / 100).prop_map(Step::Wait),
    ]
}

fn step_or_lie() -> impl Strategy<Value = Step> {
    prop_oneof![40 => step(), 1 => any::<(u8, u8)>().prop_map(|(log, limit)| Step::Lie(log, limit))]
}

/// What a client has of its own.
struct Client {
    channel: u32,
    has_sent_heartbeat: bool,
    position: Position,
    /// It was served in this life on this connection…
    was_led: bool,
    /// …or as this client, on any.
    was_led_by_id: bool,
}

struct World {
    log: Vec<u64>,
    next_message: u64,
    flushed: usize,
    /// What the drive knows of how far readers were shown the log.
    limit: usize,
    committed: Option<Position>,
    persisted: Option<Position>,
    losses: Vec<(usize, usize)>,
    left_overs: LeftOvers<u32>,
    clients: Vec<Client>,
    owner: usize,
    next_channel: u32,
    now_ms: i64,
    has_lied: bool,
}

impl World {
    fn new() -> Self {
        let begin = Position { offset: 0, before: None };
        let client = |channel| Client {
            channel,
            has_sent_heartbeat: false,
            position: begin,
            was_led: false,
            was_led_by_id: false,
        };
        World {
            log: Vec::new(),
            next_message: 0,
            flushed: 0,
            limit: 0,
            committed: None,
            persisted: None,
            losses: Vec::new(),
            left_overs: LeftOvers::default(),
            clients: (0..(MEMBERS + KEEPERS) as u32).map(client).collect(),
            owner: 0,
            next_channel: 100,
            now_ms: 0,
            has_lied: false,
        }
    }

    fn position(&self, offset: usize) -> Position {
        Position { offset, before: offset.checked_sub(1).map(|before| self.log[before]) }
    }

    fn is_valid(&self, position: Position) -> bool {
        position.offset <= self.log.len() && self.position(position.offset) == position
    }

    fn keeps(who: usize) -> bool {
        who >= MEMBERS
    }

    fn floor_of_left_over(&mut self, who: usize, keeps_its_offsets: bool, offset: usize) -> Option<i64> {
        if !self.left_overs.may_turn_up(|| self.now_ms) {
            return None;
        }
        let id = format!("client-{who}");
        let client = &self.clients[who];
        let client_id = client.has_sent_heartbeat.then_some(id.as_str());
        let reader = Reader { channel: client.channel, group: GROUP, client_id, keeps_its_offsets };
        let committed = self.committed.map(|committed| committed.offset as i64);
        self.left_overs.floor_of_left_over(&reader, TOPIC, 0, offset as i64, || committed)
    }

    fn lead(&mut self, who: usize) {
        let id = format!("client-{who}");
        let client = &mut self.clients[who];
        let client_id = client.has_sent_heartbeat.then_some(id.as_str());
        let reader = Reader { channel: client.channel, group: GROUP, client_id, keeps_its_offsets: true };
        self.left_overs.lead(&reader, TOPIC, 0);
        client.was_led = true;
        client.was_led_by_id |= client.has_sent_heartbeat;
    }

    /// The broker starts on the log that is left; nothing beyond `shown` was shown, if something may be lost.
    fn boot(&mut self, shown: Option<usize>) {
        let end = self.log.len();
        if let Some(shown) = shown {
            // An earlier life that has nothing left is forgotten, but not what was lost before it.
            let forgotten = self.losses.extract_if(.., |(floor, _)| *floor > end);
            let committed = self.persisted.map_or(0, |persisted| persisted.offset);
            let shown = forgotten.map(|(floor, lost)| floor + lost).fold(shown.max(committed), usize::max);
            self.losses.push((end, shown.saturating_sub(end)));
        }
        let losses = self.losses.iter().map(|(floor, lost)| {
            Loss::new([(TOPIC, 0, *floor as i64)], Unlisted::Empty, *lost as u64 * RECORD, i64::MAX)
        });
        self.left_overs = LeftOvers::after(losses.collect());
        self.committed = self.persisted;
        if self.committed.is_some_and(|committed| committed.offset > end) {
            self.committed = Some(self.position(end));
        }
        self.persisted = self.committed;
        for who in 0..self.clients.len() {
            self.reconnect(who);
            self.clients[who].was_led_by_id = false;
        }
        self.limit = end;
        self.flushed = self.flushed.min(end);
    }

    fn reconnect(&mut self, who: usize) {
        self.left_overs.forget_channel(self.clients[who].channel);
        self.next_channel += 1;
        let client = &mut self.clients[who];
        client.was_led = false;
        (client.channel, client.has_sent_heartbeat) = (self.next_channel, false);
    }

    fn pull(&mut self, who: usize) {
        let position = self.clients[who].position;
        let floor = self.floor_of_left_over(who, Self::keeps(who), position.offset);
        let Some(floor) = floor else {
            // A drive that lies takes those by surprise that keep their offsets themselves.
            if position.offset <= self.log.len() && !(self.has_lied && Self::keeps(who)) {
                assert!(self.is_valid(position), "{who} stands at {position:?}, and skips what is before it");
            }
            if position.offset < self.log.len() {
                self.clients[who].position = self.position(position.offset + 1);
            } else if position.offset > self.log.len() {
                assert!(self.has_lied && Self::keeps(who), "{who} stands beyond the end at {position:?}");
                self.clients[who].position = self.position(self.log.len());
            }
            self.lead(who);
            return;
        };
        self.check_refusal(who, position.offset);
        let committed = if Self::keeps(who) { None } else { self.committed };
        let committed = committed.map(|committed| committed.offset as i64);
        let next = corrected_offset(committed, floor, 0, self.log.len() as i64, false);
        self.clients[who].position = self.position(next as usize);
    }

    /// Who keeps its offsets is refused only where something may have been lost, and nobody who was led there.
    fn check_refusal(&self, who: usize, offset: usize) {
        let client = &self.clients[who];
        let is_known = client.was_led || client.was_led_by_id && client.has_sent_heartbeat;
        assert!(!self.losses.is_empty(), "nothing was lost");
        assert!(!is_known, "{who} was led to {offset}");
        if Self::keeps(who) && !self.has_lied {
            let is_within = |(floor, lost): &(usize, usize)| (*floor + 1..=floor + lost).contains(&offset);
            assert!(self.losses.iter().any(is_within), "{offset} cannot have been lost: {:?}", self.losses);
        }
    }

    fn commit(&mut self, who: usize) {
        let position = self.clients[who].position;
        let is_left_over = self.floor_of_left_over(who, false, position.offset).is_some();
        if !is_left_over && position.offset <= self.log.len() {
            assert!(self.is_valid(position), "{who} commits {position:?}, and the group skips what is before it");
            self.committed = Some(position);
        }
    }

    fn play(&mut self, step: &Step) {
        match *step {
            Step::Append(count) => {
                for _ in 0..count {
                    self.log.push(self.next_message);
                    self.next_message += 1;
                }
                // It lies ahead of what is shown.
                self.limit = self.log.len() + 3;
            }
            Step::Flush => self.flushed = self.log.len(),
            Step::Persist => self.persisted = self.committed,
            Step::Kill => {
                self.persisted = self.committed;
                self.boot(None);
            }
            Step::Crash(share) => {
                let limit = self.limit;
                let left = self.flushed + (self.log.len() - self.flushed) * usize::from(share) / 255;
                self.log.truncate(left);
                self.boot(Some(limit));
            }
            Step::Lie(log, limit) => {
                self.has_lied = true;
                let limit = self.limit * usize::from(limit) / 255;
                let left = self.log.len() * usize::from(log) / 255;
                self.log.truncate(left);
                self.boot(Some(limit));
            }
            Step::Pull(who) if who == self.owner => self.pull(who),
            Step::Commit(who) if who == self.owner => self.commit(who),
            Step::Pull(_) | Step::Commit(_) => {}
            Step::Rebalance => {
                self.commit(self.owner);
                self.owner = 1 - self.owner;
                self.clients[self.owner].position = self.committed.unwrap_or(self.position(0));
                self.lead(self.owner);
            }
            Step::Reconnect(who) => self.reconnect(who),
            Step::Heartbeat(who) => self.clients[who].has_sent_heartbeat = true,
            Step::KeeperPulls(number) => self.pull(MEMBERS + number),
            Step::KeeperMoves(number) => {
                self.reconnect(MEMBERS + number);
                self.clients[MEMBERS + number].was_led_by_id = false;
            }
            Step::Wait(ms) => self.now_ms += ms,
        }
    }
}

fn play(steps: &[Step]) {
    let mut world = World::new();
    for step in steps {
        world.play(step);
    }
    // Whatever has happened, in the end the queue is read to its end.
    for who in [world.owner, MEMBERS, MEMBERS + 1] {
        for _ in 0..world.log.len() + 3 {
            world.pull(who);
        }
        let (reached, end) = (world.clients[who].position, world.position(world.log.len()));
        let is_at_end = if world.has_lied { reached.offset == end.offset } else { reached == end };
        assert!(is_at_end, "{who} gets to {reached:?}, not to the end, {end:?}");
    }
}

proptest! {
    #[test]
    fn no_reader_skips_a_message_and_none_is_sent_back_without_reason(
        steps in prop::collection::vec(step(), 0..120),
    ) {
        play(&steps);
    }

    #[test]
    fn a_drive_that_lies_does_not_make_a_group_skip_messages(steps in prop::collection::vec(step_or_lie(), 0..120)) {
        play(&steps);
    }
}
