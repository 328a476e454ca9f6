//! The broker and its name servers: it registers with every one of them when it starts, when a topic changes and every 30
//! seconds, and says good-bye when it stops (`BrokerOuterAPI`). Name servers do not know one another.
//!
//! A name server forgets a broker with its connection: one that breaks is made anew at once. Apache's broker is not found there
//! until its next period.
//!
//! A slave learns from the answers where its master is, and asks more often while it follows none.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use protocol::body::{JsonBody, RegisterBrokerBody};
use protocol::header::{RegisterBrokerRequestHeader, UnRegisterBrokerRequestHeader};
use protocol::{RemotingCommand, perm, request_code, response_code};
use remoting::{Channel, ClientConfig, NoRequests, RemotingClient, Reply, RequestHandler};
use sim::task;
use sim::time::{Instant, sleep, sleep_until};
use tokio::sync::Notify;

use crate::core::{Core, lock};
use crate::replication::{Replication, slave};

/// How often a slave registers that is not connected to its master: it may have come back elsewhere.
const SEARCH_PERIOD: Duration = Duration::from_secs(2);
/// How soon name servers are asked again when one of them did not answer: it may be booting, and know nothing then. Apache's
/// broker lets it wait for the next period of 30 s.
const RETRY_PERIOD: Duration = Duration::from_secs(2);
/// How long a good-bye may take: a stopping broker does not wait for name servers that are gone.
const UNREGISTER_TIMEOUT: Duration = Duration::from_secs(3);
/// A registration on change waits so long for more changes: many topics may be created at once.
const GATHER: Duration = Duration::from_millis(10);

/// The connections to the name servers, and that one of them has ended.
pub(crate) struct Links {
    pub client: RemotingClient,
    ended: Arc<Notify>,
}

impl Links {
    pub(crate) fn new() -> Self {
        let ended = Arc::new(Notify::new());
        let client = RemotingClient::with_handler(ClientConfig::default(), Arc::new(NoteEnd(Arc::clone(&ended))));
        Self { client, ended }
    }

    /// Resolves when a connection has ended, but not before `earliest`: one that never lasts shall not keep everyone busy.
    async fn lost(&self, earliest: Instant) {
        self.ended.notified().await;
        sleep_until(earliest).await;
    }
}

/// Answers as who is asked nothing; notes the end of each connection.
struct NoteEnd(Arc<Notify>);

impl RequestHandler for NoteEnd {
    fn handle(&self, channel: &Channel, request: RemotingCommand) -> Reply {
        NoRequests.handle(channel, request)
    }

    fn on_close(&self, _channel: &Channel) {
        self.0.notify_one();
    }
}

/// Registers when it is due, for ever.
pub(crate) async fn run(core: Arc<Core>) {
    let mut all_answered = true;
    let mut last = Instant::now();
    loop {
        let mut period = Duration::from_millis(core.config().register_name_server_period_ms);
        if is_searching(&core) {
            period = period.min(SEARCH_PERIOD);
        }
        if !all_answered {
            period = period.min(RETRY_PERIOD);
        }
        tokio::select! {
            biased;
            () = core.registration_wanted.notified() => sleep(GATHER).await,
            () = core.links.lost(last + RETRY_PERIOD) => {}
            () = sleep(period) => {}
        }
        last = Instant::now();
        // A round that is lost counts as one without answers.
        all_answered = !sim::fault_point!("broker.registration.round-lost") && register_now(&core).await;
    }
}

fn is_searching(core: &Core) -> bool {
    matches!(core.replication.get(), Some(Replication::Slave(service)) if !service.status().connected)
}

/// Registers with every name server, in parallel, and waits for their answers; whether all have given one. A name server
/// that does not answer has no say: the broker goes on, and tries again soon.
pub(crate) async fn register_now(core: &Arc<Core>) -> bool {
    let _one_at_a_time = core.registering.lock().await;
    let config = core.config();
    // Until it has its log back, a master only serves reads.
    let recovering = core.recovering.load(Ordering::Acquire);
    let permission = if recovering { config.broker_permission & !perm::PERM_WRITE } else { config.broker_permission };
    let table = lock(&core.topics).registered(permission);
    let body = RegisterBrokerBody { filter_server_list: Vec::new(), topic_config_serialize_wrapper: table }.encode();
    let header = RegisterBrokerRequestHeader {
        broker_name: config.broker_name.clone(),
        broker_addr: core.broker_addr(),
        cluster_name: config.broker_cluster_name.clone(),
        ha_server_addr: core.ha_addr(),
        broker_id: config.broker_id,
        heartbeat_timeout_millis: None,
        enable_acting_master: None,
        compressed: false,
        body_crc32: i32::try_from(protocol::message::body_crc(&body)).unwrap_or(0),
    };
    let request = RemotingCommand::request(request_code::REGISTER_BROKER, &header);
    let timeout = config.register_broker_timeout();
    // Whoever looks for its master asks again soon, and does not wait for name servers that are gone.
    let timeout = if is_searching(core) { timeout.min(SEARCH_PERIOD) } else { timeout };
    ask_all(core, &request, &body, timeout, "registration").await
}

/// Says good-bye to every name server, so that no client is sent here any more.
pub(crate) async fn unregister(core: &Arc<Core>) {
    let _one_at_a_time = core.registering.lock().await;
    let config = core.config();
    let header = UnRegisterBrokerRequestHeader {
        broker_name: config.broker_name.clone(),
        broker_addr: core.broker_addr(),
        cluster_name: config.broker_cluster_name.clone(),
        broker_id: config.broker_id,
    };
    let request = RemotingCommand::request(request_code::UNREGISTER_BROKER, &header);
    ask_all(core, &request, &Bytes::new(), UNREGISTER_TIMEOUT, "good-bye").await;
}

/// Whether all name servers have answered, if only to refuse.
async fn ask_all(
    core: &Arc<Core>,
    request: &RemotingCommand,
    body: &Bytes,
    timeout: Duration,
    what: &'static str,
) -> bool {
    let ask = |addr: String| {
        let core = Arc::clone(core);
        let request = request.clone().with_body(body.clone());
        task::spawn(async move {
            match core.links.client.invoke(&addr, request, timeout).await {
                Ok(response) if response.code == response_code::SUCCESS => {
                    tracing::debug!(name_server = addr, what, "accepted");
                    // At once: another name server may not answer for long.
                    if let Some(Replication::Slave(service)) = core.replication.get()
                        && let Ok(header) = response.header()
                    {
                        slave::learn_master(&core, service, &header);
                    }
                    true
                }
                Ok(response) => {
                    let remark = response.remark.unwrap_or_default();
                    tracing::warn!(name_server = addr, what, code = response.code, remark, "refused by a name server");
                    true
                }
                Err(error) => {
                    tracing::warn!(name_server = addr, what, %error, "a name server did not answer");
                    false
                }
            }
        })
    };
    let asked: Vec<_> = core.links.client.name_servers().into_iter().map(ask).collect();
    let mut all_answered = true;
    for task in asked {
        // An error means that the task panicked, which has been reported, or that the broker is going down.
        all_answered &= task.await.unwrap_or(false);
    }
    all_answered
}
