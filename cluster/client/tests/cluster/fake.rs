//! A scripted broker: as much of a master or a slave as clients see, with everything that it holds and does in the hands of
//! the test. It survives the crashes of its host, as if its disk did.
//!
//! Left out on purpose: replication (the test puts messages where it wants them) and every topic but the one of the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use client::QueueOffset;
use protocol::body::{
    ConsumerIdList, DataVersion, HeartbeatData, JsonBody, RegisterBrokerBody, TopicConfig, TopicConfigSerializeWrapper,
};
use protocol::header::{
    ConsumerGroupRequestHeader, GetMaxOffsetRequestHeader, OffsetResponseHeader, PullMessageRequestHeader,
    PullMessageResponseHeader, QueryConsumerOffsetRequestHeader, QueryConsumerOffsetResponseHeader,
    RegisterBrokerRequestHeader, SendMessageRequestHeader, SendMessageResponseHeader,
    UpdateConsumerOffsetRequestHeader,
};
use protocol::message::{MessageToStore, body_crc};
use protocol::{BrokerId, HeaderError, PhysicalOffset, RemotingCommand, perm, request_code, response_code, sysflag};
use remoting::{
    Channel, RemotingClient, RemotingServer, Reply, RequestHandler, ServerConfig, bad_header,
    request_code_not_supported,
};
use sim::world::HostSpec;

use crate::support::{NAME_SERVERS, QUEUES, TOPIC, sleep_ms};

/// The port of every broker.
const PORT: u16 = 10911;
/// How long a pull is held for which there is nothing.
const HOLD_MS: u64 = 1_000;

/// What a scripted broker holds, and has seen.
#[derive(Default)]
pub struct Script {
    /// The records of each queue.
    pub queues: BTreeMap<i32, Vec<Bytes>>,
    /// What groups have committed, by group and queue.
    pub offsets: BTreeMap<(String, i32), i64>,
    /// The ids of the clients that have sent a heartbeat with a consumer.
    pub members: BTreeSet<String>,
    /// Which broker id every pull is told to ask next.
    pub suggests: i64,
    /// What every send is answered with, after it was stored; 0 is SEND_OK.
    pub send_code: i32,
    /// How many pulls and sends have come.
    pub pulls: usize,
    pub sends: usize,
}

/// Clones are the same broker.
#[derive(Clone)]
pub struct FakeBroker {
    name: &'static str,
    id: i64,
    script: Arc<Mutex<Script>>,
}

impl FakeBroker {
    pub fn new(name: &'static str, id: i64) -> Self {
        Self { name, id, script: Arc::default() }
    }

    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends messages with these bodies, to the queues in turn.
    pub fn put(&self, bodies: std::ops::Range<usize>) {
        for number in bodies {
            let queue = i32::try_from(number).expect("small") % QUEUES;
            self.append(queue, number.to_string().into());
        }
    }

    fn append(&self, queue_id: i32, body: Bytes) -> i64 {
        let host = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        let message = MessageToStore {
            topic: TOPIC.into(),
            queue_id,
            flag: 0,
            sys_flag: 0,
            born_timestamp_ms: 0,
            born_host: host,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: PhysicalOffset(0),
            body,
            properties: String::new(),
        };
        let mut script = self.script();
        let records = script.queues.entry(queue_id).or_default();
        let offset = i64::try_from(records.len()).expect("small");
        let mut record = Vec::new();
        let encoded = message.encode_into(&mut record, QueueOffset(offset), PhysicalOffset(offset), 0);
        encoded.expect("a small message");
        records.push(record.into());
        offset
    }

    /// What a group has committed, of all queues together.
    pub fn committed(&self, group: &str) -> i64 {
        let script = self.script();
        script.offsets.iter().filter(|((of, _), _)| of == group).map(|(_, offset)| offset).sum()
    }

    /// Its host: `{name}-{id}`.
    pub fn host(&self) -> HostSpec {
        let broker = self.clone();
        HostSpec::new(format!("{}-{}", self.name, self.id), move || broker.clone().run())
    }

    async fn run(self) {
        let addr = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
        let _server = RemotingServer::bind(addr, Arc::new(self.clone()), ServerConfig::default()).await.expect("bound");
        let client = RemotingClient::new(remoting::ClientConfig::default());
        loop {
            for name_server in NAME_SERVERS {
                // One that is away is told next time.
                let _ = client.invoke(name_server, self.registration(), Duration::from_secs(3)).await;
            }
            sleep_ms(5_000).await;
        }
    }

    fn registration(&self) -> RemotingCommand {
        let topic = TopicConfig::new(TOPIC, QUEUES, perm::PERM_READ | perm::PERM_WRITE);
        let wrapper = TopicConfigSerializeWrapper {
            data_version: DataVersion { counter: 1, state_version: None, timestamp: 1 },
            topic_config_table: [(TOPIC.to_owned(), topic)].into(),
        };
        let body = RegisterBrokerBody { filter_server_list: Vec::new(), topic_config_serialize_wrapper: wrapper };
        let body = body.encode();
        let header = RegisterBrokerRequestHeader {
            broker_name: self.name.into(),
            broker_addr: format!("{}:{PORT}", sim::net::local_ip()),
            cluster_name: "DefaultCluster".into(),
            ha_server_addr: format!("{}:{}", sim::net::local_ip(), PORT + 1),
            broker_id: BrokerId(self.id),
            body_crc32: i32::try_from(body_crc(&body)).expect("31 bits"),
            ..RegisterBrokerRequestHeader::default()
        };
        RemotingCommand::request(request_code::REGISTER_BROKER, &header).with_body(body)
    }

    fn answer(&self, request: &RemotingCommand) -> Result<Reply, HeaderError> {
        let success = || RemotingCommand::response(response_code::SUCCESS);
        Ok(match request.code {
            request_code::HEART_BEAT => {
                let heartbeat = HeartbeatData::decode(&request.body).expect("a heartbeat");
                if !heartbeat.consumer_data_set.is_empty() {
                    self.script().members.insert(heartbeat.client_id);
                }
                success().into()
            }
            request_code::UNREGISTER_CLIENT => success().into(),
            request_code::GET_CONSUMER_LIST_BY_GROUP => {
                let _: ConsumerGroupRequestHeader = request.header()?;
                let consumer_id_list = self.script().members.iter().cloned().collect();
                success().with_body(ConsumerIdList { consumer_id_list }.encode()).into()
            }
            request_code::QUERY_CONSUMER_OFFSET => {
                let header: QueryConsumerOffsetRequestHeader = request.header()?;
                let offset = self.script().offsets.get(&(header.consumer_group, header.queue_id)).copied();
                let code = if offset.is_some() { response_code::SUCCESS } else { response_code::QUERY_NOT_FOUND };
                let header = QueryConsumerOffsetResponseHeader { offset: offset.map(QueueOffset) };
                RemotingCommand::response_with(code, &header).into()
            }
            request_code::UPDATE_CONSUMER_OFFSET => {
                let header: UpdateConsumerOffsetRequestHeader = request.header()?;
                let group = (header.consumer_group, header.queue_id);
                self.script().offsets.insert(group, header.commit_offset.0);
                success().into()
            }
            request_code::GET_MAX_OFFSET | request_code::GET_MIN_OFFSET => {
                let header: GetMaxOffsetRequestHeader = request.header()?;
                let end = self.script().queues.get(&header.queue_id).map_or(0, Vec::len);
                let offset = if request.code == request_code::GET_MAX_OFFSET { end } else { 0 };
                let header = OffsetResponseHeader { offset: QueueOffset(i64::try_from(offset).expect("small")) };
                RemotingCommand::response_with(response_code::SUCCESS, &header).into()
            }
            request_code::SEND_MESSAGE_V2 => self.send(request)?,
            request_code::PULL_MESSAGE => self.pull(request)?,
            code => request_code_not_supported(code).into(),
        })
    }

    fn send(&self, request: &RemotingCommand) -> Result<Reply, HeaderError> {
        let header: SendMessageRequestHeader = request.header()?;
        let offset = self.append(header.queue_id, request.body.clone());
        let mut script = self.script();
        script.sends += 1;
        let answer = SendMessageResponseHeader {
            msg_id: "0".into(),
            queue_id: header.queue_id,
            queue_offset: QueueOffset(offset),
            transaction_id: None,
            batch_uniq_id: None,
        };
        Ok(RemotingCommand::response_with(script.send_code, &answer).into())
    }

    fn pull(&self, request: &RemotingCommand) -> Result<Reply, HeaderError> {
        let header: PullMessageRequestHeader = request.header()?;
        let mut script = self.script();
        script.pulls += 1;
        if header.sys_flag & sysflag::pull::COMMIT_OFFSET != 0 {
            assert_eq!(self.id, 0, "clients commit by the way at masters only");
            script.offsets.insert((header.consumer_group, header.queue_id), header.commit_offset.0);
        }
        let records = script.queues.get(&header.queue_id).map(Vec::as_slice).unwrap_or_default();
        let (asked, end) = (header.queue_offset.0, i64::try_from(records.len()).expect("small"));
        let found = usize::try_from(asked).ok().and_then(|asked| records.get(asked..)).unwrap_or_default();
        let found = &found[..found.len().min(4)];
        let (code, next) = match asked {
            _ if !found.is_empty() => (response_code::SUCCESS, asked + i64::try_from(found.len()).expect("small")),
            asked if asked > end => (response_code::PULL_OFFSET_MOVED, end),
            asked => (response_code::PULL_NOT_FOUND, asked),
        };
        let answer = PullMessageResponseHeader {
            suggest_which_broker_id: BrokerId(script.suggests),
            next_begin_offset: QueueOffset(next),
            min_offset: QueueOffset(0),
            max_offset: QueueOffset(end),
        };
        let response = RemotingCommand::response_with(code, &answer).with_body(found.concat());
        if code == response_code::PULL_NOT_FOUND && header.sys_flag & sysflag::pull::SUSPEND != 0 {
            return Ok(Reply::later(async move {
                sleep_ms(HOLD_MS).await;
                Some(response)
            }));
        }
        Ok(response.into())
    }
}

impl RequestHandler for FakeBroker {
    fn handle(&self, _channel: &Channel, request: RemotingCommand) -> Reply {
        self.answer(&request).unwrap_or_else(|error| bad_header(&error).into())
    }
}
