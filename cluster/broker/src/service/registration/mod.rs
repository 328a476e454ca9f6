//! The broker and its name servers: it registers with every one of them when it starts, when a topic changes and every 30
//! seconds, and says good-bye when it stops (`BrokerOuterAPI`). Name servers do not know one another.
//!
//! Each name server is told by a task of its own ([`name_server`]): one that hangs holds up no other. Whoever has changed a topic
//! waits until the name servers know ([`registered`]), so that a client which asks for the route next finds it; for one that does not
//! answer nobody waits longer than [`ANSWER_WAIT`], and nobody at all until it has answered again.
//!
//! A slave learns from the answers where its master is, and asks more often while it follows none.

mod name_server;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use protocol::header::UnRegisterBrokerRequestHeader;
use protocol::{RemotingCommand, request_code, response_code};
use remoting::{Channel, ClientConfig, NoRequests, RemotingClient, Reply, RequestHandler};
use sim::task::{self, JoinHandle};
use sim::time::timeout;
use tokio::sync::Notify;

use crate::core::{Core, lock};
use crate::state::tracked::{ChangeNumber, Holds};
use name_server::NameServer;

/// How long the answer to a request that has changed topics waits for a name server.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_millis(300);
/// How long a good-bye may take: a stopping broker does not wait for name servers that are gone.
const UNREGISTER_TIMEOUT: Duration = Duration::from_secs(3);

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
}

/// Answers as who is asked nothing; tells everybody of the end of a connection.
struct NoteEnd(Arc<Notify>);

impl RequestHandler for NoteEnd {
    fn handle(&self, channel: &Channel, request: RemotingCommand) -> Reply {
        NoRequests.handle(channel, request)
    }

    fn on_close(&self, _channel: &Channel) {
        self.0.notify_waiters();
    }
}

/// The name servers that are told.
#[derive(Default)]
pub(crate) struct Registrar {
    name_servers: Mutex<BTreeMap<String, Arc<NameServer>>>,
    list_changed: Notify,
    /// The whole registration as it was last encoded: up to which change, and with which permissions.
    whole: Mutex<Option<(ChangeNumber, i32, Bytes)>>,
}

impl Registrar {
    fn all(&self) -> Vec<Arc<NameServer>> {
        lock(&self.name_servers).values().cloned().collect()
    }

    /// Everything is to be told anew, soon: more than topics has changed.
    pub(crate) fn announce(&self) {
        for name_server in self.all() {
            name_server.tell_everything();
        }
    }

    /// There may be other name servers now.
    pub(crate) fn list_changed(&self) {
        self.list_changed.notify_one();
    }
}

/// A task that ends with its handle.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Keeps a task for each name server, for ever.
pub(crate) async fn run(core: Arc<Core>) {
    let mut tasks: BTreeMap<String, Task> = BTreeMap::new();
    loop {
        let addrs = core.links.client.name_servers();
        let gone = tasks.keys().filter(|addr| !addrs.contains(addr)).cloned().collect::<Vec<_>>();
        for addr in gone {
            tasks.remove(&addr);
            lock(&core.registrar.name_servers).remove(&addr);
            // It forgets this broker with the connection.
            core.links.client.close_channel(&addr);
        }
        for addr in addrs.into_iter().filter(|addr| !tasks.contains_key(addr)).collect::<Vec<_>>() {
            let name_server = Arc::new(NameServer::new(addr.clone()));
            lock(&core.registrar.name_servers).insert(addr.clone(), Arc::clone(&name_server));
            let telling = name_server::keep_told(name_server, Arc::clone(&core));
            tasks.insert(addr, Task(task::spawn(telling)));
        }
        core.registrar.list_changed.notified().await;
    }
}

/// Resolves when the name servers know the topics as they are now; see the module's head. A slave's topics are its master's: name
/// servers do not take them from it.
pub(crate) async fn registered(core: &Core) {
    if core.is_slave() {
        return;
    }
    let up_to = lock(&core.topics).tracked().last_change();
    let name_servers = core.registrar.all();
    for name_server in &name_servers {
        name_server.tell_changes();
    }
    let answering = name_servers.iter().filter(|name_server| !name_server.is_slow());
    if timeout(ANSWER_WAIT, join_all(answering.map(|name_server| name_server.told(up_to)))).await.is_err() {
        for name_server in &name_servers {
            name_server.found_wanting(up_to);
        }
    }
}

/// Says good-bye to every name server, so that no client is sent here any more. The tasks that tell them must have been ended.
pub(crate) async fn unregister(core: &Arc<Core>) {
    let header = good_bye(core);
    let name_servers = core.registrar.all();
    // A registration that came after the good-bye would undo it.
    let ended = join_all(name_servers.iter().map(|name_server| name_server.ended()));
    if timeout(UNREGISTER_TIMEOUT, ended).await.is_err() {
        tracing::warn!("registrations go on while the broker says good-bye");
    }
    let slow: Vec<&str> =
        name_servers.iter().filter(|name_server| name_server.is_slow()).map(|slow| slow.addr()).collect();
    let good_byes = core.links.client.name_servers().into_iter().map(|addr| {
        let request = RemotingCommand::request(request_code::UNREGISTER_BROKER, &header);
        // One that does not answer forgets the broker when the connection ends, or after two minutes.
        let at_most = if slow.contains(&addr.as_str()) { ANSWER_WAIT } else { UNREGISTER_TIMEOUT };
        async move {
            match core.links.client.invoke(&addr, request, at_most).await {
                Ok(response) if response.code == response_code::SUCCESS => {}
                Ok(response) => {
                    let (code, remark) = (response.code, response.remark.unwrap_or_default());
                    tracing::warn!(name_server = addr, code, remark, "the good-bye was refused by a name server");
                }
                Err(error) => tracing::warn!(name_server = addr, %error, "the good-bye was not heard by a name server"),
            }
        }
    });
    join_all(good_byes).await;
}

fn good_bye(core: &Core) -> UnRegisterBrokerRequestHeader {
    let config = core.config();
    UnRegisterBrokerRequestHeader {
        broker_name: config.broker_name.clone(),
        broker_addr: core.broker_addr(),
        cluster_name: config.broker_cluster_name.clone(),
        broker_id: config.broker_id,
    }
}

/// What this broker lets others do with it at present.
fn permission(core: &Core) -> i32 {
    let permission = core.config().broker_permission;
    // Until it has its log back, a master only serves reads.
    if core.recovering.load(Ordering::Acquire) { permission & !protocol::perm::PERM_WRITE } else { permission }
}
