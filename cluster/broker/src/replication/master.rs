//! A master's start. Its log is the truth once it has begun its epoch; before that it forms its replica group: what it has lost it
//! takes back from a slave that has it, and where it cannot know whether it has lost something it waits, as
//! [`group::Forming`] says. Until then it accepts no message, and registers as read-only.
//!
//! Here the machine is fed: with the store, the name servers and the operator. The HA service hears the slaves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use group::transcript::Entry;
use group::{Event, Forming, Membership, Start, Step, Testimony, Word};
use ha::{Formed, MasterService, ReplicaId, Role};
use protocol::body::ClusterInfo;
use protocol::{BrokerId, RemotingCommand, request_code};
use quirks::Quirk;
use remoting::RemotingClient;
use sim::task;
use sim::time::{Instant, sleep, timeout, wall_clock_ms};
use store::StoreError;
use tokio::sync::mpsc;

use super::membership::{self, Kept};
use super::slave::UP_MILLIS;
use super::{peers, take_back, witness};
use crate::config::BrokerConfig;
use crate::core::{Core, Reopening, lock};
use crate::persistence::found_missing;

/// How often expected replicas are told that their master waits for them.
const CALL_INTERVAL: Duration = Duration::from_secs(1);
/// `haTailRecoveryTimeoutMillis`, if it is not set.
const TAIL_RECOVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// What the name servers say when a broker starts.
#[derive(Debug, Default)]
pub(crate) struct Views {
    /// The brokers that they know.
    pub clusters: Vec<ClusterInfo>,
    /// What they remember of the replica group.
    pub testimonies: Vec<(String, Testimony)>,
}

impl Views {
    /// Asks all of them at once.
    pub(crate) async fn ask(client: &RemotingClient, config: &BrokerConfig) -> Self {
        let witnesses =
            async { if config.is_slave() { Vec::new() } else { witness::speak(client, config, &Word::Ask).await } };
        let (clusters, testimonies) = tokio::join!(peers::cluster_views(client), witnesses);
        Self { clusters, testimonies }
    }

    fn brokers<'a>(&'a self, config: &'a BrokerConfig) -> impl Iterator<Item = (BrokerId, &'a String)> + Clone {
        self.clusters
            .iter()
            .filter_map(|view| view.broker_addr_table.get(&config.broker_name))
            .filter(|data| data.cluster == config.broker_cluster_name)
            .flat_map(|data| data.broker_addrs.iter().map(|(broker_id, addr)| (*broker_id, addr)))
    }

    /// The slaves of this name that they know.
    fn slaves(&self, config: &BrokerConfig) -> Vec<(BrokerId, String)> {
        let slaves = self.brokers(config).filter(|(broker_id, _)| !broker_id.is_master());
        slaves.map(|(broker_id, addr)| (broker_id, addr.clone())).collect()
    }

    fn events(&self, config: &BrokerConfig) -> Vec<Event> {
        let testified = self.testimonies.iter().cloned().map(|(addr, testimony)| Event::Testified(addr, testimony));
        testified.chain([Event::Listed(self.slaves(config))]).collect()
    }
}

/// Reasons to think that this broker name has had messages.
#[derive(Clone, Copy, Debug)]
struct Past {
    /// It has, or had, slaves.
    has_slaves: bool,
    /// Name servers know a master of this name: this broker, before it was stopped.
    was_registered: bool,
}

/// How long a member that may have more is waited for without progress; `None` is for ever.
fn patience(core: &Core) -> Option<Duration> {
    let config = core.config();
    if config.ha_tail_recovery_timeout_ms.is_none() && !core.store.recovery_report().machine_went_down {
        // Nothing is missing as far as this store can tell: only an older image of the drive would lack something.
        return Some(TAIL_RECOVERY_TIMEOUT);
    }
    config.tail_recovery_limit()
}

/// What the machine of the group begins with; its time counts from `since`.
fn forming(core: &Core, views: &Views, since: Instant) -> Forming {
    let config = core.config();
    let kept = core.group.kept();
    let ha = &config.ha;
    let start = Start {
        former_id: kept.broker_id.filter(|broker_id| !broker_id.is_master()),
        history: core.store.history(),
        membership: kept.membership,
        copying_until: kept.copying_until,
        needs_slave: ha.role == Role::SyncMaster && ha.in_sync_replicas > 1 && !ha.enable_auto_in_sync_replicas,
        patience: patience(core),
        name_servers: core.links.client.name_servers(),
    };
    let now = since.elapsed();
    let addr = core.broker_addr();
    ha::transcribe(&addr, now, || Entry::Start(start.clone()));
    let mut forming = Forming::new(start, now);
    for event in views.events(&config) {
        ha::transcribe(&addr, now, || Entry::Event(event.clone()));
        forming.apply(event, now);
    }
    forming
}

/// Makes this broker the master that it is: at once if nothing can be missing, else in the background.
pub(crate) async fn start(core: &Arc<Core>, service: Arc<MasterService>, views: &Views) -> Result<(), StoreError> {
    let config = core.config();
    let kept = core.group.membership();
    let knows_group = |(_, testimony): &(String, Testimony)| matches!(testimony, Testimony::Knows(_));
    let past = Past {
        has_slaves: !kept.members.is_empty() || !views.slaves(&config).is_empty(),
        was_registered: views.brokers(&config).any(|(broker_id, _)| broker_id == config.broker_id)
            || views.testimonies.iter().any(knows_group),
    };
    let (sender, mut events) = mpsc::unbounded_channel();
    *lock(&core.group_events) = Some(sender);
    let since = Instant::now();
    let forming = forming(core, views, since);
    let is_at_once = matches!(forming.step(Duration::ZERO), Step::Begin { .. });
    if is_at_once || config.quirks.has(Quirk::TailNotTakenBack) {
        return formed(core, &service, service.form(forming, since, &mut events).await?, past).await;
    }
    core.recovering.store(true, Ordering::Release);
    let core = Arc::clone(core);
    core.clone().background(task::spawn(async move {
        let mut forming = forming;
        loop {
            let calls = call(&core, &service, since);
            let ended = tokio::select! {
                biased;
                ended = service.form(forming, since, &mut events) => ended,
                () = calls => return,
            };
            let ended = match ended {
                Ok(ended) => formed(&core, &service, ended, past).await,
                Err(error) => Err(error),
            };
            let Err(error) = ended else { return };
            tracing::error!(%error, "the replica group was not formed: it is tried again");
            sleep(CALL_INTERVAL).await;
            let views = Views::ask(&core.links.client, &core.config()).await;
            forming = self::forming(&core, &views, since);
        }
    }));
    Ok(())
}

async fn formed(core: &Arc<Core>, service: &MasterService, ended: Formed, past: Past) -> Result<(), StoreError> {
    match ended {
        Formed::Cut(at) => {
            core.reopen_wanted.send_replace(Some(Reopening::Cut(at)));
            Ok(())
        }
        Formed::Begin { recovery, membership } => {
            if !recovery.missing.is_empty() {
                tracing::warn!(?recovery, "some replicas were not heard: what only they have is lost, and kept there");
            }
            let lost_with_disk = lost_with_disk(core, past, !recovery.missing.is_empty());
            begin(core, service, &recovery.heard, membership, lost_with_disk).await
        }
    }
}

/// Asks the name servers again and again, and calls the slaves that are not heard. For ever.
async fn call(core: &Arc<Core>, service: &MasterService, since: Instant) {
    loop {
        let config = core.config();
        let views = Views::ask(&core.links.client, &config).await;
        let mut slaves = views.slaves(&config);
        for (_, testimony) in &views.testimonies {
            if let Testimony::Knows(record) = testimony {
                slaves.extend(record.stands.iter().map(|stand| (stand.broker_id, stand.addr.clone())));
            }
        }
        let kept = core.group.membership().members;
        slaves.extend(kept.into_iter().map(|member| (member.broker_id, member.addr)));
        if let Some(events) = &*lock(&core.group_events) {
            for event in views.events(&config) {
                // Nobody listens any more when the history has begun.
                let _ = events.send(event);
            }
        }
        let heard: BTreeSet<String> = service.heard().into_iter().map(|replica| replica.broker_addr).collect();
        let unheard: BTreeSet<String> =
            slaves.into_iter().map(|(_, addr)| addr).filter(|addr| !heard.contains(addr)).collect();
        let calls = unheard.iter().filter(|addr| addr.contains(':') && !addr.starts_with('(')).map(|addr| {
            let notice = RemotingCommand::request(request_code::MASTER_IS_BACK, &())
                .with_field(UP_MILLIS, &since.elapsed().as_millis().to_string());
            core.links.client.invoke_oneway(addr, notice)
        });
        // A replica that does not hear it comes by itself, later.
        let _ = timeout(CALL_INTERVAL, join_all(calls)).await;
        sleep(CALL_INTERVAL).await;
    }
}

/// How many bytes readers may have been shown that the log does not have, where only the rest of the cluster can tell: this
/// broker has a new disk, and has taken from its replicas what they have, or could not ask them. A store that was emptied by
/// a power loss knows how far it was shown.
fn lost_with_disk(core: &Core, past: Past, is_missing_any: bool) -> Option<u64> {
    let report = core.store.recovery_report();
    let has_taken_back = core.store.max_physical_offset() > core.store.min_physical_offset();
    let is_replaced = report.is_new && past.was_registered
        || report.is_empty && report.shown.is_none() && past.has_slaves && (has_taken_back || is_missing_any);
    is_replaced.then_some(u64::MAX)
}

/// The epoch begins: from here on this master's log is the truth.
async fn begin(
    core: &Arc<Core>,
    service: &MasterService,
    heard: &[ReplicaId],
    mut membership: Membership,
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
    membership.group.get_or_insert_with(membership::new_group);
    let config = core.config();
    membership.name = format!("{}/{}", config.broker_cluster_name, config.broker_name);
    membership.leader = core.broker_addr();
    // Files have numbers as Java's: 63 bits.
    membership.life = (sim::rng::u64("broker: beginning of a replica group") >> 1).max(1);
    let broker_id = config.broker_id;
    core.group
        .change(|kept| {
            let witnessed = std::mem::take(&mut kept.witnessed);
            *kept = Kept { broker_id: Some(broker_id), membership, witnessed, ..Kept::default() };
        })
        .await?;
    // An epoch without a byte would end the one that the other master's bytes belong to.
    if !witness::announce(core, core.group.membership()).await {
        return Ok(());
    }
    let epoch = core.store.begin_epoch_after_loss(lost).await?;
    *lock(&core.group_events) = None;
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
