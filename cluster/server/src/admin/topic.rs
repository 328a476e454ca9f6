//! Topics: `updateTopic`, `deleteTopic`, `topicList`, `topicRoute`, `topicStatus`.

use std::collections::BTreeMap;

use bytes::Bytes;
use clap::Args;
use protocol::body::{JsonBody, MessageQueue, TopicOffset, TopicStatsTable};
use protocol::header::{
    CreateTopicRequestHeader, DeleteTopicFromNamesrvRequestHeader, DeleteTopicRequestHeader,
    GetTopicStatsInfoRequestHeader,
};
use protocol::{request_code, topic};

use super::session::{AdminError, Session, Target};
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
    #[arg(short = 'o', long = "order", num_args = 0..=1, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
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
        let mut out = String::new();
        for addr in session.brokers(&self.target).await? {
            session.ask(&addr, request_code::UPDATE_AND_CREATE_TOPIC, &header, Bytes::new()).await?;
            out.push_str(&format!("create topic to {addr} success.\n"));
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
        Ok(out)
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
        for addr in session.masters_of(&self.cluster_name).await? {
            session.ask(&addr, request_code::DELETE_TOPIC_IN_BROKER, &header, Bytes::new()).await?;
        }
        let mut out = format!("delete topic [{}] from cluster [{}] success.\n", self.topic, self.cluster_name);
        let header = DeleteTopicFromNamesrvRequestHeader { topic: self.topic.clone(), ..Default::default() };
        // They know nothing of one another: each is told.
        for addr in session.name_servers()? {
            session.ask(&addr, request_code::DELETE_TOPIC_IN_NAMESRV, &header, Bytes::new()).await?;
        }
        out.push_str(&format!("delete topic [{}] from NameServer success.\n", self.topic));
        Ok(out)
    }
}

/// `topicList`
#[derive(Debug, Args)]
pub struct TopicList {}

impl TopicList {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let response = session.ask_name_server(request_code::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, &()).await?;
        let list = protocol::body::TopicList::decode(&response.body)?.topic_list;
        Ok(list.iter().map(|topic| format!("{topic}\n")).collect())
    }
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
        for broker in session.route(&self.topic).await?.broker_datas {
            if let Some(addr) = broker.master_or_any_addr() {
                let response = session.ask(addr, request_code::GET_TOPIC_STATS_INFO, &header, Bytes::new()).await?;
                table.extend(TopicStatsTable::decode(&response.body)?.offset_table);
            }
        }
        let mut out = format!(
            "{:<32}  {:<4}  {:<20}  {:<20}    {}\n",
            "#Broker Name", "#QID", "#Min Offset", "#Max Offset", "#Last Updated"
        );
        for (queue, offset) in table {
            let updated = if offset.last_update_timestamp > 0 {
                text::time_ms(offset.last_update_timestamp)
            } else {
                String::new()
            };
            out.push_str(&format!(
                "{:<32}  {:<4}  {:<20}  {:<20}    {updated}\n",
                queue.broker_name, queue.queue_id, offset.min_offset.0, offset.max_offset.0
            ));
        }
        Ok(out)
    }
}
