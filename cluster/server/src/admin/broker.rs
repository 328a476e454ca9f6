//! Brokers and clusters: `clusterList`, `brokerStatus`, `getBrokerConfig`, `updateBrokerConfig`, `wipeWritePerm`,
//! `addWritePerm`.

use bytes::Bytes;
use clap::Args;
use protocol::body::{JsonBody, KvTable};
use protocol::header::{
    AddWritePermOfBrokerResponseHeader, WipeWritePermOfBrokerResponseHeader, WritePermOfBrokerRequestHeader,
};
use protocol::request_code;
use sim::time::wall_clock_ms;

use super::session::{AdminError, Missing, Session, Target};

/// `clusterList`
#[derive(Debug, Args)]
pub struct ClusterList {}

impl ClusterList {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let info = session.cluster_info().await?;
        let mut out = format!(
            "{:<16}  {:<22}  {:<4}  {:<22} {:<16} {:>19} {:>19} {:>10} {:>5} {:>6}\n",
            "#Cluster Name",
            "#Broker Name",
            "#BID",
            "#Addr",
            "#Version",
            "#InTPS(LOAD)",
            "#OutTPS(LOAD)",
            "#PCWait(ms)",
            "#Hour",
            "#SPACE"
        );
        for (cluster, names) in &info.cluster_addr_table {
            for broker in names.iter().filter_map(|name| info.broker_addr_table.get(name)) {
                for (id, addr) in &broker.broker_addrs {
                    // A broker that does not answer is shown all the same, without figures.
                    let figures = Figures::ask(session, addr).await.unwrap_or_default();
                    out.push_str(&format!(
                        "{cluster:<16}  {:<22}  {:<4}  {addr:<22} {:<16} {:>19} {:>19} {:>10} {:>5.2} {:>6.4}\n",
                        broker.broker_name,
                        id,
                        figures.version,
                        figures.in_tps,
                        figures.out_tps,
                        figures.page_cache_wait_ms,
                        figures.hours,
                        figures.space
                    ));
                }
            }
        }
        Ok(out)
    }
}

/// A line of `clusterList`.
#[derive(Default)]
struct Figures {
    version: String,
    in_tps: String,
    out_tps: String,
    page_cache_wait_ms: String,
    hours: f64,
    space: f64,
}

impl Figures {
    async fn ask(session: &Session, addr: &str) -> Result<Self, AdminError> {
        let response = session.ask(addr, request_code::GET_BROKER_RUNTIME_INFO, &(), Bytes::new()).await?;
        let table = KvTable::decode(&response.body)?.table;
        let text = |key: &str| table.get(key).map_or("", String::as_str);
        // A rate is three numbers with Apache's brokers: of the last 10 s, 1 min and 10 min.
        let number = |key: &str| text(key).split(' ').next().and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0);
        let load = |tps: &str, queue: &str, wait: &str| format!("{:.2}({},{}ms)", number(tps), text(queue), text(wait));
        let earliest_ms = number("earliestMessageTimeStamp");
        let hours = if earliest_ms > 0.0 { (wall_clock_ms() as f64 - earliest_ms) / 3_600_000.0 } else { 0.0 };
        Ok(Self {
            version: text("brokerVersionDesc").to_owned(),
            in_tps: load("putTps", "sendThreadPoolQueueSize", "sendThreadPoolQueueHeadWaitTimeMills"),
            out_tps: load("getTransferedTps", "pullThreadPoolQueueSize", "pullThreadPoolQueueHeadWaitTimeMills"),
            page_cache_wait_ms: text("pageCacheLockTimeMills").to_owned(),
            hours,
            space: number("commitLogDiskRatio"),
        })
    }
}

/// `brokerStatus`
#[derive(Debug, Args)]
pub struct BrokerStatus {
    #[command(flatten)]
    target: Target,
}

impl BrokerStatus {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let addrs = session.brokers(&self.target).await?;
        let (mut out, mut missing) = (String::new(), Missing::default());
        for addr in &addrs {
            let response = session.ask(addr, request_code::GET_BROKER_RUNTIME_INFO, &(), Bytes::new()).await;
            let Some(response) = missing.note(addr, response) else { continue };
            for (key, value) in KvTable::decode(&response.body)?.table {
                if addrs.len() > 1 {
                    out.push_str(&format!("{addr:<24} "));
                }
                out.push_str(&format!("{key:<32}: {value}\n"));
            }
        }
        missing.end(out)
    }
}

/// `getBrokerConfig`
#[derive(Debug, Args)]
pub struct GetBrokerConfig {
    #[command(flatten)]
    target: Target,
}

impl GetBrokerConfig {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let (mut out, mut missing) = (String::new(), Missing::default());
        for addr in session.brokers(&self.target).await? {
            let response = session.ask(&addr, request_code::GET_BROKER_CONFIG, &(), Bytes::new()).await;
            let Some(response) = missing.note(&addr, response) else { continue };
            out.push_str(&format!("============{addr}============\n"));
            for (key, value) in String::from_utf8_lossy(&response.body).lines().filter_map(|line| line.split_once('='))
            {
                out.push_str(&format!("{key:<50}=  {value}\n"));
            }
        }
        missing.end(out)
    }
}

/// `updateBrokerConfig`
#[derive(Debug, Args)]
pub struct UpdateBrokerConfig {
    #[command(flatten)]
    target: Target,
    /// The setting
    #[arg(short = 'k', long = "key")]
    key: String,
    /// Its new value
    #[arg(short = 'v', long = "value")]
    value: String,
}

impl UpdateBrokerConfig {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let (mut out, mut missing) = (String::new(), Missing::default());
        for addr in session.brokers(&self.target).await? {
            let body = format!("{}={}\n", self.key, self.value);
            if missing.note(&addr, session.ask(&addr, request_code::UPDATE_BROKER_CONFIG, &(), body).await).is_some() {
                out.push_str(&format!("update broker config success, {addr}\n"));
            }
        }
        missing.end(out)
    }
}

/// `wipeWritePerm`
#[derive(Debug, Args)]
pub struct WipeWritePerm {
    /// The broker's name
    #[arg(short = 'b', long = "brokerName")]
    broker_name: String,
}

impl WipeWritePerm {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let header = WritePermOfBrokerRequestHeader { broker_name: self.broker_name.clone() };
        let (mut out, mut missing) = (String::new(), Missing::default());
        for addr in session.name_servers()? {
            let response = session.ask(&addr, request_code::WIPE_WRITE_PERM_OF_BROKER, &header, Bytes::new()).await;
            let Some(response) = missing.note(&addr, response) else { continue };
            let count = response.header::<WipeWritePermOfBrokerResponseHeader>()?.wipe_topic_count;
            out.push_str(&format!(
                "wipe write perm of broker[{}] in name server[{addr}] OK, {count}\n",
                self.broker_name
            ));
        }
        missing.end(out)
    }
}

/// `addWritePerm`
#[derive(Debug, Args)]
pub struct AddWritePerm {
    /// The broker's name
    #[arg(short = 'b', long = "brokerName")]
    broker_name: String,
}

impl AddWritePerm {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let header = WritePermOfBrokerRequestHeader { broker_name: self.broker_name.clone() };
        let (mut out, mut missing) = (String::new(), Missing::default());
        for addr in session.name_servers()? {
            let response = session.ask(&addr, request_code::ADD_WRITE_PERM_OF_BROKER, &header, Bytes::new()).await;
            let Some(response) = missing.note(&addr, response) else { continue };
            let count = response.header::<AddWritePermOfBrokerResponseHeader>()?.add_topic_count;
            out.push_str(&format!(
                "add write perm of broker[{}] in name server[{addr}] OK, {count}\n",
                self.broker_name
            ));
        }
        missing.end(out)
    }
}
