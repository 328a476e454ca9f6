//! Topics: `updateTopic`, `updateTopicPerm`, `deleteTopic`, `topicList`, `topicRoute`, `topicStatus`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use clap::Args;
use protocol::body::{GroupList, JsonBody, MessageQueue, TopicOffset, TopicStatsTable};
use protocol::header::{
    CreateTopicRequestHeader, DeleteTopicFromNamesrvRequestHeader, DeleteTopicRequestHeader,
    GetTopicStatsInfoRequestHeader, QueryTopicConsumeByWhoRequestHeader,
};
use protocol::{request_code, topic};

use super::session::{AdminError, Missing, Session, Target};
use super::text;

/// `updateTopic`
#[derive(Debug, Args)]
pub struct UpdateTopic {
    #[command(flatten)]
    target: Target,
    /// The topic
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// How many queues can be read
    #[arg(short = 'r', long = "readQueueNums", default_value_t = 8)]
    read_queue_nums: i32,
    /// How many queues can be written
    #[arg(short = 'w', long = "writeQueueNums", default_value_t = 8)]
    write_queue_nums: i32,
    /// 2 (write), 4 (read) or 6 (both)
    #[arg(short = 'p', long = "perm", default_value_t = 6)]
    perm: i32,
    /// Whether the topic is globally ordered
    #[arg(short = 'o', long = "order", num_args = 0..=1, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set, value_parser = text::switch)]
    order: bool,
}

impl UpdateTopic {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        topic::validate_topic(&self.topic).map_err(|error| AdminError::Usage(error.to_string()))?;
        let header = CreateTopicRequestHeader {
            topic: self.topic.clone(),
            default_topic: topic::AUTO_CREATE_TOPIC_KEY.to_owned(),
            read_queue_nums: self.read_queue_nums,
            write_queue_nums: self.write_queue_nums,
            perm: self.perm,
            topic_filter_type: "SINGLE_TAG".to_owned(),
            topic_sys_flag: Some(0),
            order: self.order,
            attributes: None,
        };
        let (mut out, mut missing) = (String::new(), Missing::default());
        for addr in session.brokers(&self.target).await? {
            let created = session.ask(&addr, request_code::UPDATE_AND_CREATE_TOPIC, &header, Bytes::new()).await;
            if missing.note(&addr, created).is_some() {
                out.push_str(&format!("create topic to {addr} success.\n"));
            }
        }
        out.push_str(&format!(
            "TopicConfig [topicName={}, readQueueNums={}, writeQueueNums={}, perm={}, topicFilterType=SINGLE_TAG, \
             topicSysFlag=0, order={}]\n",
            self.topic,
            self.read_queue_nums,
            self.write_queue_nums,
            text::perm(self.perm),
            self.order
        ));
        missing.end(out)
    }
}

/// `updateTopicPerm`
#[derive(Debug, Args)]
pub struct UpdateTopicPerm {
    #[command(flatten)]
    target: Target,
    /// The topic
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// 2 (write), 4 (read) or 6 (both)
    #[arg(short = 'p', long = "perm")]
    perm: i32,
}

impl UpdateTopicPerm {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let route = session.route(&self.topic).await?;
        let (mut out, mut missing) = (String::new(), Missing::default());
        for addr in session.brokers(&self.target).await? {
            let broker = route.broker_datas.iter().find(|broker| broker.broker_addrs.values().any(|it| *it == addr));
            let queues =
                broker.and_then(|broker| route.queue_datas.iter().find(|it| it.broker_name == broker.broker_name));
            let Some(queues) = queues else {
                missing.note(&addr, Err::<(), _>(AdminError::Usage(format!("topic {} is not there", self.topic))));
                continue;
            };
            let header = CreateTopicRequestHeader {
                topic: self.topic.clone(),
                default_topic: topic::AUTO_CREATE_TOPIC_KEY.to_owned(),
                read_queue_nums: queues.read_queue_nums,
                write_queue_nums: queues.write_queue_nums,
                perm: self.perm,
                topic_filter_type: "SINGLE_TAG".to_owned(),
                topic_sys_flag: Some(queues.topic_sys_flag),
                order: false,
                attributes: None,
            };
            let updated = session.ask(&addr, request_code::UPDATE_AND_CREATE_TOPIC, &header, Bytes::new()).await;
            if missing.note(&addr, updated).is_some() {
                let (from, to) = (text::perm(queues.perm), text::perm(self.perm));
                out.push_str(&format!("update topic perm from {from} to {to} in {addr} success.\n"));
            }
        }
        missing.end(out)
    }
}

/// `deleteTopic`
#[derive(Debug, Args)]
pub struct DeleteTopic {
    /// The topic
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// The cluster whose brokers have it
    #[arg(short = 'c', long = "clusterName")]
    cluster_name: String,
}

impl DeleteTopic {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let header = DeleteTopicRequestHeader { topic: self.topic.clone() };
        let (mut out, mut missing) = (String::new(), Missing::default());
        for addr in session.masters_of(&self.cluster_name).await? {
            let deleted = session.ask(&addr, request_code::DELETE_TOPIC_IN_BROKER, &header, Bytes::new()).await;
            missing.note(&addr, deleted);
        }
        if missing.is_empty() {
            out.push_str(&format!("delete topic [{}] from cluster [{}] success.\n", self.topic, self.cluster_name));
        }
        let header = DeleteTopicFromNamesrvRequestHeader { topic: self.topic.clone(), ..Default::default() };
        // They know nothing of one another: each is told.
        let mut at_name_servers = Missing::default();
        for addr in session.name_servers()? {
            let deleted = session.ask(&addr, request_code::DELETE_TOPIC_IN_NAMESRV, &header, Bytes::new()).await;
            at_name_servers.note(&addr, deleted);
        }
        if at_name_servers.is_empty() {
            out.push_str(&format!("delete topic [{}] from NameServer success.\n", self.topic));
        }
        missing.and(at_name_servers).end(out)
    }
}

/// `topicList`
#[derive(Debug, Args)]
pub struct TopicList {
    /// Show the cluster and the consumer groups of each topic
    #[arg(short = 'c', long = "clusterModel")]
    cluster_model: bool,
}

impl TopicList {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let response = session.ask_name_server(request_code::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, &()).await?;
        let list = protocol::body::TopicList::decode(&response.body)?.topic_list;
        if self.cluster_model {
            return by_cluster(session, &list).await;
        }
        Ok(list.iter().map(|topic| format!("{topic}\n")).collect())
    }
}

/// The topics that are not the cluster's own, each with its cluster and its consumer groups.
async fn by_cluster<'a>(session: &Session, topics: impl IntoIterator<Item = &'a String>) -> Result<String, AdminError> {
    let mut missing = Missing::default();
    let line = |cells: [&str; 3]| format!("{:<20}  {:<48}  {:<48}\n", cells[0], cells[1], cells[2]);
    let mut out = line(["#Cluster Name", "#Topic", "#Consumer Group"]);
    let is_ours = |name: &str| name.starts_with(topic::RETRY_TOPIC_PREFIX) || name.starts_with(topic::DLQ_TOPIC_PREFIX);
    for name in topics.into_iter().filter(|name| !is_ours(name)) {
        let Some(route) = missing.note(name, session.route(name).await) else { continue };
        let mut groups = BTreeSet::new();
        let header = QueryTopicConsumeByWhoRequestHeader { topic: name.clone() };
        for broker in &route.broker_datas {
            let Some(addr) = broker.master_or_any_addr() else { continue };
            let response = session.ask(addr, request_code::QUERY_TOPIC_CONSUME_BY_WHO, &header, Bytes::new()).await;
            if let Some(response) = missing.note(&broker.broker_name, response) {
                groups.extend(GroupList::decode(&response.body)?.group_list);
            }
        }
        let cluster = route.broker_datas.first().map_or("", |broker| broker.cluster.as_str());
        if groups.is_empty() {
            groups.insert(String::new());
        }
        out.extend(groups.iter().map(|group| line([cluster, name, group])));
    }
    missing.end(out)
}

/// `topicRoute`
#[derive(Debug, Args)]
pub struct TopicRoute {
    /// The topic
    #[arg(short = 't', long = "topic")]
    topic: String,
}

impl TopicRoute {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let route = session.route(&self.topic).await?;
        let mut out = String::from_utf8_lossy(&route.encode_pretty()).into_owned();
        out.push('\n');
        Ok(out)
    }
}

/// `topicStatus`
#[derive(Debug, Args)]
pub struct TopicStatus {
    /// The topic
    #[arg(short = 't', long = "topic")]
    topic: String,
}

impl TopicStatus {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let header = GetTopicStatsInfoRequestHeader { topic: self.topic.clone() };
        let mut table: BTreeMap<MessageQueue, TopicOffset> = BTreeMap::new();
        let mut missing = Missing::default();
        for broker in session.route(&self.topic).await?.broker_datas {
            if let Some(addr) = broker.master_or_any_addr() {
                let response = session.ask(addr, request_code::GET_TOPIC_STATS_INFO, &header, Bytes::new()).await;
                let Some(response) = missing.note(&broker.broker_name, response) else { continue };
                table.extend(TopicStatsTable::decode(&response.body)?.offset_table);
            }
        }
        let mut out = format!(
            "{:<32}  {:<4}  {:<20}  {:<20}    {}\n",
            "#Broker Name", "#QID", "#Min Offset", "#Max Offset", "#Last Updated"
        );
        for (queue, offset) in table {
            let updated = if offset.last_update_timestamp > 0 {
                session.times().time_ms(offset.last_update_timestamp)
            } else {
                String::new()
            };
            out.push_str(&format!(
                "{:<32}  {:<4}  {:<20}  {:<20}    {updated}\n",
                queue.broker_name, queue.queue_id, offset.min_offset.0, offset.max_offset.0
            ));
        }
        missing.end(out)
    }
}
