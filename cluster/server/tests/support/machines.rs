//! Name servers and brokers on loopback, each broker from a file of `deploy/conf` and what is its own: port, store, addresses.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

use client::{Admin, ClientConfig};
use protocol::body::TopicConfig;
use protocol::perm;
use tempfile::TempDir;

use super::server::Server;
use super::{PATIENCE, eventually};

/// The cluster of all files in `deploy/conf`.
pub const CLUSTER: &str = "DefaultCluster";
/// Small, so that a log has several files.
pub const COMMIT_LOG_FILE_BYTES: u64 = 4 << 20;

/// Below the range from which outgoing connections take theirs.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A port that is free, the next one, which is for slaves, and the one two below, which is the fast port.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const STEP: u16 = 4;
    let steps = (PORTS.end - PORTS.start) / STEP;
    let first = u16::try_from(std::process::id() % u32::from(steps)).expect("it is less than that");
    for _ in 0..steps {
        let port = PORTS.start + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % steps * STEP + 2;
        if [port - 2, port, port + 1].iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()) {
            return port;
        }
    }
    panic!("no free ports between {} and {}", PORTS.start, PORTS.end);
}

/// A broker and its store.
pub struct BrokerMachine {
    pub server: Server,
    pub store: PathBuf,
    pub port: u16,
}

impl BrokerMachine {
    /// Where clients reach it.
    pub fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where slaves reach it.
    pub fn ha_addr(&self) -> String {
        format!("127.0.0.1:{}", self.port + 1)
    }

    /// The bytes of its log in `[0, end)`, of which all files must be there.
    pub fn log_bytes(&self, end: u64) -> Vec<u8> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(self.store.join("commitlog"))
            .expect("the broker has a log")
            .map(|entry| entry.expect("it can be listed").path())
            .collect();
        files.sort();
        let mut bytes = Vec::new();
        for file in files {
            let start: u64 =
                file.file_name().and_then(|name| name.to_str()?.parse().ok()).expect("its name is its offset");
            if start < end {
                assert_eq!(start, bytes.len() as u64, "{} does not begin where the last one ends", file.display());
                bytes.extend(std::fs::read(&file).expect("it can be read"));
            }
        }
        bytes.truncate(usize::try_from(end).expect("logs of tests are small"));
        assert_eq!(bytes.len() as u64, end, "the log of {} is shorter than it says", self.store.display());
        bytes
    }
}

/// Name servers and brokers.
pub struct Machines {
    pub name_servers: Vec<Server>,
    pub name_server_addrs: Vec<String>,
    pub brokers: BTreeMap<String, BrokerMachine>,
    pub admin: Admin,
    /// Settings of every broker.
    pub common: Vec<(&'static str, String)>,
    work: TempDir,
}

impl Machines {
    /// So many name servers, and no broker yet.
    pub async fn start(name_servers: usize) -> Self {
        let work = tempfile::Builder::new().prefix("staticfire-").tempdir().expect("there is room for temporary files");
        let mut servers = Vec::new();
        let mut addrs = Vec::new();
        for number in 1..=name_servers {
            let (name, port) = (format!("namesrv-{number}"), free_port());
            let configuration = work.path().join(format!("{name}.conf"));
            let home = work.path().join(&name);
            std::fs::create_dir(&home).expect("the work directory can be written");
            let text =
                format!("listenPort={port}\nbindAddress=127.0.0.1\nkvConfigPath={}/kvConfig.json\n", home.display());
            std::fs::write(&configuration, text).expect("the work directory can be written");
            let mut server = Server::new(&name, env!("CARGO_BIN_EXE_mqnamesrv"), configuration, work.path());
            server.start().await;
            servers.push(server);
            addrs.push(format!("127.0.0.1:{port}"));
        }
        let admin = Admin::start(ClientConfig::new(addrs.clone())).expect("the addresses are well-formed");
        let common = vec![
            ("brokerIP1", "127.0.0.1".to_owned()),
            ("bindAddress", "127.0.0.1".to_owned()),
            ("namesrvAddr", addrs.join(";")),
            ("mappedFileSizeCommitLog", COMMIT_LOG_FILE_BYTES.to_string()),
            ("slaveSynchronizeInterval", "500".to_owned()),
            ("slaveSynchronizeDelay", "500".to_owned()),
        ];
        Self { name_servers: servers, name_server_addrs: addrs, brokers: BTreeMap::new(), admin, common, work }
    }

    /// What clients are told.
    pub fn client_config(&self) -> ClientConfig {
        ClientConfig::new(self.name_server_addrs.clone())
    }

    /// A broker under this name, which does not run yet: `file` of `deploy/conf`, then what all brokers have, then `own`.
    pub fn add(&mut self, name: &str, file: &str, own: &[(&str, &str)]) -> &mut BrokerMachine {
        let port = free_port();
        let store = self.work.path().join(format!("store-{name}"));
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/conf").join(file);
        let mut text = std::fs::read_to_string(&deploy).unwrap_or_else(|error| panic!("{}: {error}", deploy.display()));
        text += &format!("listenPort={port}\nstorePathRootDir={}\n", store.display());
        let common = self.common.iter().map(|(key, value)| (*key, value.as_str()));
        for (key, value) in common.chain(own.iter().copied()) {
            text += &format!("{key}={value}\n");
        }
        let configuration = self.work.path().join(format!("{name}.properties"));
        std::fs::write(&configuration, text).expect("the work directory can be written");
        let server = Server::new(name, env!("CARGO_BIN_EXE_mqbroker"), configuration, self.work.path());
        let machine = BrokerMachine { server, store, port };
        assert!(self.brokers.insert(name.to_owned(), machine).is_none(), "there is a {name} already");
        self.broker_mut(name)
    }

    /// Adds `{name}` and `{name}-s` of a mode, starts them, and waits until the slave follows.
    pub async fn start_pair(&mut self, mode: &str, name: &str) {
        for name in [name.to_owned(), format!("{name}-s")] {
            self.add(&name, &format!("{mode}/{name}.properties"), &[]).server.start().await;
        }
        self.wait_for_slave(name).await;
    }

    /// The broker of this name.
    pub fn broker(&self, name: &str) -> &BrokerMachine {
        self.brokers.get(name).unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// The broker of this name, to start and to stop.
    pub fn broker_mut(&mut self, name: &str) -> &mut BrokerMachine {
        self.brokers.get_mut(name).unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// Waits until a master has its one slave in sync.
    pub async fn wait_for_slave(&self, master: &str) {
        eventually(&format!("{master} has a slave in sync"), async || {
            self.figure(master, "haInSyncSlaveNums").await == Some(1)
        })
        .await;
    }

    /// One of the figures that a broker tells of itself; `None` while it does not answer.
    pub async fn figure(&self, broker: &str, key: &str) -> Option<u64> {
        let figures = self.admin.broker_runtime_stats(&self.broker(broker).addr()).await.ok()?;
        Some(
            figures.get(key).unwrap_or_else(|| panic!("{broker} has no figure {key}")).parse().expect("it is a number"),
        )
    }

    /// Where a broker's log ends.
    pub async fn log_end(&self, broker: &str) -> Option<u64> {
        self.figure(broker, "commitLogMaxOffset").await
    }

    /// Creates a topic on all masters, and waits until every name server knows it of `brokers` broker names, and every slave
    /// has it.
    pub async fn create_topic(&self, topic: &str, brokers: usize) {
        let config = TopicConfig::new(topic, 4, perm::PERM_READ | perm::PERM_WRITE);
        // A master that has just started may not be known yet.
        eventually("all masters make a topic", async || {
            let masters = self.admin.create_topic_in_cluster(CLUSTER, &config).await;
            masters.is_ok_and(|masters| masters.len() == brokers)
        })
        .await;
        for addr in &self.name_server_addrs {
            let admin = Admin::start(ClientConfig::new([addr.clone()])).expect("the address is well-formed");
            eventually(&format!("{addr} has the route of {topic}"), async || {
                admin.examine_topic_route(topic).await.is_ok_and(|route| route.broker_datas.len() == brokers)
            })
            .await;
        }
        for (name, slave) in self.brokers.iter().filter(|(name, _)| name.ends_with("-s")) {
            eventually(&format!("{name} has the topic {topic}"), async || {
                let topics = std::fs::read_to_string(slave.store.join("config/topics.json"));
                topics.is_ok_and(|topics| topics.contains(&format!("\"{topic}\"")))
            })
            .await;
        }
    }

    /// Waits until a slave has all that its master has, and checks that the two logs have the same bytes. Nothing may be
    /// written meanwhile.
    pub async fn check_equal(&self, master: &str) {
        let slave = format!("{master}-s");
        eventually(&format!("{slave} has all that {master} has"), async || {
            let (ours, theirs) = (self.log_end(master).await, self.log_end(&slave).await);
            ours.is_some() && ours == theirs
        })
        .await;
        let end = self.log_end(&slave).await.expect("it has just answered");
        assert!(end > 0, "the log of {master} is empty");
        let (ours, theirs) = (self.broker(master).log_bytes(end), self.broker(&slave).log_bytes(end));
        let differs = ours.iter().zip(&theirs).position(|(ours, theirs)| ours != theirs);
        assert_eq!(differs, None, "the logs of {master} and {slave} differ there");
        assert_eq!(self.log_end(master).await, Some(end), "somebody wrote to {master} meanwhile, within {PATIENCE:?}");
    }
}
