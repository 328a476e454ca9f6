//! The name servers as witnesses of a replica group: a master tells them who belongs to it, a slave without a master how far it
//! is, and a master asks them before its history begins; see [`group::witness`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use group::{Membership, Position, Record, Report, Stand, Testimony, Word};
use protocol::{RemotingCommand, request_code, response_code};
use remoting::RemotingClient;
use sim::time::{Instant, sleep, timeout};

use super::Replication;
use crate::config::BrokerConfig;
use crate::core::{Core, Reopening};

/// How long a name server has for an answer.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How often it is looked whether there is something new to tell.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// How often all of it is told again: a name server may have lost its drive.
const TELL_INTERVAL: Duration = Duration::from_secs(30);

/// How telling went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// How many name servers there are.
    count: usize,
    /// How many have it on their drives.
    known: usize,
    /// How many remember nothing: Apache's.
    forgetful: usize,
    /// How many have not answered.
    silent: usize,
}

impl Told {
    /// A name server has it on its drive.
    pub(crate) const fn is_known(&self) -> bool {
        self.known > 0
    }

    /// There is a name server that could remember, or may be one.
    pub(crate) const fn has_witness(&self) -> bool {
        self.forgetful < self.count
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, known, forgetful, .. } = self;
        match count.saturating_sub(known + forgetful) {
            _ if !self.has_witness() => f.write_str("there is no name server that remembers replica groups"),
            0 => f.write_str("the name servers know it"),
            _ if *known == 0 => f.write_str(
                "no name server could be told: say it again when one answers, for if this master's disk is lost before, the \
                 slave is waited for again",
            ),
            untold => write!(f, "{untold} of {count} name servers could not be told yet: they are when they answer"),
        }
    }
}

/// Says something to every name server, and what each answers.
pub(crate) async fn speak(client: &RemotingClient, config: &BrokerConfig, word: &Word) -> Vec<(String, Testimony)> {
    let report = Report {
        cluster_name: config.broker_cluster_name.clone(),
        broker_name: config.broker_name.clone(),
        word: word.clone(),
    };
    let Ok(body) = serde_json::to_vec(&report) else { return Vec::new() };
    let asked = client.name_servers().into_iter().map(|addr| {
        let request = RemotingCommand::request(request_code::WITNESS_REPLICA_GROUP, &()).with_body(body.clone());
        async move {
            let response = timeout(TIMEOUT, client.invoke(&addr, request, TIMEOUT)).await.ok()?.ok()?;
            let testimony = match response.code {
                response_code::SUCCESS if response.body.is_empty() => Testimony::KnowsNothing,
                response_code::SUCCESS => Testimony::Knows(serde_json::from_slice::<Record>(&response.body).ok()?),
                response_code::REQUEST_CODE_NOT_SUPPORTED => Testimony::CannotTell,
                _ => {
                    tracing::warn!(name_server = addr, remark = response.remark, "a name server is no witness");
                    return None;
                }
            };
            Some((addr, testimony))
        }
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Tells every name server. A master that learns that another one has led steps back.
pub(crate) async fn tell(core: &Core, word: &Word) -> Told {
    let config = core.config();
    let answers = speak(&core.links.client, &config, word).await;
    let count = core.links.client.name_servers().len();
    let mut told = Told { count, silent: count.saturating_sub(answers.len()), ..Told::default() };
    let mut led_past = None;
    for (name_server, testimony) in answers {
        match (testimony, word) {
            (Testimony::CannotTell, _) => told.forgetful += 1,
            (Testimony::Knows(Record { membership: known, .. }), Word::Leads { membership }) => {
                told.known += usize::from(known.is_of_one_life(membership) && known.version >= membership.version);
                if membership.is_led_past_by(&known) {
                    let group = known.group.map_or_else(String::new, |group| group.0);
                    led_past = Some(format!(
                        "name server {name_server} knows that {} is led by another master, as replica group {group}, \
                         generation {} (here: generation {})",
                        membership.name, known.generation, membership.generation
                    ));
                }
            }
            (Testimony::Knows(_), _) => told.known += 1,
            (Testimony::KnowsNothing, _) => {}
        }
    }
    if let Some(why) = led_past {
        step_back(core, &why);
    }
    told
}

/// There is another master of this name, or was one after this store: what it has must be known before anything more is taken.
fn step_back(core: &Core, why: &str) {
    tracing::error!(why, "replica group: this master takes no more messages, and forms its group anew");
    core.store.refuse_puts(Some(format!("{why}: this one takes no messages before it knows what that one has").into()));
    core.reopen_wanted.send_replace(Some(Reopening::FormAnew));
}

/// How far this slave is.
pub(crate) fn stand(core: &Core, is_stopped: bool) -> Word {
    let stand = Stand {
        broker_id: core.config().broker_id,
        addr: core.broker_addr(),
        position: Position::of(&core.store.history()),
        is_stopped,
    };
    Word::Stands { group: core.group.membership().group, stand }
}

/// Tells the name servers what is new, for ever: a master that leads who belongs to its group, a slave without a master how far it
/// is.
pub(crate) async fn run(core: Arc<Core>) {
    let mut last: Option<(Word, Instant)> = None;
    loop {
        sleep(LOOK_INTERVAL).await;
        let word = match core.replication.get() {
            Some(Replication::Master(_)) if *core.serving.borrow() => {
                Some(Word::Leads { membership: core.group.membership() })
            }
            Some(Replication::Slave(service)) if !service.status().connected => Some(stand(&core, false)),
            _ => None,
        };
        let Some(word) = word else {
            last = None;
            continue;
        };
        let is_told = |(told, at): &(Word, Instant)| *told == word && at.elapsed() < TELL_INTERVAL;
        if !last.as_ref().is_some_and(is_told) && tell(&core, &word).await.silent == 0 {
            last = Some((word, Instant::now()));
        }
    }
}

/// A master is known before its history begins, if the name servers answer soon. Returns whether it may begin: no name server knows
/// of another master that has led.
pub(crate) async fn announce(core: &Core, membership: Membership) -> bool {
    const WAIT: Duration = Duration::from_millis(300);
    let told = timeout(WAIT, tell(core, &Word::Leads { membership })).await;
    if !told.as_ref().is_ok_and(|told| told.is_known() || !told.has_witness()) {
        tracing::warn!("no name server has heard yet that this master leads its replica group: they are told again");
    }
    core.reopen_wanted.borrow().is_none()
}
