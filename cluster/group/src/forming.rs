//! How a broker that is configured as master comes to lead its group.
//!
//! Until its history begins it takes no message. It begins when nobody can have anything that its store lacks, as far as the
//! evidence goes; where evidence is missing it waits, and silence is none:
//!
//! | its store | it waits for | how long |
//! |---|---|---|
//! | has a history | every member that is not known to have less: what they have more is taken | as long as one makes progress, and [`Start::patience`] after the last |
//! | lacks what a member is known to have | that member | until it is heard, or an operator decides |
//! | is older than the last master | every member | the same |
//! | is empty, or was filled in part | every member; then the longest is taken | the same; an ASYNC_MASTER that has a slave's log needs only patience with the others |
//! | was a slave's, and is an ASYNC_MASTER's now | the last master too, as a slave | patience, as above |
//! | is empty, and nobody knows of a history | a name server that says so; a SYNC_MASTER: a slave | until there is one |
//!
//! A member that stopped in good order is not waited for by a store that has all of what it had then. A member that is heard
//! and lacks something is no reason to wait; one whose connection ends while it has more is.
//!
//! [`Forming::apply`] takes in what happens, [`Forming::step`] says what follows; both are functions of what they are given.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use protocol::{BrokerId, PhysicalOffset};
use serde::{Deserialize, Serialize};
use store::{CommonPoint, LogHistory, common_point};

use crate::logs::{self, Window};
use crate::waiting::{Awaited, Reason, Waiting};
use crate::{GroupId, Membership, Position, Record};

/// How long the empty store of a SYNC_MASTER waits for further name servers when one has said that it knows nothing.
const SILENT_NAME_SERVERS: Duration = Duration::from_secs(5);

/// What is known when the broker starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The `brokerId` of the slave that the store was before, if it was one.
    pub former_id: Option<BrokerId>,
    /// What the log holds.
    pub history: LogHistory,
    /// The membership as this store keeps it.
    pub membership: Membership,
    /// The store was being filled from another one, and is a part of that until it ends here.
    pub copying_until: Option<PhysicalOffset>,
    /// Whether a send needs a slave to be SEND_OK.
    pub needs_slave: bool,
    /// How long a member without progress is waited for that may have more; `None` is for ever.
    pub patience: Option<Duration>,
    /// The name servers that are configured.
    pub name_servers: Vec<String>,
}

/// What a name server says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Testimony {
    /// It remembers nothing of this group.
    KnowsNothing,
    /// It remembers this.
    Knows(Record),
    /// It remembers nothing of any group: Apache's.
    CannotTell,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A slave is connected, with this log.
    Heard {
        /// Its id.
        broker_id: BrokerId,
        /// Its remoting address.
        addr: String,
        /// What its log holds.
        history: LogHistory,
        /// The group as it knows it.
        membership: Membership,
    },
    /// A slave of Apache's is connected, which does not say who it is, nor gives anything back.
    HeardApaches {
        /// The host it is on.
        host: String,
        /// Where its log ends.
        end: PhysicalOffset,
    },
    /// Its connection has ended.
    Gone(BrokerId),
    /// Something of a tail has come.
    Progress,
    /// The tail of this member was taken; the own log is now this.
    Took(BrokerId, LogHistory),
    /// The tail of this member was not taken to its end; the own log is now this. If that is final it has nothing to give.
    NotTaken {
        /// The member.
        broker_id: BrokerId,
        /// The own log.
        history: LogHistory,
        /// Whether asking again would be in vain.
        is_final: bool,
    },
    /// A name server knows these slaves of this name now.
    Listed(Vec<(BrokerId, String)>),
    /// A name server was asked what it remembers.
    Testified(String, Testimony),
    /// An operator has taken a member out.
    Removed(BrokerId),
    /// An operator has said that what is missing is given up.
    LossAccepted,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Nothing but waiting; the next look is due then, if nothing happens before.
    Wait(Waiting, Option<Duration>),
    /// Take what this member has more, after these bytes have been compared.
    Take(BrokerId, Window),
    /// The own log has an end that a later master did not have: it is to be cut here, and this member followed.
    Cut(PhysicalOffset, BrokerId),
    /// The history begins.
    Begin {
        /// Members that were not heard.
        without: Vec<(BrokerId, String)>,
        /// The group, if it is known.
        group: Option<GroupId>,
        /// The number of this beginning.
        generation: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Voice {
    Unheard,
    Heard(LogHistory),
    /// It has given what it has, or cannot.
    Settled,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    addr: String,
    voice: Voice,
    /// How far its log is known to have gone.
    position: Option<Position>,
    is_stopped: bool,
    /// It is connected, speaks Apache's protocol, and its log ends here, beyond this store's.
    apaches_end: Option<PhysicalOffset>,
    /// Whether it belongs to the group by more than its own word.
    is_member: bool,
    /// Who is connected under its id has the store of another group.
    is_stranger: bool,
    /// The group as it knows it.
    group: Option<GroupId>,
    generation: u64,
}

/// A master before its history begins.
#[derive(Clone, Debug)]
pub struct Forming {
    start: Start,
    own: LogHistory,
    generation: u64,
    known: BTreeMap<BrokerId, Known>,
    witnesses: BTreeMap<String, Testimony>,
    /// Operators have taken these out.
    removed: BTreeSet<BrokerId>,
    /// A slave of Apache's that has no more than this store was connected.
    is_apaches_heard: bool,
    /// The store was a slave's.
    was_slave: bool,
    is_last_master_heard: bool,
    /// A history was taken from a member: of this group, as that knows it.
    has_taken: bool,
    taken_of: Option<GroupId>,
    is_loss_accepted: bool,
    progress_at: Duration,
    testified_at: Option<Duration>,
}

impl Forming {
    /// Begins at `now`, by a clock that only ever goes on.
    #[must_use]
    pub fn new(start: Start, now: Duration) -> Forming {
        let mut forming = Forming {
            own: start.history.clone(),
            generation: start.membership.generation,
            known: BTreeMap::new(),
            witnesses: BTreeMap::new(),
            removed: start.membership.removed.iter().copied().collect(),
            is_apaches_heard: false,
            was_slave: start.former_id.is_some(),
            is_last_master_heard: false,
            has_taken: false,
            taken_of: None,
            is_loss_accepted: false,
            progress_at: now,
            testified_at: None,
            start,
        };
        for member in forming.start.membership.members.clone() {
            let known = forming.entry(member.broker_id, &member.addr);
            if let Some(known) = known {
                known.is_member = true;
                known.is_stopped = member.stopped_at.is_some();
                known.position = member.stopped_at;
            }
        }
        forming
    }

    /// What is known of a slave, unless it is nobody to wait for.
    fn entry(&mut self, broker_id: BrokerId, addr: &str) -> Option<&mut Known> {
        if broker_id.is_master() || self.start.former_id == Some(broker_id) || self.removed.contains(&broker_id) {
            return None;
        }
        let unheard = || Known {
            addr: addr.to_owned(),
            voice: Voice::Unheard,
            position: None,
            is_stopped: false,
            apaches_end: None,
            is_member: false,
            is_stranger: false,
            group: None,
            generation: 0,
        };
        Some(self.known.entry(broker_id).or_insert_with(unheard))
    }

    /// Takes in what has happened.
    pub fn apply(&mut self, event: Event, now: Duration) {
        match event {
            Event::Heard { broker_id, addr, history, membership } => {
                self.progress_at = now;
                let is_strange = self.is_strange(membership.group.as_ref());
                if !is_strange {
                    // Whoever joins has been started on purpose, even if it was taken out or was this store before.
                    self.removed.remove(&broker_id);
                }
                if self.start.former_id == Some(broker_id) && !is_strange {
                    // Somebody else has that place now: as a rule the last master, which has changed places with this one.
                    self.start.former_id = None;
                    self.is_last_master_heard = membership.generation > 0;
                }
                let Some(known) = self.entry(broker_id, &addr) else { return };
                known.addr = addr;
                known.position = Position::of(&history);
                known.is_stopped = false;
                known.generation = membership.generation;
                known.group.clone_from(&membership.group);
                known.is_stranger = false;
                known.voice = Voice::Heard(history);
                self.set_strangers_apart();
                if self.known.get(&broker_id).is_some_and(|known| !known.is_stranger) {
                    self.told_by_member(&membership);
                }
            }
            Event::HeardApaches { host, end } if end <= self.own.max => {
                self.is_apaches_heard = true;
                let is_there = |known: &&mut Known| known.addr.rsplit_once(':').is_some_and(|(at, _)| at == host);
                let unheard = self.known.values_mut().filter(|known| known.voice == Voice::Unheard);
                unheard.filter(is_there).for_each(|known| known.voice = Voice::Settled);
            }
            Event::HeardApaches { host, end } => {
                let is_there = |known: &&mut Known| known.addr.rsplit_once(':').is_some_and(|(at, _)| at == host);
                self.known.values_mut().filter(is_there).for_each(|known| known.apaches_end = Some(end));
            }
            Event::Gone(broker_id) => {
                let Some(known) = self.known.get_mut(&broker_id) else { return };
                known.is_stranger = false;
                if matches!(known.voice, Voice::Heard(_)) {
                    known.voice = Voice::Unheard;
                    self.progress_at = now;
                }
            }
            Event::Progress => self.progress_at = now,
            Event::Took(broker_id, own) => {
                (self.own, self.has_taken, self.progress_at) = (own, true, now);
                if let Some(known) = self.known.get_mut(&broker_id) {
                    known.voice = Voice::Settled;
                    self.generation = self.generation.max(known.generation);
                    self.taken_of.clone_from(&known.group);
                }
            }
            Event::NotTaken { broker_id, history, is_final } => {
                (self.own, self.progress_at) = (history, now);
                if let Some(known) = self.known.get_mut(&broker_id) {
                    known.voice = if is_final { Voice::Settled } else { Voice::Unheard };
                    if is_final {
                        known.position = None;
                    }
                }
            }
            Event::Listed(slaves) => {
                for (broker_id, addr) in slaves {
                    if let Some(known) = self.entry(broker_id, &addr) {
                        known.is_member = true;
                        if known.voice == Voice::Unheard {
                            known.addr = addr;
                        }
                    }
                }
            }
            Event::Testified(name_server, testimony) => {
                self.testified(name_server, testimony, now);
                self.set_strangers_apart();
            }
            Event::Removed(broker_id) => {
                self.removed.insert(broker_id);
                self.known.remove(&broker_id);
            }
            Event::LossAccepted => self.is_loss_accepted = true,
        }
    }

    /// The group that this store belongs to, or that has this name, as far as it is known.
    fn group(&self) -> Option<&GroupId> {
        let own = self.start.membership.group.as_ref();
        let known = || self.record().and_then(|record| record.membership.group.as_ref());
        own.filter(|_| !self.start.history.is_empty()).or_else(known).or(own)
    }

    fn is_strange(&self, group: Option<&GroupId>) -> bool {
        group.zip(self.group()).is_some_and(|(theirs, own)| theirs != own)
    }

    /// Who has the store of another group is not the member whose id it has.
    fn set_strangers_apart(&mut self) {
        let is_strange =
            |known: &Known| matches!(known.voice, Voice::Heard(_)) && self.is_strange(known.group.as_ref());
        let strangers: Vec<_> = self.known.iter().filter(|(_, known)| is_strange(known)).map(|(id, _)| *id).collect();
        for broker_id in strangers {
            if let Some(known) = self.known.get_mut(&broker_id) {
                known.voice = Voice::Unheard;
                (known.is_stranger, known.position, known.generation, known.group) = (true, None, 0, None);
            }
        }
    }

    /// A slave that is heard knows of others: an older copy of the membership is better than none.
    fn told_by_member(&mut self, membership: &Membership) {
        if self.is_known_better_than(membership) {
            return;
        }
        for member in &membership.members {
            if let Some(known) = self.entry(member.broker_id, &member.addr) {
                known.is_member = true;
            }
        }
    }

    fn is_known_better_than(&self, membership: &Membership) -> bool {
        let newest = self.record().map(|record| record.membership.age());
        newest.max(Some(self.start.membership.age())) >= Some(membership.age())
    }

    fn testified(&mut self, name_server: String, testimony: Testimony, now: Duration) {
        self.testified_at.get_or_insert(now);
        if let Testimony::Knows(record) = &testimony {
            if record.membership.age() > self.start.membership.age() {
                self.removed.extend(&record.membership.removed);
                let removed = &self.removed;
                self.known.retain(|broker_id, known| known.voice != Voice::Unheard || !removed.contains(broker_id));
            }
            let members = record
                .membership
                .members
                .iter()
                .map(|member| (member.broker_id, &member.addr, member.stopped_at, member.stopped_at.is_some()));
            let stands =
                record.stands.iter().map(|stand| (stand.broker_id, &stand.addr, stand.position, stand.is_stopped));
            for (broker_id, addr, position, is_stopped) in members.chain(stands) {
                let is_new = !self.known.contains_key(&broker_id);
                let own = self.own.clone();
                let Some(known) = self.entry(broker_id, addr) else { continue };
                known.is_member = true;
                if known.voice != Voice::Unheard {
                    continue;
                }
                known.is_stopped =
                    is_stopped && (is_new || known.is_stopped || position.is_some_and(|at| at.is_within(&own)));
                if position.is_some_and(|position| known.position.is_none_or(|older| older.end < position.end)) {
                    known.position = position;
                }
            }
        }
        self.witnesses.insert(name_server, testimony);
    }

    /// The newest record of all witnesses.
    fn record(&self) -> Option<&Record> {
        let records = self.witnesses.values().filter_map(|testimony| match testimony {
            Testimony::Knows(record) if record.membership.group.is_some() => Some(record),
            _ => None,
        });
        records.max_by_key(|record| record.membership.age())
    }

    fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// Whether the store had no history, or only a part of one.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.is_empty() || self.start.copying_until.is_some_and(|until| self.own.max < until)
    }

    /// Whether somebody has led later than this store knows, and whoever that was has not been heard.
    fn is_older(&self) -> bool {
        let heard = self.known.values().filter(|known| known.voice != Voice::Unheard).map(|known| known.generation);
        let heard = heard.max().unwrap_or(0);
        self.record().is_some_and(|Record { membership, .. }| {
            let is_other = !self.has_taken && self.start.membership.is_led_past_by(membership);
            let known = heard.max(if is_other { self.generation.saturating_sub(1) } else { self.generation });
            membership.generation > known
        })
    }

    /// What follows from what is known.
    #[must_use]
    pub fn step(&self, now: Duration) -> Step {
        if !self.is_loss_accepted {
            if let Some(waiting) = self.other_group() {
                return Step::Wait(waiting, None);
            }
            let (awaited, until) = self.awaited(now);
            if !awaited.is_empty() {
                return Step::Wait(Waiting::Members(awaited), until);
            }
        }
        if let Some(step) = self.take_what_others_have() {
            return step;
        }
        if !self.is_loss_accepted && self.may_lack_what_the_last_master_has() {
            return Step::Wait(Waiting::LastMaster, None);
        }
        if !self.is_loss_accepted
            && let Some(until) = self.last_master_may_come(now)
        {
            return Step::Wait(Waiting::LastMaster, Some(until));
        }
        if !self.is_loss_accepted
            && (self.is_empty() || self.is_partial())
            && let Some((waiting, until)) = self.no_evidence(now)
        {
            return Step::Wait(waiting, until);
        }
        let unheard = self.belonging().filter(|(_, known)| known.voice == Voice::Unheard);
        let record = self.record();
        let of_witness = record.map_or(0, |record| record.membership.generation);
        let of_members = self.known.values().map(|known| known.generation).max().unwrap_or(0);
        let of_member = self.known.values().max_by_key(|known| known.generation).and_then(|known| known.group.clone());
        let group = self.group().cloned().or_else(|| self.taken_of.clone()).or(of_member);
        Step::Begin {
            without: unheard.map(|(broker_id, known)| (*broker_id, known.addr.clone())).collect(),
            group,
            generation: self.generation.max(of_witness).max(of_members) + 1,
        }
    }

    /// A slave that was made master, and whose part of the log is not what the members would have had together: it was empty,
    /// or another member has lost what it had acknowledged. The last master may have it.
    fn may_lack_what_the_last_master_has(&self) -> bool {
        let generation = self.record().map_or(0, |record| record.membership.generation).max(self.generation);
        if !self.was_slave || self.is_last_master_heard || generation == 0 {
            return false;
        }
        let has_lost = |known: &Known| known.is_member && known.voice != Voice::Unheard && known.generation == 0;
        self.is_partial() || self.start.needs_slave && self.known.values().any(has_lost)
    }

    /// A slave that was made ASYNC_MASTER: what the last master has acknowledged alone is taken if that one comes soon.
    fn last_master_may_come(&self, now: Duration) -> Option<Duration> {
        let may_come = self.was_slave && !self.is_last_master_heard && !self.start.needs_slave && self.generation > 0;
        let until = self.progress_at + self.start.patience?;
        (may_come && now < until).then_some(until)
    }

    /// The membership as it is to be kept from now on: by a store before it is filled, and by a master that begins.
    #[must_use]
    pub fn membership(&self) -> Membership {
        let own = &self.start.membership;
        let newest =
            self.record().map(|record| &record.membership).filter(|known| known.age() > own.age()).unwrap_or(own);
        let mut membership = newest.clone();
        membership.generation = self.generation;
        membership.version = own.version.max(newest.version);
        membership.removed = self.removed.iter().copied().collect();
        membership.members.retain(|member| {
            self.start.former_id != Some(member.broker_id) && !self.removed.contains(&member.broker_id)
        });
        if let Some(former_id) = self.start.former_id {
            // The last master has changed places with this one, if it comes back. It has nothing that this store waits for, but
            // it may be the only one that has something if this store is lost.
            membership.join(former_id, "(the last master)");
            membership.stop(former_id, None);
        }
        for (broker_id, known) in self.belonging() {
            if !known.is_stopped {
                membership.join(*broker_id, &known.addr);
            } else if membership.member(*broker_id).is_none() {
                membership.join(*broker_id, &known.addr);
                membership.stop(*broker_id, known.position);
            }
        }
        membership
    }

    fn other_group(&self) -> Option<Waiting> {
        let own = self.start.membership.group.as_ref().filter(|_| !self.is_empty())?;
        let known = self.record()?.membership.group.as_ref().filter(|known| *known != own)?;
        Some(Waiting::OtherGroup { own: own.clone(), known: known.clone() })
    }

    /// All but those that have only been heard, with the store of another group.
    fn belonging(&self) -> impl Iterator<Item = (&BrokerId, &Known)> {
        self.known.iter().filter(|(_, known)| known.is_member || !known.is_stranger)
    }

    /// Why it matters that nobody waits for this slave any more: `None` if it cannot have anything that this store lacks, as far
    /// as is known.
    #[must_use]
    pub fn needs(&self, broker_id: BrokerId) -> Option<Reason> {
        if self.is_loss_accepted {
            return None;
        }
        match self.known.get(&broker_id) {
            Some(Known { voice: Voice::Heard(history), .. }) => {
                Position::of(history).filter(|position| !position.is_within(&self.own)).map(has_more)
            }
            Some(Known { voice: Voice::Settled, .. }) => None,
            Some(known) => self.reason(known).map(|(reason, _)| reason),
            None if self.removed.contains(&broker_id) => None,
            None if self.is_partial() => Some(Reason::OwnIsEmpty),
            None => self.is_older().then_some(Reason::OwnIsOlder),
        }
    }

    fn has_source(&self) -> bool {
        self.has_taken
            || self.known.values().any(|known| matches!(&known.voice, Voice::Heard(history) if !history.is_empty()))
    }

    /// Why this unheard slave is waited for, and whether that may end by patience.
    fn reason(&self, known: &Known) -> Option<(Reason, bool)> {
        let lacks = known.position.filter(|position| !position.is_within(&self.own));
        let (reason, is_limited) = if self.is_partial() && (self.start.needs_slave || !self.has_source()) {
            if !self.is_empty() && known.is_stopped && known.position.is_some() && lacks.is_none() {
                return None;
            }
            (Reason::OwnIsEmpty, false)
        } else if let Some(position) = lacks {
            (has_more(position), false)
        } else if known.is_stopped && known.position.is_some() {
            return None;
        } else if self.is_older() {
            (Reason::OwnIsOlder, false)
        } else {
            (Reason::MayHaveMore, true)
        };
        let reason = known.apaches_end.map_or(reason, |end| Reason::IsApaches { end });
        Some((if known.is_stranger { Reason::IsStranger } else { reason }, is_limited))
    }

    /// Whom to wait for, and when that may end.
    fn awaited(&self, now: Duration) -> (Vec<Awaited>, Option<Duration>) {
        // A slave that was made master cannot know that it has what others have acknowledged.
        let is_patient = self.was_slave && self.start.needs_slave;
        let patience = self.start.patience.filter(|_| !is_patient);
        let deadline = patience.map(|patience| self.progress_at + patience);
        let (mut awaited, mut until) = (Vec::new(), None);
        for (broker_id, known) in self.belonging() {
            if known.voice != Voice::Unheard {
                continue;
            }
            let Some((reason, is_limited)) = self.reason(known) else { continue };
            let limit = deadline.filter(|_| is_limited);
            if limit.is_some_and(|limit| limit <= now) {
                continue;
            }
            until = [until, limit].into_iter().flatten().min();
            awaited.push(Awaited { broker_id: *broker_id, addr: known.addr.clone(), reason });
        }
        (awaited, until)
    }

    fn take_what_others_have(&self) -> Option<Step> {
        let heard = || {
            self.known.iter().filter_map(|(broker_id, known)| match &known.voice {
                Voice::Heard(history) => Some((*broker_id, known, history)),
                _ => None,
            })
        };
        let tails = heard().filter_map(|(broker_id, known, history)| {
            let check = logs::tail_of(&self.own, history)?;
            // Of an empty log the epochs still tell whose it was.
            let is_of_own_life = self.own.epochs.last().is_none_or(|last| history.epochs.contains(last));
            Some(((known.generation, is_of_own_life, history.max, std::cmp::Reverse(broker_id)), check))
        });
        if let Some(((.., broker_id), check)) = tails.max_by_key(|(rank, _)| *rank) {
            return Some(Step::Take(broker_id.0, check));
        }
        if self.is_loss_accepted {
            return None;
        }
        heard().filter(|(_, known, _)| known.is_member).find_map(|(broker_id, known, history)| {
            let (common, own_led, they_led) = parting(&self.own, history)?;
            if they_led && !own_led {
                return Some(Step::Cut(common, broker_id));
            }
            // Where this store has begun later than the member knows, the member has what was given up then.
            let is_settled = known.generation < self.generation || !they_led;
            (!is_settled).then(|| {
                let waiting =
                    Waiting::TwoHistories { broker_id, common, own_end: self.own.max, their_end: history.max };
                Step::Wait(waiting, None)
            })
        })
    }

    /// An empty store that nobody has anything for, or a part of one: what is lacking to know that there is nothing.
    fn no_evidence(&self, now: Duration) -> Option<(Waiting, Option<Duration>)> {
        let silent = || -> Vec<String> {
            self.start.name_servers.iter().filter(|addr| !self.witnesses.contains_key(*addr)).cloned().collect()
        };
        let is_member_heard = !self.known.is_empty() || self.is_apaches_heard;
        if !self.is_empty() {
            return (!is_member_heard).then_some((Waiting::AnySlave, None));
        }
        if self.record().is_none() && !self.start.name_servers.is_empty() {
            // An ASYNC_MASTER is content with one: it starts beside name servers that are not there.
            let wait = if self.start.needs_slave { SILENT_NAME_SERVERS } else { Duration::ZERO };
            let until = self.testified_at.map(|at| at + wait);
            if !silent().is_empty() && until.is_none_or(|until| now < until) {
                return Some((Waiting::NameServers(silent()), until));
            }
        }
        if self.record().is_none() && self.start.needs_slave && !is_member_heard {
            return Some((Waiting::AnySlave, None));
        }
        None
    }
}

fn has_more(position: Position) -> Reason {
    Reason::HasMore { end: position.end }
}

/// Where two logs part of which neither is a part of the other; and whether each has bytes of a life of its own beyond.
fn parting(own: &LogHistory, other: &LogHistory) -> Option<(PhysicalOffset, bool, bool)> {
    let common = match common_point(own, other) {
        CommonPoint::At(common) => common,
        CommonPoint::Unrelated => own.min.max(other.min).min(own.max),
        CommonPoint::Empty => return None,
    };
    if own.max <= common || other.max <= common {
        return None;
    }
    let led = |log: &LogHistory, without: &LogHistory| {
        log.epochs.iter().any(|epoch| epoch.start < log.max && !without.epochs.contains(epoch))
    };
    Some((common, led(own, other), led(other, own)))
}
