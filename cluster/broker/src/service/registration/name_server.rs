//! One name server, and what it has been told.
//!
//! It is told everything (REGISTER_BROKER with all topics) when the connection to it is new, since a name server forgets a broker
//! with its connection; every 30 s; and when there is more to tell than topics. In between it is told what changes, topic by
//! topic: a broker with 5,000 topics that registered all of them for each new one would send 2 GB.
//!
//! | name server | is told a topic by |
//! |---|---|
//! | Apache's from 5.0 on, ours | REGISTER_TOPIC_IN_NAMESRV, as a 5.x broker with `enableSingleTopicRegister` does: right even where `deleteTopicWithBrokerRegistration` takes what a registration leaves out for deleted |
//! | Apache's 4.x, which does not know that request | REGISTER_BROKER with the new topics only, as its own brokers do for changed topics (`registerIncrementBrokerData`) |
//!
//! A slave that its master refuses says good-bye, and registers again when it is taken.
//!
//! One request at a time, so that an older table never overtakes a newer one.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use protocol::body::{
    ClusterInfo, JsonBody, QueueData, RegisterBrokerBody, TopicConfig, TopicConfigSerializeWrapper, TopicRouteData,
};
use protocol::header::{RegisterBrokerRequestHeader, RegisterTopicRequestHeader};
use protocol::{RemotingCommand, request_code, response_code};
use remoting::{Channel, RemotingError};
use sim::time::{Instant, sleep_until};
use tokio::sync::{Notify, watch};

use super::{ANSWER_WAIT, good_bye, permission};
use crate::core::{Core, lock};
use crate::replication::{Replication, slave};
use crate::state::tracked::{ChangeNumber, Holds};

/// How often a slave registers that is not connected to its master: it may have come back elsewhere.
const SEARCH_PERIOD: Duration = Duration::from_secs(2);
/// How soon a name server is asked again that did not answer: it may be booting, and know nothing then. Apache's broker lets it
/// wait for the next period of 30 s. Also how often at most it is told everything because a connection has ended.
const RETRY_PERIOD: Duration = Duration::from_secs(2);
/// How soon everything is told because topics were deleted: many may be.
const DELETION_DELAY: Duration = Duration::from_secs(1);
/// How soon everything is told after the last topic that was told by itself: REGISTER_TOPIC_IN_NAMESRV says nothing of the
/// table's version. As long as a name server does not know that, the next period is news to it, and undoes what an administrator
/// has changed there meanwhile.
const VERSION_DELAY: Duration = Duration::from_millis(500);
/// So many more topics may be told one by one than a quarter of all.
const ONE_BY_ONE_MIN: usize = 16;

/// A name server as those see it that wait for it.
pub(super) struct NameServer {
    addr: String,
    wanted: Notify,
    everything_wanted: AtomicBool,
    /// The last change of the topics of which it has been told, or was to be told when it did not answer.
    settled: watch::Sender<ChangeNumber>,
    is_slow: AtomicBool,
    /// Held as long as its task lives.
    telling: tokio::sync::Mutex<()>,
}

impl NameServer {
    pub(super) fn new(addr: String) -> Self {
        Self {
            addr,
            wanted: Notify::new(),
            everything_wanted: AtomicBool::new(true),
            settled: watch::Sender::new(0),
            is_slow: AtomicBool::new(false),
            telling: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn addr(&self) -> &str {
        &self.addr
    }

    /// Whether it has not answered lately: nobody waits for it.
    pub(super) fn is_slow(&self) -> bool {
        self.is_slow.load(Ordering::Acquire)
    }

    pub(super) fn tell_changes(&self) {
        self.wanted.notify_one();
    }

    pub(super) fn tell_everything(&self) {
        self.everything_wanted.store(true, Ordering::Release);
        self.wanted.notify_one();
    }

    /// Resolves when it has been told of everything up to this change, or did not answer.
    pub(super) async fn told(&self, up_to: ChangeNumber) {
        // An error cannot be: the sender lives as long as this.
        let _ = self.settled.subscribe().wait_for(|settled| *settled >= up_to).await;
    }

    /// Who waited for this change waits no more.
    pub(super) fn found_wanting(&self, up_to: ChangeNumber) {
        if *self.settled.borrow() < up_to && !self.is_slow.swap(true, Ordering::AcqRel) {
            let (name_server, waited) = (&self.addr, ANSWER_WAIT);
            tracing::warn!(name_server, ?waited, "a name server does not answer: topics count as made without it");
        }
    }

    /// Resolves when its task, which somebody has ended, says nothing more.
    pub(super) async fn ended(&self) {
        drop(self.telling.lock().await);
    }

    fn settle(&self, up_to: ChangeNumber) {
        self.settled.send_if_modified(|settled| {
            let is_new = *settled < up_to;
            *settled = up_to.max(*settled);
            is_new
        });
    }
}

/// What a name server knows.
struct Told {
    /// By this connection: it forgets the broker with it.
    channel: Channel,
    /// Everything up to this change of the topics; `None` if it has not been told everything by this connection.
    up_to: Option<ChangeNumber>,
    /// It does not know REGISTER_TOPIC_IN_NAMESRV.
    is_of_4x: bool,
    /// It was told that this broker is not to be found.
    is_out: bool,
}

/// When what is due next.
struct Schedule {
    last: Instant,
    failed: bool,
    /// Everything, because topics were deleted.
    gone_at: Option<Instant>,
    /// Everything, because the name server does not know the table's version.
    version_at: Option<Instant>,
}

impl Schedule {
    /// When everything is due, if the usual period is `period`.
    fn everything_at(&self, period: Duration) -> Instant {
        let due = [self.gone_at, self.version_at].into_iter().flatten();
        due.fold(self.last + period, Instant::min)
    }
}

/// Tells a name server what there is to tell, for ever.
pub(super) async fn keep_told(name_server: Arc<NameServer>, core: Arc<Core>) {
    let _telling = name_server.telling.lock().await;
    let mut told: Option<Told> = None;
    let mut schedule = Schedule { last: Instant::now(), failed: false, gone_at: None, version_at: None };
    let mut everything = false;
    loop {
        everything |= name_server.everything_wanted.swap(false, Ordering::AcqRel);
        if everything {
            (schedule.last, schedule.gone_at, schedule.version_at) = (Instant::now(), None, None);
        }
        let round = Round { name_server: &name_server, core: &core };
        let outcome = round.tell(&mut told, everything).await;
        schedule.failed = outcome.is_none();
        match outcome {
            Some(Outcome::Told) => {}
            Some(Outcome::WithoutVersion) => schedule.version_at = Some(Instant::now() + VERSION_DELAY),
            Some(Outcome::SomeGone) => {
                schedule.gone_at.get_or_insert(Instant::now() + DELETION_DELAY);
            }
            None => {
                schedule.last = Instant::now();
                name_server.is_slow.store(true, Ordering::Release);
                name_server.settle(lock(&core.topics).tracked().last_change());
            }
        }
        everything = wait(&name_server, &core, told.as_ref(), &schedule).await;
    }
}

/// Waits until something is due; whether it is everything.
async fn wait(name_server: &NameServer, core: &Core, told: Option<&Told>, schedule: &Schedule) -> bool {
    loop {
        // Listen before looking, or an end that comes in between would be missed.
        let mut ended = pin!(core.links.ended.notified());
        ended.as_mut().enable();
        let is_lost = told.is_some_and(|told| !told.channel.is_open());
        if is_lost || schedule.failed {
            sleep_until(schedule.last + RETRY_PERIOD).await;
            return true;
        }
        let mut period = Duration::from_millis(core.config().register_name_server_period_ms);
        if is_searching(core) {
            period = period.min(SEARCH_PERIOD);
        }
        let due_at = schedule.everything_at(period);
        tokio::select! {
            biased;
            // First: single topics, however many, are no sign of life to a name server.
            () = sleep_until(due_at) => return true,
            () = name_server.wanted.notified() => return false,
            // Perhaps that of another.
            () = ended => {}
        }
    }
}

fn is_searching(core: &Core) -> bool {
    matches!(core.replication.get(), Some(Replication::Slave(service)) if !service.status().connected)
}

/// How a name server was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Told,
    /// Topics were told by themselves: the name server does not know the version of the table.
    WithoutVersion,
    /// Topics were deleted, which is told with everything.
    SomeGone,
}

struct Round<'a> {
    name_server: &'a NameServer,
    core: &'a Core,
}

/// What is to be told.
enum Plan {
    Everything,
    Topics(Vec<TopicConfig>),
    Nothing,
}

impl Round<'_> {
    /// Tells everything, or what is lacking; `None` if the name server did not answer.
    async fn tell(&self, told: &mut Option<Told>, everything: bool) -> Option<Outcome> {
        // A round that is lost counts as one without an answer.
        if sim::fault_point!("broker.registration.round-lost") {
            return None;
        }
        let timeout = self.timeout();
        let channel = match self.core.links.client.channel(&self.name_server.addr, timeout).await {
            Ok(channel) => channel,
            Err(error) => return self.failed(&error),
        };
        let told = match told {
            Some(told) if told.channel.id() == channel.id() => told,
            _ => told.insert(Told { channel, up_to: None, is_of_4x: false, is_out: false }),
        };
        loop {
            let asked_at = Instant::now();
            let (plan, up_to, are_gone) = self.plan(told, everything);
            let without_version = matches!(plan, Plan::Topics(_)) && !told.is_of_4x;
            let answered = match plan {
                Plan::Nothing => Ok(true),
                Plan::Everything => self.tell_everything(told, timeout).await,
                Plan::Topics(topics) if told.is_of_4x => self.tell_increment(told, topics, timeout).await,
                Plan::Topics(topics) => self.tell_topics(told, &topics, timeout).await,
            };
            if answered.is_ok() && asked_at.elapsed() < ANSWER_WAIT {
                self.name_server.is_slow.store(false, Ordering::Release);
            }
            match answered {
                Ok(true) => {
                    told.up_to = Some(up_to);
                    self.name_server.settle(up_to);
                    return Some(match (are_gone, without_version) {
                        (true, _) => Outcome::SomeGone,
                        (false, true) => Outcome::WithoutVersion,
                        (false, false) => Outcome::Told,
                    });
                }
                // In another way.
                Ok(false) => {}
                Err(error) => return self.failed(&error),
            }
        }
    }

    fn failed<T>(&self, error: &RemotingError) -> Option<T> {
        tracing::warn!(name_server = self.name_server.addr, %error, "a name server did not answer a registration");
        None
    }

    /// Whoever looks for its master asks again soon, and does not wait for name servers that are gone.
    fn timeout(&self) -> Duration {
        let timeout = self.core.config().register_broker_timeout();
        if is_searching(self.core) { timeout.min(SEARCH_PERIOD) } else { timeout }
    }

    /// What to tell; the name server then knows everything up to which change; and whether topics have gone.
    fn plan(&self, told: &Told, everything: bool) -> (Plan, ChangeNumber, bool) {
        let topics = lock(&self.core.topics);
        let last = topics.tracked().last_change();
        let Some(up_to) = told.up_to.filter(|_| !everything) else { return (Plan::Everything, last, false) };
        // Nobody takes a slave's topics.
        if up_to == last || self.core.is_slave() {
            return (Plan::Nothing, last, false);
        }
        let Some(lacks) = topics.to_register(up_to, permission(self.core)) else {
            return (Plan::Everything, last, false);
        };
        let count = lacks.topics.len();
        if count == 0 {
            return (Plan::Nothing, last, lacks.are_gone);
        }
        if count > topics.table().topic_config_table.len() / 4 + ONE_BY_ONE_MIN {
            return (Plan::Everything, last, false);
        }
        (Plan::Topics(lacks.topics), last, lacks.are_gone)
    }

    /// A slave that its master refuses is not to be found by clients, which would stay with it as long as it is in the route. Where
    /// its master is it asks all the same.
    async fn stay_out(&self, told: &mut Told, timeout: Duration) -> Result<bool, RemotingError> {
        if !told.is_out {
            let good_bye = RemotingCommand::request(request_code::UNREGISTER_BROKER, &good_bye(self.core));
            let response = told.channel.invoke(good_bye, timeout).await?;
            told.is_out = response.code == response_code::SUCCESS;
        }
        let request = RemotingCommand::request(request_code::GET_BROKER_CLUSTER_INFO, &());
        let response = told.channel.invoke(request, timeout).await?;
        // An answer that cannot be read says nothing.
        if let Ok(known) = ClusterInfo::decode(&response.body) {
            slave::look_for_master(self.core, &known).await;
        }
        Ok(true)
    }

    async fn tell_everything(&self, told: &mut Told, timeout: Duration) -> Result<bool, RemotingError> {
        if self.core.is_slave() && self.core.group.refused().is_some() {
            return self.stay_out(told, timeout).await;
        }
        told.is_out = false;
        let response = told.channel.invoke(self.registration(self.whole()), timeout).await?;
        if response.code == response_code::SUCCESS
            && let Some(Replication::Slave(service)) = self.core.replication.get()
            && let Ok(header) = response.header()
        {
            slave::learn_master(self.core, service, &header);
        }
        self.note(response);
        Ok(true)
    }

    /// Tells a name server of 4.x of some topics.
    async fn tell_increment(
        &self,
        told: &Told,
        topics: Vec<TopicConfig>,
        timeout: Duration,
    ) -> Result<bool, RemotingError> {
        let data_version = lock(&self.core.topics).table().data_version.clone();
        let topic_config_table = topics.into_iter().map(|config| (config.topic_name.clone(), config));
        let table = TopicConfigSerializeWrapper {
            data_version,
            topic_config_table: topic_config_table.collect::<BTreeMap<_, _>>(),
        };
        let response = told.channel.invoke(self.registration(body(table)), timeout).await?;
        self.note(response);
        Ok(true)
    }

    /// Tells a name server of some topics, one by one; whether it knows the request.
    async fn tell_topics(
        &self,
        told: &mut Told,
        topics: &[TopicConfig],
        timeout: Duration,
    ) -> Result<bool, RemotingError> {
        let broker_name = self.core.config().broker_name.clone();
        let asked = topics.iter().map(|config| {
            let queues = QueueData {
                broker_name: broker_name.clone(),
                perm: config.perm,
                read_queue_nums: config.read_queue_nums,
                topic_sys_flag: config.topic_sys_flag,
                write_queue_nums: config.write_queue_nums,
            };
            let route = TopicRouteData { queue_datas: vec![queues], ..TopicRouteData::default() };
            let header = RegisterTopicRequestHeader { topic: config.topic_name.clone() };
            let request = RemotingCommand::request(request_code::REGISTER_TOPIC_IN_NAMESRV, &header);
            told.channel.invoke(request.with_body(route.encode()), timeout)
        });
        for response in join_all(asked).await {
            let response = response?;
            if response.code == response_code::REQUEST_CODE_NOT_SUPPORTED {
                told.is_of_4x = true;
                return Ok(false);
            }
            self.note(response);
        }
        Ok(true)
    }

    /// One that refuses has answered; it is told everything again after the usual time.
    fn note(&self, response: RemotingCommand) {
        let name_server = &self.name_server.addr;
        match response.code {
            response_code::SUCCESS => tracing::debug!(name_server, "registered"),
            code => {
                let remark = response.remark.unwrap_or_default();
                tracing::warn!(name_server, code, remark, "a registration was refused by a name server");
            }
        }
    }

    /// REGISTER_BROKER with this body.
    fn registration(&self, body: Bytes) -> RemotingCommand {
        let config = self.core.config();
        let header = RegisterBrokerRequestHeader {
            broker_name: config.broker_name.clone(),
            broker_addr: self.core.broker_addr(),
            cluster_name: config.broker_cluster_name.clone(),
            ha_server_addr: self.core.ha_addr(),
            broker_id: config.broker_id,
            heartbeat_timeout_millis: None,
            enable_acting_master: None,
            compressed: false,
            body_crc32: i32::try_from(protocol::message::body_crc(&body)).unwrap_or(0),
        };
        RemotingCommand::request(request_code::REGISTER_BROKER, &header).with_body(body)
    }

    /// All topics as they are registered: encoded once for all name servers and periods until they change.
    fn whole(&self) -> Bytes {
        let permission = permission(self.core);
        let last = lock(&self.core.topics).tracked().last_change();
        if let Some((up_to, with, body)) = &*lock(&self.core.registrar.whole)
            && (*up_to, *with) == (last, permission)
        {
            return body.clone();
        }
        let (last, table) = {
            let topics = lock(&self.core.topics);
            (topics.tracked().last_change(), topics.registered(permission))
        };
        let body = body(table);
        *lock(&self.core.registrar.whole) = Some((last, permission, body.clone()));
        body
    }
}

fn body(table: TopicConfigSerializeWrapper) -> Bytes {
    RegisterBrokerBody { filter_server_list: Vec::new(), topic_config_serialize_wrapper: table }.encode()
}
