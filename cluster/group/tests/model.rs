//! Every order of events of a small group, up to a bound: three machines, a name server, an operator, and the machine
//! [`group::Forming`] in the master's place.
//!
//! A machine has a log of which a part is on its drive, a membership, and a role by configuration. It is killed, loses its power
//! (and what was not flushed), or its disk; it is cut off; the name server restarts; an operator promotes a slave, stops one
//! in good order, or takes one out. The master looks around whenever it likes, hears exactly who can be reached then, takes
//! tails in parts, and begins when the machine says so. Two things must always be so:
//!
//! * a master whose history has begun has every message that was acknowledged by two replicas, as long as any of those that
//!   had it when it was acknowledged, or copied it since, has not lost it;
//! * when everybody is up and connected, nobody waits (but for an operator who has promoted a slave that was not whole).
//!
//! Left out: several name servers (one that is silent stands for those), the time between hearing a slave and taking its tail,
//! Apache's peers.

use std::time::Duration;

use group::{
    Event, Forming, GroupId, Membership, Position, Record, Stand, Start, Step, Testimony, Waiting, Word, logs,
};
use protocol::{BrokerId, PhysicalOffset};
use stateright::{Checker, Model, Property};
use store::{EpochEntry, LogHistory};

const NODES: usize = 3;
const NAME_SERVER: &str = "ns:9876";
const PATIENCE: Duration = Duration::from_secs(5);

/// How far a log went: its last epoch's id and start, and its end.
type Place = Option<(u8, u8, u8)>;

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Node {
    /// The number of each write.
    log: Vec<u8>,
    flushed: usize,
    /// Id and start.
    epochs: Vec<(u8, u8)>,
    kept: Kept,
    copying_until: Option<u8>,
    is_up: bool,
    is_cut_off: bool,
    is_gone: bool,
}

/// What a member keeps of the group: the parts of a [`Membership`] that can be hashed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Kept {
    generation: u64,
    version: u64,
    /// Id, and where it stopped: epoch, its start, end.
    members: Vec<(u8, Place)>,
    removed: Vec<u8>,
    former: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    nodes: Vec<Node>,
    /// `brokerId` of each node; 0 is the master.
    ids: [u8; NODES],
    leads: bool,
    witness: Kept,
    stands: Vec<(u8, Place)>,
    is_witness_up: bool,
    /// Of each acknowledged write: who has had it and not lost it.
    acked: Vec<(u8, u8)>,
    writes: u8,
    epochs: u8,
    faults: u8,
    operations: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Action {
    Write,
    Flush(usize),
    Copy(usize),
    Kill(usize),
    PowerLoss(usize),
    DiskLoss(usize),
    OlderImage(usize),
    CutOff(usize),
    Heal(usize),
    Boot(usize),
    StopWitness,
    StartWitness,
    Tell,
    Stand(usize),
    /// The master looks around; whether its patience is at an end.
    Look {
        is_late: bool,
    },
    Stop(usize),
    Remove(usize),
    Promote(usize),
}

#[derive(Clone)]
struct Group {
    /// Whether replicas that were not heard are waited for without end.
    is_patient: bool,
    /// Whether each write is flushed at once.
    is_flushed: bool,
    writes: u8,
    faults: u8,
    operations: u8,
    /// Older images of disks are put back.
    has_images: bool,
}

fn entry((id, start): (u8, u8)) -> EpochEntry {
    EpochEntry { id: u64::from(id), start: PhysicalOffset(i64::from(start)) }
}

fn position((id, start, end): (u8, u8, u8)) -> Position {
    Position { epoch: entry((id, start)), end: PhysicalOffset(i64::from(end)) }
}

fn flat(position: Position) -> (u8, u8, u8) {
    (position.epoch.id as u8, position.epoch.start.0 as u8, position.end.0 as u8)
}

impl Node {
    fn history(&self) -> LogHistory {
        let epochs = self.epochs.iter().copied().map(entry).collect();
        LogHistory { epochs, min: PhysicalOffset(0), max: PhysicalOffset(self.log.len() as i64) }
    }

    fn cut(&mut self, end: usize) {
        self.log.truncate(end);
        self.flushed = self.flushed.min(end);
        self.epochs.retain(|(_, start)| usize::from(*start) <= end);
    }

    /// Appends what `from` has at our end.
    fn copy_one(&mut self, from: &Node) {
        let at = self.log.len();
        let of = from.epochs.iter().rfind(|(_, start)| usize::from(*start) <= at).copied().expect("every byte has one");
        if !self.epochs.contains(&of) {
            self.epochs.push(of);
        }
        self.log.push(from.log[at]);
    }
}

impl Kept {
    fn membership(&self) -> Membership {
        let mut membership = Membership {
            group: (self.generation > 0).then(|| GroupId("g".to_owned())),
            generation: self.generation,
            ..Membership::default()
        };
        for (id, stopped) in &self.members {
            membership.join(BrokerId(i64::from(*id)), "n:1");
            if let Some(stopped) = stopped {
                membership.stop(BrokerId(i64::from(*id)), Some(position(*stopped)));
            }
        }
        membership.removed = self.removed.iter().map(|id| BrokerId(i64::from(*id))).collect();
        membership.version = self.version;
        membership
    }

    fn take(&mut self, membership: &Membership) {
        self.generation = membership.generation;
        self.version = membership.version;
        let member = |member: &group::Member| (member.broker_id.0 as u8, member.stopped_at.map(flat));
        self.members = membership.members.iter().map(member).collect();
        self.removed = membership.removed.iter().map(|id| id.0 as u8).collect();
    }
}

impl State {
    fn master(&self) -> usize {
        self.ids.iter().position(|id| *id == 0).expect("there is always one")
    }

    fn is_reachable(&self, node: usize) -> bool {
        self.nodes[node].is_up && !self.nodes[node].is_cut_off
    }

    /// Who has lost a message no longer has it.
    fn forget(&mut self) {
        for (write, having) in &mut self.acked {
            for (number, node) in self.nodes.iter().enumerate() {
                if !node.log.contains(write) || node.is_gone {
                    *having &= !(1 << number);
                }
            }
        }
    }

    fn acknowledge(&mut self) {
        let master = self.master();
        for write in &self.nodes[master].log {
            let having =
                (0..NODES).filter(|node| self.nodes[*node].log.contains(write)).fold(0_u8, |all, node| all | 1 << node);
            if let Some(acked) = self.acked.iter_mut().find(|(acked, _)| acked == write) {
                acked.1 |= having;
            } else if having.count_ones() >= 2 {
                self.acked.push((*write, having));
            }
        }
        self.acked.sort_unstable();
    }

    fn membership_of_master(&self) -> Membership {
        self.nodes[self.master()].kept.membership()
    }

    fn record(&self) -> Record {
        let stand = |(id, at): &(u8, Place)| Stand {
            broker_id: BrokerId(i64::from(*id)),
            addr: "n:1".to_owned(),
            position: at.map(position),
            is_stopped: false,
        };
        Record { membership: self.witness.membership(), stands: self.stands.iter().map(stand).collect() }
    }

    fn tell(&mut self, word: Word) {
        let mut record = self.record();
        record.take(word);
        self.witness.take(&record.membership);
        self.stands = record.stands.iter().map(|stand| (stand.broker_id.0 as u8, stand.position.map(flat))).collect();
    }
}

impl Group {
    fn forming(&self, state: &State) -> Forming {
        let master = state.master();
        let node = &state.nodes[master];
        let start = Start {
            former_id: node.kept.former.map(|id| BrokerId(i64::from(id))),
            history: node.history(),
            membership: node.kept.membership(),
            copying_until: node.copying_until.map(|until| PhysicalOffset(i64::from(until))),
            needs_slave: true,
            patience: (!self.is_patient).then_some(PATIENCE),
            name_servers: vec![NAME_SERVER.to_owned()],
        };
        let mut forming = Forming::new(start, Duration::ZERO);
        if state.is_witness_up && !node.is_cut_off {
            let record = state.record();
            let testimony =
                if record == Record::default() { Testimony::KnowsNothing } else { Testimony::Knows(record) };
            forming.apply(Event::Testified(NAME_SERVER.to_owned(), testimony), Duration::ZERO);
        }
        for (number, slave) in state.nodes.iter().enumerate() {
            if number != master && state.is_reachable(number) && !node.is_cut_off {
                let heard = Event::Heard {
                    broker_id: BrokerId(i64::from(state.ids[number])),
                    addr: "n:1".to_owned(),
                    history: slave.history(),
                    membership: slave.kept.membership(),
                };
                forming.apply(heard, Duration::ZERO);
            }
        }
        forming
    }

    fn step(&self, state: &State, is_late: bool) -> Step {
        self.forming(state).step(if is_late { PATIENCE * 2 } else { Duration::ZERO })
    }

    fn look(&self, state: &mut State, is_late: bool) -> Option<()> {
        let master = state.master();
        let kept = self.forming(state).membership();
        match self.step(state, is_late) {
            Step::Wait(..) => return None,
            Step::Cut(at, _) => state.nodes[master].cut(at.0 as usize),
            Step::Take(id, _) => {
                let from = state.ids.iter().position(|other| i64::from(*other) == id.0)?;
                let from = state.nodes[from].clone();
                let node = &mut state.nodes[master];
                assert!(from.log.starts_with(&node.log), "a tail of another log: {node:?} {from:?}");
                if node.log.is_empty() || node.copying_until.is_some() {
                    node.copying_until = Some(u8::MAX);
                    node.kept.take(&kept);
                }
                node.copy_one(&from);
                if node.log.len() == from.log.len() {
                    node.kept.generation = node.kept.generation.max(from.kept.generation);
                }
                if self.is_flushed {
                    node.flushed = node.log.len();
                }
                state.acknowledge();
            }
            Step::Begin { generation, .. } => {
                state.epochs += 1;
                let (id, mut membership) = (state.epochs, kept);
                let node = &mut state.nodes[master];
                node.copying_until = None;
                node.kept.former = None;
                membership.generation = generation;
                node.kept.take(&membership);
                node.epochs.push((id, node.log.len() as u8));
                state.leads = true;
                if state.is_witness_up && !state.nodes[master].is_cut_off {
                    state.tell(Word::Leads { membership });
                }
            }
        }
        Some(())
    }

    fn copy(&self, state: &mut State, slave: usize) -> Option<()> {
        let master = state.master();
        let (ours, theirs) = (state.nodes[master].history(), state.nodes[slave].history());
        match logs::join(&ours, &theirs, 1000, false) {
            Ok(logs::Joining::Stream { .. }) => {
                let mut membership = state.membership_of_master();
                let id = state.ids[slave];
                membership.join(BrokerId(i64::from(id)), "n:1");
                if !state.witness.members.iter().any(|(known, _)| *known == id) {
                    // A member does not count before a witness knows it.
                    if !state.is_witness_up {
                        return None;
                    }
                    state.tell(Word::Leads { membership: membership.clone() });
                }
                state.nodes[master].kept.take(&membership);
                let from = state.nodes[master].clone();
                let node = &mut state.nodes[slave];
                node.kept.take(&membership);
                node.kept.former = None;
                assert!(from.log.starts_with(&node.log), "they are not one: {from:?} {node:?}");
                node.copying_until = (node.log.len() < from.log.len()).then_some(from.log.len() as u8);
                if node.log.len() < from.log.len() {
                    node.copy_one(&from);
                }
                if self.is_flushed {
                    node.flushed = node.log.len();
                }
                state.acknowledge();
            }
            Ok(logs::Joining::Truncate { to, .. }) => {
                state.nodes[slave].cut(to.0 as usize);
                state.forget();
            }
            Err(_) => return None,
        }
        Some(())
    }
}

impl Model for Group {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let node = Node { is_up: true, ..Node::default() };
        vec![State {
            nodes: vec![node; NODES],
            ids: [0, 1, 2],
            leads: false,
            witness: Kept::default(),
            stands: Vec::new(),
            is_witness_up: true,
            acked: Vec::new(),
            writes: 0,
            epochs: 0,
            faults: 0,
            operations: 0,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let master = state.master();
        if state.leads {
            if state.writes < self.writes {
                actions.push(Action::Write);
            }
            actions.push(Action::Tell);
        } else {
            actions.extend([Action::Look { is_late: false }, Action::Look { is_late: true }]);
        }
        if !state.is_witness_up {
            actions.push(Action::StartWitness);
        }
        for (number, node) in state.nodes.iter().enumerate() {
            let is_slave = number != master;
            if is_slave && state.leads && state.is_reachable(number) && state.is_reachable(master) {
                actions.push(Action::Copy(number));
                if state.operations < self.operations {
                    actions.push(Action::Stop(number));
                }
            }
            if node.is_up && node.flushed < node.log.len() {
                actions.push(Action::Flush(number));
            }
            if node.is_cut_off {
                actions.push(Action::Heal(number));
            }
            if !node.is_up && !node.is_gone {
                actions.push(Action::Boot(number));
            }
            if is_slave && !state.leads && state.is_reachable(number) && state.is_witness_up {
                actions.push(Action::Stand(number));
            }
            if state.operations < self.operations && is_slave && !node.is_gone {
                if state.leads && !node.is_up {
                    actions.push(Action::Remove(number));
                }
                if node.is_up && !state.nodes[master].is_up {
                    actions.push(Action::Promote(number));
                }
            }
            if state.faults < self.faults {
                if node.is_up {
                    actions.extend([Action::Kill(number), Action::PowerLoss(number), Action::DiskLoss(number)]);
                    if self.has_images {
                        actions.push(Action::OlderImage(number));
                    }
                }
                if !node.is_cut_off {
                    actions.push(Action::CutOff(number));
                }
            }
        }
        if state.faults < self.faults && state.is_witness_up {
            actions.push(Action::StopWitness);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        let state = &mut next;
        let master = state.master();
        if matches!(
            action,
            Action::Kill(_)
                | Action::PowerLoss(_)
                | Action::DiskLoss(_)
                | Action::OlderImage(_)
                | Action::CutOff(_)
                | Action::StopWitness
        ) {
            state.faults += 1;
        }
        if matches!(action, Action::Stop(_) | Action::Remove(_) | Action::Promote(_)) {
            state.operations += 1;
        }
        let down = |state: &mut State, number: usize| {
            state.nodes[number].is_up = false;
            state.leads &= number != master;
        };
        match action {
            Action::Write => {
                let node = &mut state.nodes[master];
                state.writes += 1;
                node.log.push(state.writes);
                if self.is_flushed {
                    node.flushed = node.log.len();
                }
            }
            Action::Flush(number) => state.nodes[number].flushed = state.nodes[number].log.len(),
            Action::Copy(number) => self.copy(state, number)?,
            Action::Kill(number) => down(state, number),
            Action::PowerLoss(number) => {
                down(state, number);
                let flushed = state.nodes[number].flushed;
                state.nodes[number].cut(flushed);
                state.forget();
            }
            Action::DiskLoss(number) => {
                down(state, number);
                let is_cut_off = state.nodes[number].is_cut_off;
                state.nodes[number] = Node { is_cut_off, ..Node::default() };
                state.forget();
            }
            Action::OlderImage(number) => {
                down(state, number);
                let end = state.nodes[number].log.len().checked_sub(1)?;
                state.nodes[number].cut(end);
                state.forget();
            }
            Action::CutOff(number) => state.nodes[number].is_cut_off = true,
            Action::Heal(number) => state.nodes[number].is_cut_off = false,
            Action::Boot(number) => state.nodes[number].is_up = true,
            Action::StopWitness => state.is_witness_up = false,
            Action::StartWitness => state.is_witness_up = true,
            Action::Tell => {
                if !state.is_witness_up || !state.is_reachable(master) {
                    return None;
                }
                let membership = state.membership_of_master();
                state.tell(Word::Leads { membership });
            }
            Action::Stand(number) => {
                let node = &state.nodes[number];
                let stand = Stand {
                    broker_id: BrokerId(i64::from(state.ids[number])),
                    addr: "n:1".to_owned(),
                    position: Position::of(&node.history()),
                    is_stopped: false,
                };
                let group = node.kept.membership().group;
                state.tell(Word::Stands { group, stand });
            }
            Action::Look { is_late } => {
                if !state.nodes[master].is_up {
                    return None;
                }
                self.look(state, is_late)?;
            }
            Action::Stop(number) => {
                let at = Position::of(&state.nodes[number].history());
                if at.is_some_and(|at| !at.is_within(&state.nodes[master].history())) {
                    return None;
                }
                state.nodes[master].flushed = state.nodes[master].log.len();
                state.nodes[number].flushed = state.nodes[number].log.len();
                let mut membership = state.membership_of_master();
                membership.stop(BrokerId(i64::from(state.ids[number])), at);
                state.nodes[master].kept.take(&membership);
                state.nodes[number].is_up = false;
            }
            Action::Remove(number) => {
                // An operator says it again until a name server has heard it.
                if !state.is_witness_up || !state.is_reachable(master) {
                    return None;
                }
                let mut membership = state.membership_of_master();
                membership.remove(BrokerId(i64::from(state.ids[number])));
                state.nodes[master].kept.take(&membership);
                state.tell(Word::Leads { membership });
                state.nodes[number].is_gone = true;
                state.forget();
            }
            Action::Promote(number) => {
                let id = state.ids[number];
                state.nodes[number].kept.former = Some(id);
                state.ids[number] = 0;
                state.ids[master] = id;
                state.leads = false;
                if !self.is_flushed {
                    // What the other slave has lost with its power, the operator gives up who does not wait for the master.
                    state.acked.iter_mut().for_each(|(_, having)| *having &= !(1 << master));
                }
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("a master that leads has all that was acknowledged", |_, state: &State| {
                let log = &state.nodes[state.master()].log;
                !state.leads || state.acked.iter().all(|(write, having)| *having == 0 || log.contains(write))
            }),
            // An operator who promotes a slave that is not whole is asked.
            Property::always("when all are there nobody waits", |model: &Group, state: &State| {
                let all_are_there = state.is_witness_up
                    && state.nodes.iter().all(|node| node.is_gone || (node.is_up && !node.is_cut_off));
                state.leads
                    || !all_are_there
                    || !matches!(model.step(state, true), Step::Wait(waiting, _) if waiting != Waiting::LastMaster)
            }),
            Property::sometimes("messages are acknowledged", |_, state: &State| !state.acked.is_empty()),
        ]
    }
}

fn explore(model: Group) {
    let checker = model.checker().threads(2).spawn_bfs().join();
    println!("{} states, {} of them different", checker.state_count(), checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn under_asynchronous_flush_nothing_acknowledged_is_lost() {
    explore(Group { is_patient: true, is_flushed: false, writes: 1, faults: 2, operations: 1, has_images: false });
}

#[test]
fn under_synchronous_flush_patience_may_end() {
    explore(Group { is_patient: false, is_flushed: true, writes: 1, faults: 2, operations: 1, has_images: false });
}

#[test]
fn an_older_image_of_a_disk_does_not_lead() {
    explore(Group { is_patient: true, is_flushed: true, writes: 2, faults: 2, operations: 0, has_images: true });
}
