//! The name servers as witnesses of a replica group: a master tells them who belongs to it, a slave without a master how far it
//! is, and a master asks them before its history begins; see [`group::witness`].

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use group::witness::WITNESS_REPLICA_GROUP;
use group::{Membership, Position, Record, Report, Stand, Testimony, Word};
use protocol::{RemotingCommand, response_code};
use remoting::RemotingClient;
use sim::time::{Instant, sleep, timeout};

use super::Replication;
use crate::config::BrokerConfig;
use crate::core::Core;

/// How long a name server has for an answer.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How often it is looked whether there is something new to tell.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// How often all of it is told again: a name server may have lost its drive.
const TELL_INTERVAL: Duration = Duration::from_secs(30);

/// How telling went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// A name server has it on its drive.
    pub is_known: bool,
    /// Every name server has answered.
    pub is_known_to_all: bool,
    /// There is a name server that could remember, or may be one.
    pub has_witness: bool,
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
        let request = RemotingCommand::request(WITNESS_REPLICA_GROUP, &()).with_body(body.clone());
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

/// Tells every name server.
pub(crate) async fn tell(core: &Core, word: &Word) -> Told {
    let config = core.config();
    let answers = speak(&core.links.client, &config, word).await;
    let count = core.links.client.name_servers().len();
    let is_of = |wanted: fn(&Testimony) -> bool| answers.iter().filter(|(_, answer)| wanted(answer)).count();
    let others = answers.iter().find_map(|(addr, answer)| match (answer, word) {
        (Testimony::Knows(record), Word::Leads { membership }) if record.membership.group != membership.group => {
            Some((addr, record.membership.group.clone()))
        }
        _ => None,
    });
    if let Some((name_server, group)) = others {
        let group = group.map(|group| group.0);
        tracing::error!(
            name_server,
            group,
            "a name server knows another replica group of this name, which is led as well"
        );
    }
    Told {
        is_known: is_of(|answer| matches!(answer, Testimony::Knows(_))) > 0,
        is_known_to_all: answers.len() == count,
        has_witness: is_of(|answer| matches!(answer, Testimony::CannotTell)) < count,
    }
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
        if !last.as_ref().is_some_and(is_told) && tell(&core, &word).await.is_known_to_all {
            last = Some((word, Instant::now()));
        }
    }
}

/// A master that leads is known before it takes messages, if the name servers answer soon.
pub(crate) async fn announce(core: &Core, membership: Membership) {
    const WAIT: Duration = Duration::from_millis(300);
    let told = timeout(WAIT, tell(core, &Word::Leads { membership })).await;
    if !told.is_ok_and(|told| told.is_known || !told.has_witness) {
        tracing::warn!("no name server has heard yet that this master leads its replica group: they are told again");
    }
}
