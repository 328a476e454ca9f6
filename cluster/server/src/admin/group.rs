//! Consumer groups: `updateSubGroup`, `deleteSubGroup`, `consumerProgress`, `resetOffsetByTime`.

use std::collections::BTreeMap;

use bytes::Bytes;
use clap::{ArgAction, Args};
use protocol::body::{
    ConsumeStats, ConsumeType, ConsumerConnection, JsonBody, MessageModel, MessageQueue, OffsetWrapper,
    ResetOffsetBody, SubscriptionGroupConfig,
};
use protocol::header::{
    ConsumerGroupRequestHeader, DeleteSubscriptionGroupRequestHeader, GetConsumeStatsRequestHeader,
    GetMaxOffsetRequestHeader, QueryConsumerOffsetRequestHeader, QueryConsumerOffsetResponseHeader,
    ResetOffsetRequestHeader, SearchOffsetRequestHeader, UpdateConsumerOffsetRequestHeader,
};
use protocol::{BrokerId, QueueOffset, request_code, response_code, topic};

use super::session::{AdminError, Missing, Session, Target};
use super::text;

/// `updateSubGroup`
#[derive(Debug, Args)]
pub struct UpdateSubGroup {
    #[command(flatten)]
    target: Target,
    /// The consumer group
    #[arg(short = 'g', long = "groupName")]
    group_name: String,
    /// Whether it may consume
    #[arg(short = 's', long = "consumeEnable", default_value_t = true, action = ArgAction::Set, value_parser = text::switch)]
    consume_enable: bool,
    /// Whether a new group may begin at a queue's first message
    #[arg(short = 'm', long = "consumeFromMinEnable", default_value_t = false, action = ArgAction::Set, value_parser = text::switch)]
    consume_from_min_enable: bool,
    /// Whether it may consume by broadcasting
    #[arg(short = 'd', long = "consumeBroadcastEnable", default_value_t = false, action = ArgAction::Set, value_parser = text::switch)]
    consume_broadcast_enable: bool,
    /// How many queues its retry topic has
    #[arg(short = 'q', long = "retryQueueNums", default_value_t = 1)]
    retry_queue_nums: i32,
    /// After how many vain attempts a message goes to the dead letter queue
    #[arg(short = 'r', long = "retryMaxTimes", default_value_t = 16)]
    retry_max_times: i32,
    /// The broker to read from
    #[arg(short = 'i', long = "brokerId", default_value_t = 0)]
    broker_id: i64,
    /// The broker to read from when it lags far behind
    #[arg(short = 'w', long = "whichBrokerWhenConsumeSlowly", default_value_t = 1)]
    which_broker_when_consume_slowly: i64,
    /// Whether its members are told when one joins or leaves
    #[arg(short = 'a', long = "notifyConsumerIdsChanged", default_value_t = true, action = ArgAction::Set, value_parser = text::switch)]
    notify_consumer_ids_changed: bool,
}

impl UpdateSubGroup {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let config = SubscriptionGroupConfig {
            consume_enable: self.consume_enable,
            consume_from_min_enable: self.consume_from_min_enable,
            consume_broadcast_enable: self.consume_broadcast_enable,
            retry_queue_nums: self.retry_queue_nums,
            retry_max_times: self.retry_max_times,
            broker_id: BrokerId(self.broker_id),
            which_broker_when_consume_slowly: BrokerId(self.which_broker_when_consume_slowly),
            notify_consumer_ids_changed_enable: self.notify_consumer_ids_changed,
            ..SubscriptionGroupConfig::new(&self.group_name)
        };
        let (mut out, mut missing) = (String::new(), Missing::default());
        for addr in session.brokers(&self.target).await? {
            let request = request_code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
            if missing.note(&addr, session.ask(&addr, request, &(), config.encode()).await).is_some() {
                out.push_str(&format!("create subscription group to {addr} success.\n"));
            }
        }
        out.push_str(&format!(
            "SubscriptionGroupConfig [groupName={}, consumeEnable={}, consumeFromMinEnable={}, consumeBroadcastEnable={}, \
             retryQueueNums={}, retryMaxTimes={}, brokerId={}, whichBrokerWhenConsumeSlowly={}, \
             notifyConsumerIdsChangedEnable={}]\n",
            config.group_name,
            config.consume_enable,
            config.consume_from_min_enable,
            config.consume_broadcast_enable,
            config.retry_queue_nums,
            config.retry_max_times,
            config.broker_id,
            config.which_broker_when_consume_slowly,
            config.notify_consumer_ids_changed_enable
        ));
        missing.end(out)
    }
}

/// `deleteSubGroup`
#[derive(Debug, Args)]
pub struct DeleteSubGroup {
    #[command(flatten)]
    target: Target,
    /// The consumer group
    #[arg(short = 'g', long = "groupName")]
    group_name: String,
    /// Whether its committed offsets go as well
    #[arg(short = 'r', long = "removeOffset", default_value_t = false, action = ArgAction::Set, value_parser = text::switch)]
    remove_offset: bool,
}

impl DeleteSubGroup {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let header = DeleteSubscriptionGroupRequestHeader {
            group_name: self.group_name.clone(),
            remove_offset: Some(self.remove_offset),
            clean_offset: Some(self.remove_offset),
        };
        let (mut out, mut missing) = (String::new(), Missing::default());
        for addr in session.brokers(&self.target).await? {
            let deleted = session.ask(&addr, request_code::DELETE_SUBSCRIPTIONGROUP, &header, Bytes::new()).await;
            if missing.note(&addr, deleted).is_some() {
                out.push_str(&format!(
                    "delete subscription group [{}] from broker [{addr}] success.\n",
                    self.group_name
                ));
            }
        }
        missing.end(out)
    }
}

/// `consumerProgress`
#[derive(Debug, Args)]
pub struct ConsumerProgress {
    /// The consumer group; without it, all of them are listed
    #[arg(short = 'g', long = "groupName")]
    group_name: Option<String>,
    /// One topic only
    #[arg(short = 't', long = "topicName")]
    topic_name: Option<String>,
}

/// What all brokers say of a group.
#[derive(Default)]
struct Progress {
    consume_tps: f64,
    queues: BTreeMap<MessageQueue, OffsetWrapper>,
}

impl Progress {
    async fn ask(
        session: &Session,
        group: &str,
        topic: Option<&str>,
        missing: &mut Missing,
    ) -> Result<Self, AdminError> {
        let header = GetConsumeStatsRequestHeader { consumer_group: group.to_owned(), topic: topic.map(str::to_owned) };
        let mut progress = Self::default();
        for broker in session.route(&topic::retry_topic(group)).await?.broker_datas {
            if let Some(addr) = broker.master_or_any_addr() {
                let response = session.ask(addr, request_code::GET_CONSUME_STATS, &header, Bytes::new()).await;
                let Some(response) = missing.note(&broker.broker_name, response) else { continue };
                let stats = ConsumeStats::decode(&response.body)?;
                progress.consume_tps += stats.consume_tps;
                progress.queues.extend(stats.offset_table);
            }
        }
        Ok(progress)
    }

    fn diff(&self) -> i64 {
        self.queues.values().map(|offset| offset.broker_offset - offset.consumer_offset).sum()
    }
}

impl ConsumerProgress {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        match &self.group_name {
            Some(group) => self.one(session, group).await,
            None => all(session).await,
        }
    }

    async fn one(&self, session: &Session, group: &str) -> Result<String, AdminError> {
        let mut missing = Missing::default();
        let progress = Progress::ask(session, group, self.topic_name.as_deref(), &mut missing).await?;
        let mut out = format!(
            "{:<64}  {:<32}  {:<4}  {:<20}  {:<20}  {:<20}  {}\n",
            "#Topic", "#Broker Name", "#QID", "#Broker Offset", "#Consumer Offset", "#Diff", "#LastTime"
        );
        for (queue, offset) in &progress.queues {
            out.push_str(&format!(
                "{:<64}  {:<32}  {:<4}  {:<20}  {:<20}  {:<20}  {}\n",
                queue.topic,
                queue.broker_name,
                queue.queue_id,
                offset.broker_offset.0,
                offset.consumer_offset.0,
                offset.broker_offset - offset.consumer_offset,
                session.times().time_or_none(offset.last_timestamp)
            ));
        }
        out.push_str(&format!("\nConsume TPS: {:.2}\nDiff Total: {}\n", progress.consume_tps, progress.diff()));
        missing.end(out)
    }
}

async fn all(session: &Session) -> Result<String, AdminError> {
    let response = session.ask_name_server(request_code::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, &()).await?;
    let topics = protocol::body::TopicList::decode(&response.body)?.topic_list;
    let mut missing = Missing::default();
    let mut out = format!(
        "{:<64}  {:<6}  {:<24} {:<5}  {:<14}  {:<7}  {}\n",
        "#Group", "#Count", "#Version", "#Type", "#Model", "#TPS", "#Diff Total"
    );
    for group in topics.iter().filter_map(|topic| topic.strip_prefix(topic::RETRY_TOPIC_PREFIX)) {
        let progress = Progress::ask(session, group, None, &mut missing).await;
        let connection = connection(session, group, &mut missing).await;
        let (Some(progress), Some(connection)) = (missing.note(group, progress), missing.note(group, connection))
        else {
            continue;
        };
        let (version, kind, model) = match &connection {
            Some(connection) => {
                let lowest = connection.connection_set.iter().map(|client| client.version).min().unwrap_or(0);
                let kind = if connection.consume_type == ConsumeType::Actively { "PULL" } else { "PUSH" };
                let model =
                    if connection.message_model == MessageModel::Broadcasting { "BROADCASTING" } else { "CLUSTERING" };
                (lowest.to_string(), kind, model)
            }
            None => ("OFFLINE".to_owned(), "", ""),
        };
        let count = connection.map_or(0, |connection| connection.connection_set.len());
        out.push_str(&format!(
            "{group:<64}  {count:<6}  {version:<24} {kind:<5}  {model:<14}  {:<7.0}  {}\n",
            progress.consume_tps,
            progress.diff()
        ));
    }
    missing.end(out)
}

/// The members of a group, if it is online anywhere.
async fn connection(
    session: &Session,
    group: &str,
    missing: &mut Missing,
) -> Result<Option<ConsumerConnection>, AdminError> {
    let header = ConsumerGroupRequestHeader { consumer_group: group.to_owned() };
    for broker in session.route(&topic::retry_topic(group)).await?.broker_datas {
        if let Some(addr) = broker.master_or_any_addr() {
            let response =
                session.ask_any(addr, request_code::GET_CONSUMER_CONNECTION_LIST, &header, Bytes::new()).await;
            let Some(response) = missing.note(&broker.broker_name, response) else { continue };
            if response.code == response_code::SUCCESS {
                return Ok(Some(ConsumerConnection::decode(&response.body)?));
            }
        }
    }
    Ok(None)
}

/// `resetOffsetByTime`
#[derive(Debug, Args)]
pub struct ResetOffsetByTime {
    /// The consumer group
    #[arg(short = 'g', long = "group")]
    group: String,
    /// The topic
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// Where to: `now` or -1 for the end, or a store time: in ms since 1970, or as yyyy-MM-dd#HH:mm:ss:SSS
    #[arg(short = 's', long = "timestamp")]
    timestamp: String,
    /// Whether offsets may also move forward
    #[arg(short = 'f', long = "force", default_value_t = true, action = ArgAction::Set, value_parser = text::switch)]
    force: bool,
}

impl ResetOffsetByTime {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let timestamp = match self.timestamp.trim() {
            "now" | "currentTimeMillis" => -1,
            text => session.times().parse(text).map_err(|error| AdminError::Usage(format!("-s: {error}, nor now")))?,
        };
        if timestamp < -1 {
            return Err(AdminError::Usage(format!("-s {timestamp} is before 1970; -1 and now are the end")));
        }
        let header = ResetOffsetRequestHeader {
            topic: self.topic.clone(),
            group: self.group.clone(),
            queue_id: None,
            offset: None,
            timestamp,
            is_force: self.force,
        };
        let mut out = format!(
            "rollback consumer offset by specified consumerGroup[{}], topic[{}], force[{}], timestamp(string)[{}], \
             timestamp(long)[{timestamp}]\n",
            self.group, self.topic, self.force, self.timestamp
        );
        let route = session.route(&self.topic).await?;
        let mut missing = Missing::default();
        let mut moved: BTreeMap<MessageQueue, QueueOffset> = BTreeMap::new();
        for broker in &route.broker_datas {
            let Some(addr) = broker.master_or_any_addr() else { continue };
            match session.ask(addr, request_code::INVOKE_BROKER_TO_RESET_OFFSET, &header, Bytes::new()).await {
                Ok(response) => moved.extend(ResetOffsetBody::decode(&response.body)?.offset_table),
                // Nobody of the group is there to be told: its offsets are set at the broker.
                Err(error) if error.code() == Some(response_code::CONSUMER_NOT_ONLINE) => {
                    let queues = route.queue_datas.iter().find(|queues| queues.broker_name == broker.broker_name);
                    let queue_nums = queues.map_or(0, |queues| queues.read_queue_nums);
                    let set = self.set_at_broker(session, addr, &broker.broker_name, queue_nums, timestamp).await;
                    out.push_str(&missing.note(&broker.broker_name, set).unwrap_or_default());
                }
                Err(error) => {
                    missing.note(&broker.broker_name, Err::<(), _>(error));
                }
            }
        }
        if !moved.is_empty() {
            out.push_str(&format!("{:<40}  {:<40}  {:<40}\n", "#brokerName", "#queueId", "#offset"));
        }
        for (queue, offset) in moved {
            out.push_str(&format!("{:<40}  {:<40}  {:<40}\n", queue.broker_name, queue.queue_id, offset.0));
        }
        missing.end(out)
    }

    async fn set_at_broker(
        &self,
        session: &Session,
        addr: &str,
        broker_name: &str,
        queue_nums: i32,
        timestamp: i64,
    ) -> Result<String, AdminError> {
        let columns =
            ["#brokerName", "#queueId", "#brokerOffset", "#consumerOffset", "#timestampOffset", "#rollbackOffset"];
        let line = |cells: [&str; 6]| cells.map(|cell| format!("{cell:<20}")).join("  ") + "\n";
        let mut out = line(columns);
        for queue_id in 0..queue_nums {
            let (topic, group) = (self.topic.clone(), self.group.clone());
            let header = GetMaxOffsetRequestHeader { topic: topic.clone(), queue_id, ..Default::default() };
            let max = session.ask_offset(addr, request_code::GET_MAX_OFFSET, &header).await?;
            let by_time = if timestamp == -1 {
                max
            } else {
                let header =
                    SearchOffsetRequestHeader { topic: topic.clone(), queue_id, timestamp, ..Default::default() };
                session.ask_offset(addr, request_code::SEARCH_OFFSET_BY_TIMESTAMP, &header).await?
            };
            let header = QueryConsumerOffsetRequestHeader {
                consumer_group: group.clone(),
                topic: topic.clone(),
                queue_id,
                set_zero_if_not_found: Some(false),
                broker_name: None,
            };
            let response = session.ask_any(addr, request_code::QUERY_CONSUMER_OFFSET, &header, Bytes::new()).await?;
            let committed = match response.code {
                response_code::SUCCESS => {
                    response.header::<QueryConsumerOffsetResponseHeader>()?.offset.map(|offset| offset.0)
                }
                _ => None,
            };
            let rollback = match committed {
                Some(committed) if !self.force && by_time > committed => committed,
                _ => by_time,
            };
            let header = UpdateConsumerOffsetRequestHeader {
                consumer_group: group,
                topic,
                queue_id,
                commit_offset: QueueOffset(rollback),
                broker_name: None,
            };
            session.ask(addr, request_code::UPDATE_CONSUMER_OFFSET, &header, Bytes::new()).await?;
            let cells =
                [queue_id.into(), max, committed.unwrap_or(-1), by_time, rollback].map(|cell: i64| cell.to_string());
            let [queue_id, max, committed, by_time, rollback] = &cells;
            out.push_str(&line([broker_name, queue_id, max, committed, by_time, rollback]));
        }
        Ok(out)
    }
}
