//! One typed question each (`MQClientAPIImpl`): builds the request, asks, and reads the answer.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use protocol::body::{
    ClusterInfo, ConsumerIdList, JsonBody, KvTable, MessageQueue, ReplicaGroupView, SubscriptionGroupConfig,
    TopicConfig, TopicRouteData,
};
use protocol::header::{
    AddWritePermOfBrokerResponseHeader, ConsumerGroupRequestHeader, ConsumerSendMsgBackRequestHeader,
    CreateTopicRequestHeader, GetMaxOffsetRequestHeader, GetMinOffsetRequestHeader, GetRouteInfoRequestHeader,
    OffsetResponseHeader, PullMessageRequestHeader, PullMessageResponseHeader, QueryConsumerOffsetRequestHeader,
    QueryConsumerOffsetResponseHeader, SearchOffsetRequestHeader, SendMessageRequestHeader, SendMessageResponseHeader,
    UnregisterClientRequestHeader, UpdateConsumerOffsetRequestHeader, ViewMessageRequestHeader,
    WipeWritePermOfBrokerResponseHeader, WritePermOfBrokerRequestHeader,
};
use protocol::message::{MessageExt, decode_messages};
use protocol::{
    BrokerId, CommandHeader, PhysicalOffset, QueueOffset, RemotingCommand, SendStatus, request_code, response_code,
};
use remoting::RemotingClient;

use crate::error::ClientError;

/// How long name servers other than the chosen one have to say that they know a topic.
const OTHERS_TIMEOUT: Duration = Duration::from_millis(500);

/// What a broker made of a send.
#[derive(Debug)]
pub(crate) struct Sent {
    pub status: SendStatus,
    pub header: SendMessageResponseHeader,
}

/// How a pull ended, as the broker says (`PullStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PullStatus {
    /// There are messages.
    Found,
    /// The queue has nothing behind the offset yet.
    NoNewMsg,
    /// There are messages, but none that the expression takes.
    NoMatchedMsg,
    /// The queue does not have the offset: the result says where to go on.
    OffsetIllegal,
}

/// A broker's answer to a pull, its records not decoded yet.
#[derive(Debug)]
pub(crate) struct Pulled {
    pub status: PullStatus,
    pub header: PullMessageResponseHeader,
    pub records: Bytes,
}

/// Asks name servers and brokers.
pub(crate) struct Api {
    remoting: RemotingClient,
    /// For one question, unless it has a time of its own.
    timeout: Duration,
    vip_channel_enabled: bool,
}

impl Api {
    pub(crate) fn new(remoting: RemotingClient, timeout: Duration, vip_channel_enabled: bool) -> Self {
        Self { remoting, timeout, vip_channel_enabled }
    }

    pub(crate) fn remoting(&self) -> &RemotingClient {
        &self.remoting
    }

    /// The address to use: the fast port is the usual one less two (`MixAll.brokerVIPChannel`). It does not answer pulls.
    fn vip<'a>(&self, addr: &'a str) -> Cow<'a, str> {
        if self.vip_channel_enabled
            && let Some((host, port)) = addr.rsplit_once(':')
            && let Some(port) = port.parse::<u16>().ok().and_then(|port| port.checked_sub(2))
        {
            return Cow::Owned(format!("{host}:{port}"));
        }
        Cow::Borrowed(addr)
    }

    /// Asks a broker; any code but SUCCESS is an error.
    async fn ask(
        &self,
        addr: &str,
        request: RemotingCommand,
        timeout: Duration,
    ) -> Result<RemotingCommand, ClientError> {
        let code = request.code;
        let response = self.remoting.invoke(&self.vip(addr), request, timeout).await?;
        success(addr, code, response)
    }

    async fn ask_for<H: CommandHeader>(&self, addr: &str, request: RemotingCommand) -> Result<H, ClientError> {
        let code = request.code;
        let response = self.ask(addr, request, self.timeout).await?;
        response.header().map_err(|error| ClientError::header(addr, code, &error))
    }

    /// GET_ROUTEINFO_BY_TOPIC; `None` if the name server knows no route.
    pub(crate) async fn topic_route(
        &self,
        topic: &str,
        timeout: Duration,
    ) -> Result<Option<TopicRouteData>, ClientError> {
        const CODE: i32 = request_code::GET_ROUTEINFO_BY_TOPIC;
        let header = GetRouteInfoRequestHeader { topic: topic.to_owned(), accept_standard_json_only: Some(true) };
        let request = RemotingCommand::request(CODE, &header);
        let response = self.remoting.invoke_name_server(request, timeout.min(self.timeout)).await?;
        if response.code == response_code::TOPIC_NOT_EXIST {
            return Ok(None);
        }
        let response = success("the name server", CODE, response)?;
        decode("the name server", CODE, &response.body).map(Some)
    }

    /// GET_ROUTEINFO_BY_TOPIC, of these name servers at once: the route that the first says which knows one, and those that did not
    /// answer in time.
    pub(crate) async fn topic_route_of_any(
        &self,
        topic: &str,
        name_servers: Vec<String>,
        timeout: Duration,
    ) -> (Option<TopicRouteData>, Vec<String>) {
        const CODE: i32 = request_code::GET_ROUTEINFO_BY_TOPIC;
        let header = GetRouteInfoRequestHeader { topic: topic.to_owned(), accept_standard_json_only: Some(true) };
        let timeout = timeout.min(self.timeout).min(OTHERS_TIMEOUT);
        let ask = |addr: String| {
            let request = RemotingCommand::request(CODE, &header);
            async move {
                let answer = self.remoting.invoke(&addr, request, timeout).await;
                (addr, answer)
            }
        };
        let mut asked: FuturesUnordered<_> = name_servers.into_iter().map(ask).collect();
        let mut silent = Vec::new();
        while let Some((addr, answer)) = asked.next().await {
            match answer {
                Ok(response) if response.code == response_code::SUCCESS => match decode(&addr, CODE, &response.body) {
                    Ok(route) => return (Some(route), silent),
                    Err(error) => tracing::warn!(%error, "the name server's route cannot be read"),
                },
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, "name server failed");
                    silent.push(addr);
                }
            }
        }
        (None, silent)
    }

    /// WIPE_WRITE_PERM_OF_BROKER, asked of one name server. Gives how many topics it has of the broker name.
    pub(crate) async fn wipe_write_perm(&self, namesrv_addr: &str, broker_name: &str) -> Result<usize, ClientError> {
        const CODE: i32 = request_code::WIPE_WRITE_PERM_OF_BROKER;
        let header = WritePermOfBrokerRequestHeader { broker_name: broker_name.to_owned() };
        let request = RemotingCommand::request(CODE, &header);
        let response = success(namesrv_addr, CODE, self.remoting.invoke(namesrv_addr, request, self.timeout).await?)?;
        let header: WipeWritePermOfBrokerResponseHeader =
            response.header().map_err(|error| ClientError::header(namesrv_addr, CODE, &error))?;
        Ok(usize::try_from(header.wipe_topic_count).unwrap_or(0))
    }

    /// ADD_WRITE_PERM_OF_BROKER, asked of one name server. Gives how many topics it has of the broker name.
    pub(crate) async fn add_write_perm(&self, namesrv_addr: &str, broker_name: &str) -> Result<usize, ClientError> {
        const CODE: i32 = request_code::ADD_WRITE_PERM_OF_BROKER;
        let header = WritePermOfBrokerRequestHeader { broker_name: broker_name.to_owned() };
        let request = RemotingCommand::request(CODE, &header);
        let response = success(namesrv_addr, CODE, self.remoting.invoke(namesrv_addr, request, self.timeout).await?)?;
        let header: AddWritePermOfBrokerResponseHeader =
            response.header().map_err(|error| ClientError::header(namesrv_addr, CODE, &error))?;
        Ok(usize::try_from(header.add_topic_count).unwrap_or(0))
    }

    /// GET_REPLICA_GROUP.
    pub(crate) async fn replica_group(&self, addr: &str) -> Result<ReplicaGroupView, ClientError> {
        const CODE: i32 = request_code::GET_REPLICA_GROUP;
        let response = self.ask(addr, RemotingCommand::request(CODE, &()), self.timeout).await?;
        decode(addr, CODE, &response.body)
    }

    /// REMOVE_REPLICA.
    pub(crate) async fn remove_replica(&self, addr: &str, broker_id: BrokerId) -> Result<(), ClientError> {
        const CODE: i32 = request_code::REMOVE_REPLICA;
        let request = RemotingCommand::request(CODE, &()).with_field("brokerId", &broker_id.to_string());
        self.ask(addr, request, self.timeout).await.map(drop)
    }

    /// GET_BROKER_RUNTIME_INFO.
    pub(crate) async fn broker_runtime_info(&self, addr: &str) -> Result<KvTable, ClientError> {
        const CODE: i32 = request_code::GET_BROKER_RUNTIME_INFO;
        let response = self.ask(addr, RemotingCommand::request(CODE, &()), self.timeout).await?;
        decode(addr, CODE, &response.body)
    }

    /// GET_BROKER_CLUSTER_INFO.
    pub(crate) async fn cluster_info(&self) -> Result<ClusterInfo, ClientError> {
        const CODE: i32 = request_code::GET_BROKER_CLUSTER_INFO;
        let response = self.remoting.invoke_name_server(RemotingCommand::request(CODE, &()), self.timeout).await?;
        let response = success("the name server", CODE, response)?;
        decode("the name server", CODE, &response.body)
    }

    /// SEND_MESSAGE_V2, or SEND_BATCH_MESSAGE if the header says that it is a batch.
    pub(crate) async fn send(
        &self,
        addr: &str,
        header: &SendMessageRequestHeader,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Sent, ClientError> {
        let request = send_request(header, body);
        let code = request.code;
        let response = self.remoting.invoke(&self.vip(addr), request, timeout).await?;
        match SendStatus::from_response_code(response.code) {
            Some(status) => {
                let header = response.header().map_err(|error| ClientError::header(addr, code, &error))?;
                Ok(Sent { status, header })
            }
            None => Err(refused(addr, code, response)),
        }
    }

    /// As [`Api::send`], without an answer.
    pub(crate) async fn send_oneway(
        &self,
        addr: &str,
        header: &SendMessageRequestHeader,
        body: Bytes,
    ) -> Result<(), ClientError> {
        Ok(self.remoting.invoke_oneway(&self.vip(addr), send_request(header, body)).await?)
    }

    /// PULL_MESSAGE.
    pub(crate) async fn pull(
        &self,
        addr: &str,
        header: &PullMessageRequestHeader,
        timeout: Duration,
    ) -> Result<Pulled, ClientError> {
        const CODE: i32 = request_code::PULL_MESSAGE;
        let response = self.remoting.invoke(addr, RemotingCommand::request(CODE, header), timeout).await?;
        let status = match response.code {
            response_code::SUCCESS => PullStatus::Found,
            response_code::PULL_NOT_FOUND => PullStatus::NoNewMsg,
            response_code::PULL_RETRY_IMMEDIATELY => PullStatus::NoMatchedMsg,
            response_code::PULL_OFFSET_MOVED => PullStatus::OffsetIllegal,
            _ => return Err(refused(addr, CODE, response)),
        };
        let header = response.header().map_err(|error| ClientError::header(addr, CODE, &error))?;
        Ok(Pulled { status, header, records: response.body })
    }

    /// HEART_BEAT.
    pub(crate) async fn heartbeat(&self, addr: &str, body: Bytes) -> Result<(), ClientError> {
        let request = RemotingCommand::request(request_code::HEART_BEAT, &()).with_body(body);
        self.ask(addr, request, self.timeout).await.map(drop)
    }

    /// UNREGISTER_CLIENT.
    pub(crate) async fn unregister_client(
        &self,
        addr: &str,
        header: &UnregisterClientRequestHeader,
    ) -> Result<(), ClientError> {
        let request = RemotingCommand::request(request_code::UNREGISTER_CLIENT, header);
        self.ask(addr, request, self.timeout).await.map(drop)
    }

    /// GET_CONSUMER_LIST_BY_GROUP.
    pub(crate) async fn consumer_ids(&self, addr: &str, group: &str) -> Result<Vec<String>, ClientError> {
        const CODE: i32 = request_code::GET_CONSUMER_LIST_BY_GROUP;
        let header = ConsumerGroupRequestHeader { consumer_group: group.to_owned() };
        let response = self.ask(addr, RemotingCommand::request(CODE, &header), self.timeout).await?;
        decode::<ConsumerIdList>(addr, CODE, &response.body).map(|ids| ids.consumer_id_list)
    }

    /// QUERY_CONSUMER_OFFSET; `None` if the broker has none for the group.
    pub(crate) async fn query_consumer_offset(
        &self,
        addr: &str,
        group: &str,
        queue: &MessageQueue,
    ) -> Result<Option<QueueOffset>, ClientError> {
        const CODE: i32 = request_code::QUERY_CONSUMER_OFFSET;
        let header = QueryConsumerOffsetRequestHeader {
            consumer_group: group.to_owned(),
            topic: queue.topic.clone(),
            queue_id: queue.queue_id,
            set_zero_if_not_found: None,
            broker_name: Some(queue.broker_name.clone()),
        };
        let response =
            self.remoting.invoke(&self.vip(addr), RemotingCommand::request(CODE, &header), self.timeout).await?;
        if response.code == response_code::QUERY_NOT_FOUND {
            return Ok(None);
        }
        let response = success(addr, CODE, response)?;
        let header: QueryConsumerOffsetResponseHeader =
            response.header().map_err(|error| ClientError::header(addr, CODE, &error))?;
        // A broker that stores -1 for "none" answers QUERY_NOT_FOUND; be sure all the same.
        Ok(header.offset.filter(|offset| *offset >= QueueOffset::ZERO))
    }

    /// UPDATE_CONSUMER_OFFSET, one-way.
    pub(crate) async fn update_consumer_offset_oneway(
        &self,
        addr: &str,
        group: &str,
        queue: &MessageQueue,
        offset: QueueOffset,
    ) -> Result<(), ClientError> {
        let header = UpdateConsumerOffsetRequestHeader {
            consumer_group: group.to_owned(),
            topic: queue.topic.clone(),
            queue_id: queue.queue_id,
            commit_offset: offset,
            broker_name: Some(queue.broker_name.clone()),
        };
        let request = RemotingCommand::request(request_code::UPDATE_CONSUMER_OFFSET, &header);
        Ok(self.remoting.invoke_oneway(&self.vip(addr), request).await?)
    }

    /// GET_MAX_OFFSET: one past the queue's last message.
    pub(crate) async fn max_offset(&self, addr: &str, queue: &MessageQueue) -> Result<QueueOffset, ClientError> {
        let header = GetMaxOffsetRequestHeader {
            topic: queue.topic.clone(),
            queue_id: queue.queue_id,
            committed: None,
            broker_name: Some(queue.broker_name.clone()),
        };
        let request = RemotingCommand::request(request_code::GET_MAX_OFFSET, &header);
        self.ask_for::<OffsetResponseHeader>(addr, request).await.map(|header| header.offset)
    }

    /// GET_MIN_OFFSET: the queue's first message.
    pub(crate) async fn min_offset(&self, addr: &str, queue: &MessageQueue) -> Result<QueueOffset, ClientError> {
        let header = GetMinOffsetRequestHeader {
            topic: queue.topic.clone(),
            queue_id: queue.queue_id,
            broker_name: Some(queue.broker_name.clone()),
        };
        let request = RemotingCommand::request(request_code::GET_MIN_OFFSET, &header);
        self.ask_for::<OffsetResponseHeader>(addr, request).await.map(|header| header.offset)
    }

    /// SEARCH_OFFSET_BY_TIMESTAMP: the first message stored at or after a time.
    pub(crate) async fn search_offset(
        &self,
        addr: &str,
        queue: &MessageQueue,
        timestamp_ms: i64,
    ) -> Result<QueueOffset, ClientError> {
        let header = SearchOffsetRequestHeader {
            topic: queue.topic.clone(),
            queue_id: queue.queue_id,
            timestamp: timestamp_ms,
            boundary_type: None,
            broker_name: Some(queue.broker_name.clone()),
        };
        let request = RemotingCommand::request(request_code::SEARCH_OFFSET_BY_TIMESTAMP, &header);
        self.ask_for::<OffsetResponseHeader>(addr, request).await.map(|header| header.offset)
    }

    /// CONSUMER_SEND_MSG_BACK.
    pub(crate) async fn consumer_send_message_back(
        &self,
        addr: &str,
        header: &ConsumerSendMsgBackRequestHeader,
        timeout: Duration,
    ) -> Result<(), ClientError> {
        let request = RemotingCommand::request(request_code::CONSUMER_SEND_MSG_BACK, header);
        self.ask(addr, request, timeout).await.map(drop)
    }

    /// UPDATE_AND_CREATE_TOPIC.
    pub(crate) async fn create_topic(
        &self,
        addr: &str,
        default_topic: &str,
        config: &TopicConfig,
    ) -> Result<(), ClientError> {
        let header = CreateTopicRequestHeader {
            topic: config.topic_name.clone(),
            default_topic: default_topic.to_owned(),
            read_queue_nums: config.read_queue_nums,
            write_queue_nums: config.write_queue_nums,
            perm: config.perm,
            topic_filter_type: config.topic_filter_type.name().to_owned(),
            topic_sys_flag: Some(config.topic_sys_flag),
            order: config.order,
            ..CreateTopicRequestHeader::default()
        };
        let request = RemotingCommand::request(request_code::UPDATE_AND_CREATE_TOPIC, &header);
        self.ask(addr, request, self.timeout).await.map(drop)
    }

    /// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP.
    pub(crate) async fn create_subscription_group(
        &self,
        addr: &str,
        config: &SubscriptionGroupConfig,
    ) -> Result<(), ClientError> {
        let request =
            RemotingCommand::request(request_code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &()).with_body(config.encode());
        self.ask(addr, request, self.timeout).await.map(drop)
    }

    /// VIEW_MESSAGE_BY_ID.
    pub(crate) async fn view_message(&self, addr: &str, offset: PhysicalOffset) -> Result<MessageExt, ClientError> {
        const CODE: i32 = request_code::VIEW_MESSAGE_BY_ID;
        let header = ViewMessageRequestHeader { offset, topic: None };
        let response = self.ask(addr, RemotingCommand::request(CODE, &header), self.timeout).await?;
        match decode_messages(response.body).next() {
            Some(message) => message.map_err(|error| ClientError::malformed(addr, CODE, error)),
            None => Err(ClientError::malformed(addr, CODE, "there is no record in it")),
        }
    }
}

fn send_request(header: &SendMessageRequestHeader, body: Bytes) -> RemotingCommand {
    let code = match header.batch {
        Some(true) => request_code::SEND_BATCH_MESSAGE,
        _ => request_code::SEND_MESSAGE_V2,
    };
    RemotingCommand::request(code, header).with_body(body)
}

fn success(addr: &str, request: i32, response: RemotingCommand) -> Result<RemotingCommand, ClientError> {
    if response.code == response_code::SUCCESS { Ok(response) } else { Err(refused(addr, request, response)) }
}

fn refused(addr: &str, request: i32, response: RemotingCommand) -> ClientError {
    let remark = response.remark.unwrap_or_else(|| "no remark".to_owned());
    ClientError::Response { addr: addr.to_owned(), request, code: response.code, remark }
}

fn decode<B: JsonBody>(addr: &str, request: i32, body: &[u8]) -> Result<B, ClientError> {
    B::decode(body).map_err(|error| ClientError::malformed(addr, request, error))
}
