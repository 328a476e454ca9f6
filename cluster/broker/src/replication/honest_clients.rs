//! Which clients stand at honest offsets, as the brokers of one name tell one another.
//!
//! A consumer turns to the slave when it does not reach the master, and back. Where one of them has led it, the other cannot
//! know; so before a broker sends a client back, or refuses its offset, it asks the others. They must be in the same epoch:
//! in another one other messages may stand at the same places. Apache's brokers do not know the question.

use futures_util::future::join_all;
use remoting::ChannelId;
use sim::time::{Instant, timeout};

use super::log_position::LogPosition;
use super::peers::{self, PeerError};
use super::{GET_HONEST_CLIENTS, Replication};
use crate::core::{Core, lock};
use crate::processor::{Answer, success};
use crate::state::read_horizon::{HonestClients, ReadHorizon};

/// How long a client's request waits for the others' answers.
const CONSULT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);

/// `GET_HONEST_CLIENTS`.
pub(crate) fn tell(core: &Core) -> Answer {
    let (epoch_id, clients) = with_readers(core, |epoch_id, horizon| (epoch_id, horizon.clients()));
    let body = serde_json::to_vec(&clients).expect("names and numbers are what JSON can say");
    let position = LogPosition { epoch_id, ..LogPosition::of(&core.store) };
    Ok(position.attach(success().with_body(body)))
}

/// The read horizon together with the epoch that this broker's readers live in: a slave's go on in the last one until a
/// message of the next one comes, and those of a master that does not serve yet live in none.
fn with_readers<R>(core: &Core, work: impl FnOnce(Option<u64>, &mut ReadHorizon<ChannelId>) -> R) -> R {
    // Held as long as the horizon is: a new epoch changes both.
    let followed = core.is_slave().then(|| lock(&core.followed));
    let epoch_id = match &followed {
        Some(followed) => Some(followed.id),
        None if *core.serving.borrow() => LogPosition::of(&core.store).epoch_id,
        None => None,
    };
    work(epoch_id, &mut lock(&core.horizon))
}

/// Asks one broker.
pub(crate) async fn learn_from(core: &Core, addr: &str) -> Result<(), PeerError> {
    let response = match peers::ask(core, addr, GET_HONEST_CLIENTS).await {
        Err(PeerError::Refused { .. }) => return Ok(()),
        answer => answer?,
    };
    let Some(theirs) = LogPosition::read(&response).and_then(|position| position.epoch_id) else { return Ok(()) };
    let Ok(clients) = serde_json::from_slice::<HonestClients>(&response.body) else { return Ok(()) };
    let before = core.store.epochs().iter().rev().nth(1).map(|epoch| epoch.id);
    with_readers(core, |epoch_id, horizon| match epoch_id {
        Some(ours) if ours == theirs => horizon.vouch(clients),
        Some(_) if !core.is_slave() && before == Some(theirs) => horizon.vouch_for_epoch_before(clients),
        _ => {}
    });
    Ok(())
}

/// Asks all others, because a client stands where this broker has not led it. Questions that come at one time are one.
pub(crate) async fn consult(core: &Core) {
    let others: Vec<String> = match core.replication.get() {
        // Before it serves its readers live in no epoch, and nobody can vouch for them.
        Some(Replication::Master(service)) if *core.serving.borrow() => {
            service.replicas().into_iter().filter_map(|replica| replica.id()).map(|id| id.broker_addr).collect()
        }
        Some(Replication::Slave(service)) if service.status().connected => {
            lock(&core.master_addr).clone().into_iter().collect()
        }
        _ => return,
    };
    if others.is_empty() || core.believes_all_offsets() {
        return;
    }
    let came_at = Instant::now();
    let mut asked_at = core.consulted_at.lock().await;
    if asked_at.is_some_and(|asked_at| asked_at > came_at) {
        return;
    }
    *asked_at = Some(Instant::now());
    let asked = join_all(others.iter().map(|addr| async move {
        if let Err(error) = learn_from(core, addr).await {
            tracing::debug!(addr, %error, "a broker did not say which clients stand at honest offsets");
        }
    }));
    // Elapsed means that somebody did not answer: the client is then judged by what is known.
    let _ = timeout(CONSULT_TIMEOUT, asked).await;
}
