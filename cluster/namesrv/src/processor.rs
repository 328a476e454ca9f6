//! The requests that a name server answers (`DefaultRequestProcessor`, `ClientRequestProcessor`).
//!
//! What clients ask all the time is answered at once. What looks through all topics, what a broker registers with a long list
//! of topics, and what comes with it when one goes, runs in a [`Lane`], away from the tasks that serve connections; tables are
//! locked for a slice of the work at a time, and bodies are written when the lock has been given back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use group::witness::REPORT_BYTES_MAX;
use protocol::body::{DataVersion, JsonBody, RegisterBrokerBody, TopicConfig, TopicList, TopicRouteData};
use protocol::header::{
    AddWritePermOfBrokerResponseHeader, DeleteTopicFromNamesrvRequestHeader, GetKvConfigResponseHeader,
    GetKvListByNamespaceRequestHeader, GetRouteInfoRequestHeader, GetTopicsByClusterRequestHeader,
    KvConfigRequestHeader, PutKvConfigRequestHeader, QueryDataVersionRequestHeader, QueryDataVersionResponseHeader,
    RegisterBrokerRequestHeader, RegisterBrokerResponseHeader, RegisterTopicRequestHeader,
    UnRegisterBrokerRequestHeader, WipeWritePermOfBrokerResponseHeader, WritePermOfBrokerRequestHeader,
};
use protocol::message::body_crc;
use protocol::{HeaderError, RemotingCommand, request_code, response_code};
use remoting::{Channel, ChannelId, Lane, Reply, RequestHandler, bad_header, request_code_not_supported, system_error};
use sim::time::Instant;

use crate::config::{NamesrvConfig, Settings};
use crate::headers::{
    BrokerHeartbeatRequestHeader, GetBrokerMemberGroupRequestHeader, GetBrokerMemberGroupResponseBody,
};
use crate::kv_config::{KvConfig, ORDER_TOPIC_CONFIG, replace_file};
use crate::route_table::{Departed, Registration, RouteTable, Unmentioned};
use crate::witness::{Witness, WitnessError};

/// What the requests work on. Clones are the same.
#[derive(Clone)]
pub(crate) struct Processor(Arc<State>);

struct State {
    config: NamesrvConfig,
    started: Instant,
    settings: Mutex<Settings>,
    routes: Mutex<RouteTable>,
    /// The connections that brokers registered by.
    broker_channels: Mutex<BTreeMap<ChannelId, Channel>>,
    kv_config: Mutex<KvConfig>,
    witness: Mutex<Witness>,
    /// For requests that may take long.
    lane: Lane,
    /// Held while a file is written, so that changes are written one after the other.
    writing: tokio::sync::Mutex<()>,
}

/// A response; or an error that becomes one.
type Answer = Result<RemotingCommand, HeaderError>;

fn success() -> RemotingCommand {
    RemotingCommand::response(response_code::SUCCESS)
}

fn topic_list(topic_list: BTreeSet<String>) -> RemotingCommand {
    success().with_body(TopicList { broker_addr: None, topic_list }.encode())
}

fn refused(what: &str) -> RemotingCommand {
    RemotingCommand::response(response_code::NO_PERMISSION).with_remark(what)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // All that runs under these locks either finishes or has not changed anything yet.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A body that is read in no time.
const SHORT_BODY_BYTES: usize = 16 << 10;
/// The longest body of a request that is no registration.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Topics, and objects within them, in one registration.
const OBJECTS_MAX: usize = 200_000;
/// So many topics are taken in before others may have the table.
const TOPICS_AT_A_TIME: usize = 1_000;

/// The answer to a request of this code whose body has too many bytes.
fn refuse_bytes(code: i32, bytes: usize) -> Option<RemotingCommand> {
    let most = match code {
        request_code::REGISTER_BROKER => usize::MAX,
        request_code::WITNESS_REPLICA_GROUP => REPORT_BYTES_MAX,
        _ => BODY_BYTES_MAX,
    };
    (bytes > most).then(|| {
        let remark = format!("the body of request {code} has {bytes} bytes, at most {most} are taken");
        RemotingCommand::response(response_code::INVALID_PARAMETER).with_remark(remark)
    })
}

/// Why a request is not taken, if it is not: it brings too much.
fn refusal(request: &RemotingCommand) -> Option<RemotingCommand> {
    let (code, bytes) = (request.code, request.body.len());
    refuse_bytes(code, bytes).or_else(|| {
        let objects = if bytes > OBJECTS_MAX { memchr::memchr_iter(b'{', &request.body).count() } else { 0 };
        (objects > OBJECTS_MAX).then(|| {
            let remark = format!("the body of request {code} has {objects} objects, at most {OBJECTS_MAX} are taken");
            RemotingCommand::response(response_code::INVALID_PARAMETER).with_remark(remark)
        })
    })
}

/// Whether a request may take long.
fn may_take_long(request: &RemotingCommand) -> bool {
    match request.code {
        request_code::GET_ROUTEINFO_BY_TOPIC
        | request_code::BROKER_HEARTBEAT
        | request_code::QUERY_DATA_VERSION
        | request_code::GET_BROKER_MEMBER_GROUP
        | request_code::DELETE_TOPIC_IN_NAMESRV
        | request_code::GET_KV_CONFIG
        | request_code::PUT_KV_CONFIG
        | request_code::DELETE_KV_CONFIG
        | request_code::GET_NAMESRV_CONFIG
        | request_code::REGISTER_BROKER
        | request_code::REGISTER_TOPIC_IN_NAMESRV
        | request_code::UPDATE_NAMESRV_CONFIG
        | request_code::WITNESS_REPLICA_GROUP => request.body.len() > SHORT_BODY_BYTES,
        _ => true,
    }
}

impl RequestHandler for Processor {
    fn handle(&self, channel: &Channel, request: RemotingCommand) -> Reply {
        if let Some(refusal) = refusal(&request) {
            return refusal.into();
        }
        if !may_take_long(&request) {
            return self.answer(channel, request);
        }
        let (processor, channel) = (self.clone(), channel.clone());
        Reply::later(async move {
            let lane = processor.0.lane.clone();
            let id = channel.id();
            let answered = lane.run(id, async move {
                match processor.answer(&channel, request) {
                    Reply::Now(response) => Some(response),
                    Reply::Later(reply) => reply.await,
                    Reply::Elsewhere => None,
                }
            });
            answered.await.unwrap_or_else(|busy| {
                Some(RemotingCommand::response(response_code::SYSTEM_BUSY).with_remark(busy.to_string()))
            })
        })
    }

    fn refuse(&self, head: &RemotingCommand, body_bytes: usize) -> Option<RemotingCommand> {
        refuse_bytes(head.code, body_bytes)
    }

    fn on_close(&self, channel: &Channel) {
        let registered_by = lock(&self.0.broker_channels).remove(&channel.id()).is_some();
        if registered_by {
            let departed = lock(&self.0.routes).channel_closed(channel.id());
            log_departed(&departed, "its connection ended");
        }
    }
}

impl Processor {
    fn answer(&self, channel: &Channel, request: RemotingCommand) -> Reply {
        let answer = match request.code {
            request_code::GET_ROUTEINFO_BY_TOPIC => self.route_info(&request),
            request_code::REGISTER_BROKER => self.register_broker(channel, &request),
            request_code::UNREGISTER_BROKER => self.unregister_broker(channel, &request),
            request_code::BROKER_HEARTBEAT => self.broker_heartbeat(&request),
            request_code::QUERY_DATA_VERSION => self.query_data_version(&request),
            request_code::GET_BROKER_CLUSTER_INFO => {
                let info = lock(&self.0.routes).cluster_info();
                Ok(success().with_body(info.encode()))
            }
            request_code::GET_BROKER_MEMBER_GROUP => self.broker_member_group(&request),
            request_code::WIPE_WRITE_PERM_OF_BROKER => self.wipe_write_perm(&request),
            request_code::ADD_WRITE_PERM_OF_BROKER => self.add_write_perm(&request),
            request_code::GET_ALL_TOPIC_LIST_FROM_NAMESERVER => Ok(self.all_topics()),
            request_code::GET_TOPICS_BY_CLUSTER => self.topics_of_cluster(&request),
            request_code::GET_SYSTEM_TOPIC_LIST_FROM_NS => {
                let topics = lock(&self.0.routes).system_topics();
                Ok(success().with_body(topics.encode()))
            }
            request_code::GET_UNIT_TOPIC_LIST => Ok(self.topics_by_flags(|unit, _| unit)),
            request_code::GET_HAS_UNIT_SUB_TOPIC_LIST => Ok(self.topics_by_flags(|_, unit_sub| unit_sub)),
            request_code::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST => {
                Ok(self.topics_by_flags(|unit, unit_sub| !unit && unit_sub))
            }
            request_code::DELETE_TOPIC_IN_NAMESRV => self.delete_topic(&request),
            request_code::REGISTER_TOPIC_IN_NAMESRV => self.register_topic(&request),
            request_code::GET_KV_CONFIG => self.get_kv(&request),
            request_code::GET_KVLIST_BY_NAMESPACE => self.list_kv(&request),
            request_code::PUT_KV_CONFIG => match request.header() {
                Ok(PutKvConfigRequestHeader { namespace, key, value }) => {
                    return self.change_kv(move |kv| kv.with(namespace, key, value));
                }
                Err(error) => Err(error),
            },
            request_code::DELETE_KV_CONFIG => match request.header() {
                Ok(KvConfigRequestHeader { namespace, key }) => {
                    return self.change_kv(move |kv| kv.without(&namespace, &key));
                }
                Err(error) => Err(error),
            },
            request_code::GET_NAMESRV_CONFIG => {
                Ok(success().with_body(self.0.config.properties(&lock(&self.0.settings))))
            }
            request_code::UPDATE_NAMESRV_CONFIG => return self.update_config(&request),
            request_code::WITNESS_REPLICA_GROUP => return self.witness(request),
            code => Ok(request_code_not_supported(code)),
        };
        answer.unwrap_or_else(|error| bad_header(&error)).into()
    }
}

/// Leaves the first `count` topics, and gives the others.
fn split_off(topics: &mut BTreeMap<String, TopicConfig>, count: usize) -> BTreeMap<String, TopicConfig> {
    match topics.keys().nth(count).cloned() {
        Some(first) => topics.split_off(&first),
        None => BTreeMap::new(),
    }
}

fn log_departed(departed: &[Departed], why: &str) {
    for Departed { broker_addr, broker_name, broker_id, .. } in departed {
        tracing::warn!(%broker_addr, %broker_name, %broker_id, why, "broker taken off the routes");
    }
}

impl Processor {
    pub fn new(config: NamesrvConfig, kv_config: KvConfig, witness: Witness) -> Self {
        Self(Arc::new(State {
            started: Instant::now(),
            settings: Mutex::new(config.settings),
            routes: Mutex::default(),
            broker_channels: Mutex::default(),
            kv_config: Mutex::new(kv_config),
            witness: Mutex::new(witness),
            lane: Lane::default(),
            writing: tokio::sync::Mutex::new(()),
            config,
        }))
    }

    pub fn scan_interval(&self) -> Duration {
        lock(&self.0.settings).scan_not_active_broker_interval
    }

    /// Takes the brokers off the routes that have been silent for too long, and closes their connections.
    pub fn expire_brokers(&self) {
        if sim::fault_point!("namesrv.scan.skipped") {
            return;
        }
        let departed = lock(&self.0.routes).expire(self.now_ms());
        log_departed(&departed, "it was silent");
        for Departed { channel, .. } in &departed {
            let channel = lock(&self.0.broker_channels).get(channel).cloned();
            if let Some(channel) = channel {
                channel.close();
            }
        }
    }

    /// The monotonic clock: a step of the wall clock must not expire all brokers, as it does in Apache's name server.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn route_info(&self, request: &RemotingCommand) -> Answer {
        let GetRouteInfoRequestHeader { topic, .. } = request.header()?;
        let settings = *lock(&self.0.settings);
        let route = lock(&self.0.routes).route(&topic, settings.support_acting_master);
        // As a name server answers that has just been started.
        let Some(mut route) = route.filter(|_| !sim::fault_point!("namesrv.route.unknown", 0.05)) else {
            let remark = format!("No topic route info in name server for the topic: {topic}");
            return Ok(RemotingCommand::response(response_code::TOPIC_NOT_EXIST).with_remark(remark));
        };
        if settings.order_message_enable {
            route.order_topic_conf = lock(&self.0.kv_config).get(ORDER_TOPIC_CONFIG, &topic).map(str::to_owned);
        }
        Ok(success().with_body(route.encode()))
    }

    fn register_broker(&self, channel: &Channel, request: &RemotingCommand) -> Answer {
        let header: RegisterBrokerRequestHeader = request.header()?;
        if header.body_crc32 != 0 && u32::try_from(header.body_crc32) != Ok(body_crc(&request.body)) {
            return Ok(system_error("crc32 not match"));
        }
        let body = if request.body.is_empty() {
            RegisterBrokerBody::default()
        } else {
            match RegisterBrokerBody::decode_as(&request.body, header.compressed) {
                Ok(body) => body,
                Err(error) => return Ok(system_error(error)),
            }
        };
        let settings = *lock(&self.0.settings);
        let expires_after_ms = header.heartbeat_timeout_millis.and_then(|timeout| u64::try_from(timeout).ok());
        let wrapper = body.topic_config_serialize_wrapper;
        let mut registration = Registration {
            cluster_name: header.cluster_name,
            broker_name: header.broker_name,
            broker_id: header.broker_id,
            broker_addr: header.broker_addr,
            ha_server_addr: header.ha_server_addr,
            expires_after_ms: expires_after_ms.unwrap_or_else(|| self.default_expiry_ms()),
            enable_acting_master: header.enable_acting_master,
            data_version: wrapper.data_version,
            topics: wrapper.topic_config_table,
            channel: channel.id(),
        };
        let unmentioned = match settings.delete_topic_with_broker_registration {
            true => Unmentioned::Deleted,
            false => Unmentioned::Kept,
        };
        let who = (registration.broker_addr.clone(), registration.broker_name.clone(), registration.broker_id);
        let now_ms = self.now_ms();
        let mut routes = lock(&self.0.routes);
        if let Err(no_room) = routes.check_room(&registration) {
            drop(routes);
            tracing::warn!(broker_addr = who.0, broker_name = who.1, %no_room, "registration refused");
            return Ok(system_error(no_room));
        }
        let mut further = match unmentioned {
            Unmentioned::Kept => split_off(&mut registration.topics, TOPICS_AT_A_TIME),
            Unmentioned::Deleted => BTreeMap::new(),
        };
        let is_new = routes.data_version(&who.0).is_none();
        let registered = routes.begin_registration(registration, unmentioned, now_ms);
        drop(routes);
        let registered = match registered {
            Ok((registered, taking)) => {
                while let Some(taking) = taking.filter(|_| !further.is_empty()) {
                    let later = split_off(&mut further, TOPICS_AT_A_TIME);
                    lock(&self.0.routes).go_on(&who.0, &who.1, &further, taking);
                    further = later;
                }
                registered
            }
            Err(stale) => {
                tracing::warn!(%stale, "registration refused");
                return Ok(system_error(stale));
            }
        };
        lock(&self.0.broker_channels).insert(channel.id(), channel.clone());
        if !channel.is_open() {
            // It has ended while this was being read.
            self.on_close(channel);
        }
        if is_new {
            let (broker_addr, broker_name, broker_id) = who;
            tracing::info!(%broker_addr, %broker_name, %broker_id, "new broker registered");
        }
        let response = RemotingCommand::response_with(
            response_code::SUCCESS,
            &RegisterBrokerResponseHeader {
                ha_server_addr: registered.ha_server_addr,
                master_addr: registered.master_addr,
            },
        );
        let order_config = match settings.return_order_topic_config_to_broker {
            true => lock(&self.0.kv_config).list(ORDER_TOPIC_CONFIG),
            false => None,
        };
        Ok(match order_config {
            Some(order_config) => response.with_body(order_config.encode()),
            None => response,
        })
    }

    fn default_expiry_ms(&self) -> u64 {
        u64::try_from(self.0.config.broker_channel_expired_time.as_millis()).unwrap_or(u64::MAX)
    }

    fn unregister_broker(&self, channel: &Channel, request: &RemotingCommand) -> Answer {
        let UnRegisterBrokerRequestHeader { broker_name, broker_addr, broker_id, .. } = request.header()?;
        let is_broker = lock(&self.0.broker_channels).contains_key(&channel.id());
        let registered_by = lock(&self.0.routes).registered_by(&broker_addr);
        if is_broker && registered_by.is_some_and(|registered_by| registered_by > channel.id()) {
            tracing::info!(%broker_addr, %broker_name, "a good-bye of an earlier life of the broker: left out");
            return Ok(success());
        }
        let known = lock(&self.0.routes).unregister(&broker_addr, &broker_name);
        tracing::info!(%broker_addr, %broker_name, %broker_id, known, "broker unregistered");
        Ok(success())
    }

    fn broker_heartbeat(&self, request: &RemotingCommand) -> Answer {
        let BrokerHeartbeatRequestHeader { broker_addr } = request.header()?;
        let now_ms = self.now_ms();
        // One that is not known learns it by QUERY_DATA_VERSION, or registers anyway.
        lock(&self.0.routes).heard(&broker_addr, now_ms);
        Ok(success())
    }

    fn query_data_version(&self, request: &RemotingCommand) -> Answer {
        let QueryDataVersionRequestHeader { broker_addr, .. } = request.header()?;
        let data_version = match DataVersion::decode(&request.body) {
            Ok(data_version) => data_version,
            Err(error) => return Ok(system_error(error)),
        };
        let now_ms = self.now_ms();
        let mut routes = lock(&self.0.routes);
        let changed = routes.is_changed(&broker_addr, &data_version);
        routes.heard(&broker_addr, now_ms);
        let known = routes.data_version(&broker_addr).map(JsonBody::encode);
        drop(routes);
        let response =
            RemotingCommand::response_with(response_code::SUCCESS, &QueryDataVersionResponseHeader { changed });
        Ok(match known {
            Some(known) => response.with_body(known),
            None => response,
        })
    }

    fn broker_member_group(&self, request: &RemotingCommand) -> Answer {
        let GetBrokerMemberGroupRequestHeader { cluster_name, broker_name } = request.header()?;
        let data = lock(&self.0.routes).broker_data(&broker_name).filter(|data| data.cluster == cluster_name);
        let mut body =
            GetBrokerMemberGroupResponseBody { broker_member_group: data.map(Into::into).unwrap_or_default() };
        body.broker_member_group.broker_name = broker_name;
        body.broker_member_group.cluster = cluster_name;
        Ok(success().with_body(body.encode()))
    }

    fn wipe_write_perm(&self, request: &RemotingCommand) -> Answer {
        let WritePermOfBrokerRequestHeader { broker_name } = request.header()?;
        let count = lock(&self.0.routes).wipe_write_perm(&broker_name);
        tracing::info!(%broker_name, count, "write permission wiped");
        let header = WipeWritePermOfBrokerResponseHeader { wipe_topic_count: i32::try_from(count).unwrap_or(i32::MAX) };
        Ok(RemotingCommand::response_with(response_code::SUCCESS, &header))
    }

    fn add_write_perm(&self, request: &RemotingCommand) -> Answer {
        let WritePermOfBrokerRequestHeader { broker_name } = request.header()?;
        let count = lock(&self.0.routes).add_write_perm(&broker_name);
        tracing::info!(%broker_name, count, "write permission added");
        let header = AddWritePermOfBrokerResponseHeader { add_topic_count: i32::try_from(count).unwrap_or(i32::MAX) };
        Ok(RemotingCommand::response_with(response_code::SUCCESS, &header))
    }

    fn all_topics(&self) -> RemotingCommand {
        if !lock(&self.0.settings).enable_all_topic_list {
            return refused("the list of all topics is disabled by enableAllTopicList");
        }
        let topics = lock(&self.0.routes).all_topics();
        topic_list(topics)
    }

    fn topics_of_cluster(&self, request: &RemotingCommand) -> Answer {
        if !lock(&self.0.settings).enable_topic_list {
            return Ok(refused("the list of a cluster's topics is disabled by enableTopicList"));
        }
        let GetTopicsByClusterRequestHeader { cluster } = request.header()?;
        let topics = lock(&self.0.routes).topics_of_cluster(&cluster);
        Ok(topic_list(topics))
    }

    fn topics_by_flags(&self, wanted: impl Fn(bool, bool) -> bool) -> RemotingCommand {
        let topics = lock(&self.0.routes).topics_by_flags(wanted);
        topic_list(topics)
    }

    fn delete_topic(&self, request: &RemotingCommand) -> Answer {
        let DeleteTopicFromNamesrvRequestHeader { topic, cluster_name } = request.header()?;
        let cluster_name = cluster_name.filter(|name| !name.is_empty());
        lock(&self.0.routes).delete_topic(&topic, cluster_name.as_deref());
        tracing::info!(%topic, cluster_name = cluster_name.as_deref().unwrap_or("*"), "topic deleted");
        Ok(success())
    }

    fn register_topic(&self, request: &RemotingCommand) -> Answer {
        let RegisterTopicRequestHeader { topic } = request.header()?;
        let route = match TopicRouteData::decode(&request.body) {
            Ok(route) => route,
            Err(error) => return Ok(system_error(error)),
        };
        let unknown = lock(&self.0.routes).register_topic(&topic, route.queue_datas);
        if !unknown.is_empty() {
            tracing::warn!(%topic, ?unknown, "topic registered for brokers that are not known: left out");
        }
        Ok(success())
    }

    fn get_kv(&self, request: &RemotingCommand) -> Answer {
        let KvConfigRequestHeader { namespace, key } = request.header()?;
        let value = lock(&self.0.kv_config).get(&namespace, &key).map(str::to_owned);
        let code = if value.is_some() { response_code::SUCCESS } else { response_code::QUERY_NOT_FOUND };
        let response = RemotingCommand::response_with(code, &GetKvConfigResponseHeader { value });
        Ok(match code {
            response_code::SUCCESS => response,
            _ => response.with_remark(format!("No config item, Namespace: {namespace} Key: {key}")),
        })
    }

    fn list_kv(&self, request: &RemotingCommand) -> Answer {
        let GetKvListByNamespaceRequestHeader { namespace } = request.header()?;
        Ok(match lock(&self.0.kv_config).list(&namespace) {
            Some(table) => success().with_body(table.encode()),
            None => RemotingCommand::response(response_code::QUERY_NOT_FOUND)
                .with_remark(format!("No config item, Namespace: {namespace}")),
        })
    }

    /// Changes the key-value configuration: in the file first, then in memory.
    fn change_kv(&self, change: impl FnOnce(&KvConfig) -> KvConfig + Send + 'static) -> Reply {
        let state = Arc::clone(&self.0);
        Reply::later(async move {
            let _writing = state.writing.lock().await;
            let changed = {
                let known = lock(&state.kv_config);
                let changed = change(&known);
                if changed == *known {
                    return Some(success());
                }
                changed
            };
            if changed.is_too_large() {
                return Some(system_error(format_args!(
                    "the key-value configuration would have more than {} bytes",
                    KvConfig::BYTES_MAX
                )));
            }
            Some(match changed.store().await {
                Ok(()) => {
                    *lock(&state.kv_config) = changed;
                    success()
                }
                Err(error) => {
                    tracing::error!(%error, "the key-value configuration was not changed");
                    system_error(error)
                }
            })
        })
    }

    /// A broker asks what is known of its replica group, or tells of it.
    fn witness(&self, request: RemotingCommand) -> Reply {
        let state = Arc::clone(&self.0);
        Reply::later(async move {
            let _writing = state.writing.lock().await;
            let taken = async {
                let (record, changed) = lock(&state.witness).take(&request.body)?;
                if let Some(changed) = changed {
                    changed.store().await?;
                    *lock(&state.witness) = changed;
                }
                Ok::<_, WitnessError>(record)
            };
            Some(match taken.await {
                Ok(Some(record)) => match serde_json::to_vec(&record) {
                    Ok(body) => success().with_body(body),
                    Err(error) => system_error(error),
                },
                Ok(None) => success(),
                Err(error) => {
                    tracing::warn!(%error, "a report of a replica group was not taken");
                    system_error(error)
                }
            })
        })
    }

    fn update_config(&self, request: &RemotingCommand) -> Reply {
        let mut settings = *lock(&self.0.settings);
        let text = String::from_utf8_lossy(&request.body);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '!']));
        for line in lines {
            let (key, value) = line.split_once(['=', ':']).unwrap_or((line, ""));
            if let Err(error) = settings.set(key.trim(), value.trim()) {
                return system_error(error).into();
            }
        }
        let processor = self.clone();
        Reply::later(async move {
            let _writing = processor.0.writing.lock().await;
            if let Some(path) = &processor.0.config.config_store_path
                && let Err(error) = replace_file(path, processor.0.config.properties(&settings).as_bytes()).await
            {
                tracing::error!(%error, "the settings were not changed");
                return Some(system_error(error));
            }
            *lock(&processor.0.settings) = settings;
            tracing::info!(?settings, "settings changed");
            Some(success())
        })
    }
}
