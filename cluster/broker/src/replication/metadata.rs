//! A slave copies its master's topics, consumer groups, committed offsets and progress of delayed delivery, every 10 seconds
//! (`SlaveSynchronize`).
//!
//! Apache's slave replaces what it has by what the master says, whether or not its log is that master's. Here a slave copies
//! while the master sends it its log, and nothing before: a store of another cluster would lose its topics and their queues, and so
//! would one whose master has come back empty. A master that does not lead yet gives nobody its tables. Committed
//! offsets are brought together, since groups may have committed at the slave; a topic whose messages come before its
//! configuration is asked for at once; a master that has lost its tables does not wipe the slave's; and the progress of
//! delayed delivery counts only when the slave has the delivered messages too.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::body::{
    ConsumerOffsetSerializeWrapper, DataVersion, DelayOffsetSerializeWrapper, JsonBody, SubscriptionGroupWrapper,
    TopicConfigSerializeWrapper,
};
use protocol::request_code;
use quirks::Quirk;
use sim::time::{Instant, sleep, sleep_until};

use super::Replication;
use super::log_position::LogPosition;
use super::peers::{self, PeerError};
use crate::core::{Core, lock};
use crate::state::consumer_offsets::ConsumerOffsets;

/// How often it is looked whether the master has taken this slave.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How soon after the last copy the next is made because a topic is not known.
const WANTED_INTERVAL: Duration = Duration::from_millis(500);

/// Copies for ever.
pub(crate) async fn run(core: Arc<Core>) {
    let (mut known, mut delayed) = (Known::default(), Delayed::default());
    sleep(Duration::from_millis(core.config().slave_synchronize_delay_ms)).await;
    loop {
        let master = lock(&core.master_addr).clone();
        // One that took this slave before may have come back since with another store.
        let is_taken = follows(&core) || core.config().quirks.has(Quirk::OffsetsReplaced);
        if let Some(master) = master.filter(|_| is_taken)
            && !sim::fault_point!("broker.metadata.round-skipped")
            && let Err(error) = synchronize(&core, &master, &mut known, &mut delayed).await
        {
            tracing::warn!(master, %error, "the master's tables were not copied: it is tried again");
        }
        let interval = Duration::from_millis(core.config().slave_synchronize_interval_ms);
        let last = Instant::now();
        tokio::select! {
            biased;
            // Many topics may be made one after the other: each copy has all of them.
            () = core.metadata_wanted.notified() => sleep_until(last + WANTED_INTERVAL).await,
            () = sleep(if is_taken { interval } else { interval.min(LOOK_INTERVAL) }) => {}
        }
    }
}

/// The tables as the master sent them last. As a rule they come again as they were, and need not be read then.
#[derive(Default)]
struct Known {
    topics: Option<(Bytes, DataVersion)>,
    groups: Option<(Bytes, DataVersion)>,
}

/// Whether the master has sent this table before and ours still has the version of that one: then there is nothing to copy.
fn is_known(known: Option<&(Bytes, DataVersion)>, body: &Bytes, own: &DataVersion) -> bool {
    known.is_some_and(|(known, version)| known == body && version == own)
}

/// Whether the master sends its log to this slave: it has compared the two, or, as Apache's, found nothing against it.
fn follows(core: &Core) -> bool {
    matches!(core.replication.get(), Some(Replication::Slave(service)) if service.status().connected)
}

/// A table of delayed delivery whose delivered messages the slave does not have yet.
#[derive(Default)]
struct Delayed {
    waiting: Option<(LogPosition, DelayOffsetSerializeWrapper)>,
}

async fn synchronize(
    core: &Arc<Core>,
    master: &str,
    known: &mut Known,
    delayed: &mut Delayed,
) -> Result<(), PeerError> {
    topics(core, master, known).await?;
    groups(core, master, known).await?;
    consumer_offsets(core, master).await?;
    delay_offsets(core, master, delayed).await
}

async fn topics(core: &Arc<Core>, master: &str, known: &mut Known) -> Result<(), PeerError> {
    let body = peers::ask(core, master, request_code::GET_ALL_TOPIC_CONFIG).await?.body;
    if is_known(known.topics.as_ref(), &body, &lock(&core.topics).table().data_version) {
        return Ok(());
    }
    let table = TopicConfigSerializeWrapper::decode(&body)?;
    // A copy: the body shares the memory of all that came with it.
    known.topics = Some((Bytes::copy_from_slice(&body), table.data_version.clone()));
    let replace = core.config().quirks.has(Quirk::OffsetsReplaced);
    let Some(vanished) = lock(&core.topics).copy(table, replace) else { return Ok(()) };
    tracing::info!(master, ?vanished, "topics copied from the master");
    // An error has been told, and is tried again.
    let _ = core.save_topics().await;
    if !vanished.is_empty() {
        // A topic that is made anew begins at 0.
        let keep = |topic: &str| vanished.binary_search_by(|name| name.as_str().cmp(topic)).is_err();
        if let Err(error) = core.store.clean_unused_topics(keep).await {
            tracing::error!(%error, "the queues of a deleted topic were not removed");
        }
        for topic in &vanished {
            core.forget_topic(topic);
        }
    }
    Ok(())
}

async fn groups(core: &Arc<Core>, master: &str, known: &mut Known) -> Result<(), PeerError> {
    let body = peers::ask(core, master, request_code::GET_ALL_SUBSCRIPTIONGROUP_CONFIG).await?.body;
    if is_known(known.groups.as_ref(), &body, &lock(&core.groups).table().data_version) {
        return Ok(());
    }
    let table = SubscriptionGroupWrapper::decode(&body)?;
    known.groups = Some((Bytes::copy_from_slice(&body), table.data_version.clone()));
    let replace = core.config().quirks.has(Quirk::OffsetsReplaced);
    if lock(&core.groups).copy(table, replace) {
        tracing::info!(master, "consumer groups copied from the master");
        let _ = core.save_groups().await;
    }
    Ok(())
}

async fn consumer_offsets(core: &Core, master: &str) -> Result<(), PeerError> {
    let table: ConsumerOffsetSerializeWrapper =
        peers::ask_table(core, master, request_code::GET_ALL_CONSUMER_OFFSET).await?;
    let table = ConsumerOffsets::from_file(&table, false);
    let mut own = lock(&core.offsets);
    if core.config().quirks.has(Quirk::OffsetsReplaced) {
        own.replace(table);
    } else {
        own.merge(&table, |_, _| i64::MAX);
    }
    Ok(())
}

async fn delay_offsets(core: &Core, master: &str, delayed: &mut Delayed) -> Result<(), PeerError> {
    let response = peers::ask(core, master, request_code::GET_ALL_DELAY_OFFSET).await?;
    let table = DelayOffsetSerializeWrapper::decode(&response.body)?;
    let position = LogPosition::read(&response);
    let is_here = |position: LogPosition| {
        position.epoch_id.is_some() && position.is_within(&core.store.epochs(), core.store.flushed_offset())
    };
    let mut here = delayed.waiting.take_if(|(position, _)| is_here(*position)).map(|(_, table)| table);
    match position {
        // Apache's master does not say how far its log goes.
        None => here = Some(table),
        Some(position) if is_here(position) => here = Some(table),
        Some(position) => {
            delayed.waiting.take_if(|(waited_for, _)| waited_for.epoch_id != position.epoch_id);
            // One that waits since the last time is kept: under load the newest one would always have to wait.
            delayed.waiting.get_or_insert((position, table));
        }
    }
    let Some(table) = here.filter(|table| *table != *lock(&core.delay_offsets)) else { return Ok(()) };
    *lock(&core.delay_offsets) = table;
    if let Err(error) = core.persist_delay_offsets().await {
        tracing::error!(%error, "delayOffset.json was not written: it is tried again");
    }
    Ok(())
}
