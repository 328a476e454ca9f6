//! `mqbroker`: the broker as a program of its own.
//!
//! Settings come from a `broker.conf` under RocketMQ's keys; what only other modes need is refused or warned about, never
//! passed over in silence. It prints RocketMQ's boot line when it serves, and stops in good order on SIGTERM.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use broker::settings::{self, SettingError};
use broker::{Broker, BrokerConfig};
use clap::Parser;
use server::{Properties, Refusal, logging, program};

/// The broker: stores messages and gives them to consumers.
#[derive(Debug, Parser)]
#[command(name = "mqbroker", version)]
struct Arguments {
    /// The settings, a properties file with RocketMQ's keys.
    #[arg(short = 'c', long = "configFile", value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// The name servers, host:port, several separated by semicolons. Goes before the file and NAMESRV_ADDR.
    #[arg(short = 'n', long = "namesrvAddr", value_name = "ADDRESSES")]
    namesrv_addr: Option<String>,
    /// Print all settings and end.
    #[arg(short = 'p', long = "printConfigItem")]
    print_config: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::start();
    program::run("mqbroker", serve(arguments))
}

async fn serve(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let config = config(&arguments).await?;
    if arguments.print_config {
        for (key, value) in settings::all(&config) {
            program::announce(&format!("{key}={value}"));
        }
        return Ok(());
    }
    let broker = Broker::start(config).await?;
    let config = broker.config();
    let name_servers = if config.namesrv_addr.is_empty() {
        String::new()
    } else {
        format!(" and name server is {}", config.namesrv_addr.join(";"))
    };
    let (name, addr) = (&config.broker_name, broker.addr());
    program::announce(&format!("The broker[{name}, {addr}] boot success. serializeType=JSON{name_servers}"));
    broker.run_until_terminated().await?;
    Ok(())
}

/// The settings: defaults, then NAMESRV_ADDR, then the file, then the command line.
async fn config(arguments: &Arguments) -> Result<BrokerConfig, Box<dyn Error>> {
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let mut config = BrokerConfig::new(host_name().await, home.join("store"));
    if let Ok(addrs) = std::env::var("NAMESRV_ADDR") {
        settings::set(&mut config, "namesrvAddr", &addrs)
            .map_err(|error| format!("environment variable NAMESRV_ADDR: {error}"))?;
    }
    if let Some(path) = &arguments.config_file {
        let properties = Properties::load(path).await?;
        properties.apply(|key, value| match key {
            "brokerRole" => check_role(value),
            _ => settings::set(&mut config, key, value).map_err(refusal),
        })?;
        if !config.broker_id.is_master() {
            let error =
                properties.refuse("brokerId", "0: a slave needs a replication mode, and there is none here yet");
            return Err(error.map_or_else(|| "brokerId must be 0".into(), Box::from));
        }
    }
    if let Some(addrs) = &arguments.namesrv_addr {
        settings::set(&mut config, "namesrvAddr", addrs).map_err(|error| format!("option -n: {error}"))?;
    }
    Ok(config)
}

fn check_role(value: &str) -> Result<(), Refusal> {
    match value {
        "ASYNC_MASTER" => Ok(()),
        "SYNC_MASTER" => {
            tracing::warn!("brokerRole = SYNC_MASTER: nothing is replicated in the modes single-master and 2m-noslave");
            Ok(())
        }
        _ => {
            let allowed =
                "ASYNC_MASTER or SYNC_MASTER; this version has the modes single-master and 2m-noslave".to_owned();
            Err(Refusal::Invalid { allowed })
        }
    }
}

fn refusal(error: SettingError) -> Refusal {
    match error {
        SettingError::UnknownKey { .. } => Refusal::Unknown,
        SettingError::BadValue { allowed, .. } => Refusal::Invalid { allowed },
        SettingError::NeedsRestart { .. } => Refusal::Invalid { allowed: error.to_string() },
    }
}

/// This machine's name: RocketMQ's default for brokerName.
async fn host_name() -> String {
    let name = sim::disk::read(Path::new("/proc/sys/kernel/hostname")).await.unwrap_or_default();
    match String::from_utf8_lossy(&name).trim() {
        "" => "DEFAULT_BROKER".to_owned(),
        name => name.to_owned(),
    }
}
