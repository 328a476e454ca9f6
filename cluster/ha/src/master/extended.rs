//! A slave of ours: who it is and what its log holds is looked at before anything is sent, see [`group::logs`].

use std::{net::SocketAddr, sync::Arc};

use group::Membership;
use group::logs::{self, Joining, Window};
use sim::{
    net::OwnedWriteHalf,
    time::{sleep, timeout},
};
use store::LogHistory;
use tokio::io::AsyncWriteExt;

use super::{
    Shared,
    followers::Membership as Follower,
    following::{Course, Judge, follow},
    places::{Place, Standing},
    tail::{TailOrder, take_tail},
};
use crate::{
    ReplicaId,
    error::HaError,
    frame::Wire,
    handshake::{Answer, Hello, Reply, encode_message, read_message},
    incoming::Incoming,
    replica_log,
    screen::screen,
};

/// Both halves of a connection during its handshake.
pub(crate) struct Dialogue<'a> {
    pub shared: &'a Arc<Shared>,
    pub incoming: Incoming,
    pub outgoing: OwnedWriteHalf,
}

/// Serves a slave of ours; its magic has been read.
pub(crate) async fn serve(
    shared: &Arc<Shared>,
    incoming: Incoming,
    outgoing: OwnedWriteHalf,
    peer: SocketAddr,
    place: &Place,
) -> Result<(), HaError> {
    let mut dialogue = Dialogue { shared, incoming, outgoing };
    let silence = shared.config.housekeeping_interval();
    let hello: Hello = read_message(&mut dialogue.incoming, silence).await?;
    let history = hello.history()?;
    if shared.config.is_unchecked() {
        return dialogue
            .refuse("this master speaks Apache's protocol only (quirk divergence-unchecked)".to_owned())
            .await;
    }
    let membership = match shared.followers.join(&hello, &shared.identity, &shared.group(), shared.file_bytes()) {
        Ok(membership) => membership,
        Err(why) => return dialogue.refuse(why).await,
    };
    place.note(Standing::Ours);
    let replica = ReplicaId { broker_id: hello.broker_id, broker_addr: hello.broker_addr.clone() };
    tracing::info!(%peer, id = %replica.broker_id, addr = replica.broker_addr, from = %history.min, to = %history.max, "HA: a slave");
    let talk = async {
        let theirs = hello.membership.clone().unwrap_or_default();
        let history = wait_for_turn(&mut dialogue, &replica, history, theirs.clone()).await?;
        // A master that has waited knows more of its group than before.
        if let Err(why) = screen(&shared.identity, &shared.group(), shared.file_bytes(), &hello, None) {
            return dialogue.refuse(why).await.map(|()| None);
        }
        settle(&mut dialogue, &history, &theirs).await
    };
    let from = tokio::select! {
        biased;
        () = membership.replaced.notified() => return Err(HaError::Replaced),
        settled = talk => match settled? {
            Some(from) => from,
            None => return Ok(()),
        },
    };
    begin(dialogue, &membership, replica, from).await
}

/// Until the epoch has begun: asks the slave to wait, and for its tail if that is wanted. What the slave's log holds in the
/// end.
async fn wait_for_turn(
    dialogue: &mut Dialogue<'_>,
    replica: &ReplicaId,
    history: LogHistory,
    group: Membership,
) -> Result<LogHistory, HaError> {
    let shared = dialogue.shared;
    let mut serving = shared.serving.subscribe();
    if *serving.borrow_and_update() {
        return Ok(history);
    }
    let why = "this master has not begun its epoch: it looks for messages that it may have lost".to_owned();
    dialogue.ask_to_wait(&why).await?;
    let mut candidacy = shared.candidates.enter(replica.clone(), history.clone(), group);
    loop {
        tokio::select! {
            biased;
            _ = serving.changed() => return Ok(history),
            Some(TailOrder { check, from, done }) = candidacy.orders.recv() => {
                let taken = take_tail(dialogue, &history, check, from).await;
                let failed = taken.as_ref().err().map(ToString::to_string);
                // An error means that nobody waits for it any more.
                let _ = done.send(taken);
                if let Some(why) = failed {
                    return Err(HaError::Refused(format!("its tail was not taken: {why}")));
                }
                dialogue.ask_to_wait(&why).await?;
            }
            () = sleep(shared.config.heartbeat_interval()) => dialogue.ask_to_wait(&why).await?,
            read = dialogue.incoming.read() => {
                read?;
                return Err(HaError::Nonsense("it speaks without being asked".to_owned()));
            }
        }
    }
}

/// Compares the logs, and says what follows: `Some` when the log is to be sent from there.
async fn settle(
    dialogue: &mut Dialogue<'_>,
    slave: &LogHistory,
    group: &Membership,
) -> Result<Option<protocol::PhysicalOffset>, HaError> {
    let shared = dialogue.shared;
    let master = shared.store.history();
    let joining = match logs::join(&master, slave, shared.file_bytes(), shared.config.sends_last_file_only()) {
        Ok(joining) => joining,
        Err(why) => return dialogue.refuse(why).await.map(|()| None),
    };
    let (Joining::Stream { check, .. } | Joining::Truncate { check, .. }) = joining;
    if let Err(why) = dialogue.compare(check).await? {
        return dialogue.refuse(why).await.map(|()| None);
    }
    match joining {
        Joining::Stream { from, .. } => Ok(Some(from)),
        Joining::Truncate { to, .. } if shared.group().is_led_past_by(group) => {
            dialogue.refuse(logs::later_master(&master, slave, to, group.generation)).await.map(|()| None)
        }
        Joining::Truncate { to, .. } => {
            tracing::warn!(%to, ends = %slave.max, "HA: the slave's log has an end that this master's has not: it is to cut it");
            dialogue.answer(&Answer::Truncate { to }).await?;
            dialogue.close().await.map(|()| None)
        }
    }
}

async fn begin(
    mut dialogue: Dialogue<'_>,
    membership: &Follower,
    replica: ReplicaId,
    from: protocol::PhysicalOffset,
) -> Result<(), HaError> {
    let mut kept = None;
    if let Some(keeper) = dialogue.shared.keeper.get() {
        keeper.join(replica).await?;
        kept = Some(keeper.membership());
    }
    let end = Some(dialogue.shared.store.max_physical_offset());
    dialogue.answer(&Answer::Stream { from, end, membership: kept }).await?;
    let Dialogue { shared, incoming, outgoing } = dialogue;
    let course = Course { wire: Wire::Extended, from, judge: Judge::Sent };
    follow(shared, membership, incoming, outgoing, course, |_| {}).await
}

impl Dialogue<'_> {
    pub(crate) async fn answer(&mut self, answer: &Answer) -> Result<(), HaError> {
        self.outgoing.write_all(&encode_message(answer)?).await?;
        Ok(())
    }

    async fn reply(&mut self) -> Result<Reply, HaError> {
        read_message(&mut self.incoming, self.shared.config.housekeeping_interval()).await
    }

    async fn ask_to_wait(&mut self, why: &str) -> Result<(), HaError> {
        self.answer(&Answer::Wait { why: why.to_owned() }).await?;
        match self.reply().await? {
            Reply::Waiting(_) => Ok(()),
            other => Err(HaError::Nonsense(format!("{other:?} in reply to `wait`"))),
        }
    }

    /// Whether the slave has the same bytes there as we have; if not, what to tell it.
    pub(crate) async fn compare(&mut self, window: Window) -> Result<Result<(), String>, HaError> {
        if window.is_empty() {
            return Ok(Ok(()));
        }
        let Window { from, to } = window;
        self.answer(&Answer::Check { from, to }).await?;
        let Reply::Crc(theirs) = self.reply().await? else {
            return Err(HaError::Nonsense("a reply to `check` without a CRC".to_owned()));
        };
        let ours = replica_log::crc(&self.shared.store, from, to).await?;
        if ours == theirs {
            return Ok(Ok(()));
        }
        Ok(Err(format!(
            "the bytes {from}..{to} of the two logs differ (CRC {theirs:#010x} at the slave, {ours:#010x} at the master) though \
             both stem from one epoch: one of them is damaged. Check both stores; to take the master's, move the \
             slave's store directory aside and start it empty"
        )))
    }

    /// Tells the slave why it is not wanted, and closes.
    async fn refuse(&mut self, why: String) -> Result<(), HaError> {
        self.answer(&Answer::Refuse { why: why.clone() }).await?;
        self.close().await?;
        Err(HaError::Refused(why))
    }

    /// Lets the slave read our last answer before the connection is gone.
    async fn close(&mut self) -> Result<(), HaError> {
        self.outgoing.shutdown().await?;
        let all = async {
            while self.incoming.read().await.is_ok() {
                self.incoming.buffer.clear()
            }
        };
        // Whether it closes or not, we do.
        let _ = timeout(self.shared.config.heartbeat_interval(), all).await;
        Ok(())
    }
}
