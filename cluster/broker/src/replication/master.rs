//! A master's start. Its log is the truth once it has begun its epoch. A master that may have lost the end of its log, or all
//! of it, first takes it back from a replica that has it; until then it accepts no message, and registers as read-only.
//!
//! It may have lost something when the machine went down, or when the store is empty although there are slaves of this
//! broker name. Under asynchronous flush that is to be expected; under synchronous flush only a drive that lies about what
//! it has flushed loses something, so it does not wait for long there. After a mere crash of the process the page cache has
//! everything.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use ha::{MasterService, ReplicaId};
use protocol::RemotingCommand;
use protocol::body::ClusterInfo;
use quirks::Quirk;
use sim::task;
use sim::time::{sleep, wall_clock_ms};
use store::StoreError;

use super::{MASTER_IS_BACK, take_back};
use crate::config::BrokerConfig;
use crate::core::{Core, lock};
use crate::persistence::found_missing;

/// How often expected replicas are told that their master waits for them.
const CALL_INTERVAL: Duration = Duration::from_secs(1);

/// The slaves that may have what a master has lost.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    replicas: Vec<ReplicaId>,
    /// Whether there is any reason to think that this broker name has had messages.
    any: bool,
    /// Name servers know a master of this name: this broker, before it was stopped.
    was_registered: bool,
}

/// The slaves that are remembered in `replicas.json` or known to the name servers.
pub(crate) fn expected(config: &BrokerConfig, remembered: Vec<ReplicaId>, views: &[ClusterInfo]) -> Expected {
    let known = views
        .iter()
        .filter_map(|view| view.broker_addr_table.get(&config.broker_name))
        .filter(|data| data.cluster == config.broker_cluster_name)
        .flat_map(|data| &data.broker_addrs);
    let was_registered = known.clone().any(|(broker_id, _)| *broker_id == config.broker_id);
    let listed = known
        .filter(|(broker_id, _)| !broker_id.is_master())
        .map(|(broker_id, addr)| ReplicaId { broker_id: *broker_id, broker_addr: addr.clone() });
    let mut ids = BTreeSet::new();
    // The name servers' word comes first: a slave may have moved since it was written down.
    let replicas: Vec<ReplicaId> = listed.chain(remembered).filter(|replica| ids.insert(replica.broker_id)).collect();
    Expected { any: !replicas.is_empty(), was_registered, replicas }
}

/// Whether this master has to ask its replicas before it may serve.
fn may_have_lost_something(core: &Core, expected: &Expected) -> bool {
    let config = core.config();
    let report = core.store.recovery_report();
    expected.any && (report.machine_went_down || report.is_empty) && !config.quirks.has(Quirk::TailNotTakenBack)
}

/// Makes this broker the master that it is: at once if nothing can be missing, else in the background.
pub(crate) async fn start(core: &Arc<Core>, service: Arc<MasterService>, expected: Expected) -> Result<(), StoreError> {
    if !may_have_lost_something(core, &expected) {
        return begin(core, &service, &[], lost_with_disk(core, &expected, false)).await;
    }
    core.recovering.store(true, Ordering::Release);
    let core = Arc::clone(core);
    core.clone().background(task::spawn(async move {
        loop {
            match recover(&core, &service, &expected).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::error!(%error, "the end of the log was not taken back: it is tried again");
                    sleep(CALL_INTERVAL).await;
                }
            }
        }
    }));
    Ok(())
}

async fn recover(core: &Arc<Core>, service: &MasterService, expected: &Expected) -> Result<(), StoreError> {
    let config = core.config();
    // An empty store has lost everything: what a slave has is worth any wait, unless somebody has said otherwise.
    let limit = if core.store.recovery_report().is_empty && config.ha_tail_recovery_timeout_ms.is_none() {
        None
    } else {
        config.tail_recovery_limit()
    };
    tracing::warn!(
        replicas = ?expected.replicas,
        ?limit,
        "this master may have lost the end of its log: it asks its replicas before it accepts messages"
    );
    let call = async {
        loop {
            let calls = expected.replicas.iter().map(|replica| {
                let notice = RemotingCommand::request(MASTER_IS_BACK, &());
                core.links.client.invoke_oneway(&replica.broker_addr, notice)
            });
            // A replica that does not hear it comes by itself, later.
            let _ = join_all(calls).await;
            sleep(CALL_INTERVAL).await;
        }
    };
    let recovery = tokio::select! {
        biased;
        recovery = service.recover_tail(&expected.replicas, limit) => recovery?,
        () = call => return Ok(()),
    };
    if recovery.missing.is_empty() {
        tracing::info!(?recovery, "replicas asked");
    } else {
        tracing::warn!(?recovery, "some replicas were not heard: what only they have is lost");
    }
    let lost_with_disk = lost_with_disk(core, expected, !recovery.missing.is_empty());
    begin(core, service, &recovery.heard, lost_with_disk).await
}

/// How many bytes readers may have been shown that the log does not have, where only the rest of the cluster can tell: this
/// broker has a new disk, and has taken from its replicas what they have, or could not ask them. A store that was emptied by
/// a power loss knows how far it was shown.
fn lost_with_disk(core: &Core, expected: &Expected, is_missing_any: bool) -> Option<u64> {
    let report = core.store.recovery_report();
    let has_taken_back = core.store.max_physical_offset() > core.store.min_physical_offset();
    let is_replaced = report.is_new && expected.was_registered
        || report.is_empty && report.shown.is_none() && expected.any && (has_taken_back || is_missing_any);
    is_replaced.then_some(u64::MAX)
}

/// The epoch begins: from here on this master's log is the truth.
async fn begin(
    core: &Arc<Core>,
    service: &MasterService,
    heard: &[ReplicaId],
    lost_with_disk: Option<u64>,
) -> Result<(), StoreError> {
    let end = core.store.max_physical_offset();
    let found = core.store.recovery_report().shown.and_then(|shown| shown.beyond(end));
    // What a group has committed it was shown.
    let committed = core.clamp_offsets().into_iter().map(|clamped| clamped.bytes_min()).max();
    let lost = found.max(lost_with_disk).max(committed);
    core.begin_life(lost).await?;
    for replica in heard {
        take_back::take_back(core, &replica.broker_addr).await;
    }
    found_missing::look(core);
    core.persist_offsets().await?;
    let epoch = core.store.begin_epoch_after_loss(lost).await?;
    tracing::info!(id = epoch.id, start = epoch.start.0, lost_bytes_max = ?epoch.lost_bytes_max(), "epoch begins");
    service.serve();
    if core.recovering.swap(false, Ordering::AcqRel) {
        // It was registered as read-only.
        lock(&core.topics).told_differently(wall_clock_ms());
    }
    // Errors have been told, and are tried again; until then messages for what is not on disk are refused.
    let _ = core.save_topics().await;
    let _ = core.save_groups().await;
    core.store.refuse_puts(None);
    core.serving.send_replace(true);
    core.registrar.announce();
    core.pull_wait.wake_all();
    Ok(())
}

/// Looks after the slaves that come: each is asked once for what it knows better. For ever.
pub(crate) async fn look_after(core: Arc<Core>, service: Arc<MasterService>) {
    let mut asked = BTreeSet::new();
    let mut changed = service.in_sync_changed();
    loop {
        if *core.serving.borrow() {
            for replica in service.replicas() {
                if let Some(id) = replica.id().filter(|_| replica.in_sync)
                    && asked.insert(id.clone())
                {
                    take_back::take_back(&core, &id.broker_addr).await;
                }
            }
        }
        if changed.changed().await.is_err() {
            return;
        }
    }
}

/// A stopping master lets its slaves have everything that it has, for at most `grace`.
pub(crate) async fn hand_over(core: &Core, service: &MasterService, grace: Duration) {
    let end = core.store.max_physical_offset();
    let all_have_it = async {
        while service.replicas().iter().any(|replica| replica.in_sync && replica.acked < end) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    if sim::time::timeout(grace, all_have_it).await.is_err() {
        tracing::warn!(end = end.0, "not all slaves have the whole log as this master stops");
    }
}
