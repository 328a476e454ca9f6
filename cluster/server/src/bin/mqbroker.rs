//! `mqbroker`: the broker as a program of its own.
//!
//! Settings come from a `broker.conf` under RocketMQ's keys; see [`server::broker_settings`]. It prints RocketMQ's boot line when it serves, and stops in good order on SIGTERM.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use broker::settings;
use broker::{Broker, BrokerConfig, Role};
use clap::Parser;
use server::program::Workers;
use server::{Properties, broker_settings, logging, program};

/// A put allocates a few dozen small things and frees them in another thread, which is what this allocator is good at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The broker: stores messages and gives them to consumers.
#[derive(Debug, Parser)]
#[command(name = "mqbroker", version)]
struct Arguments {
    /// The settings, a properties file with RocketMQ's keys.
    #[arg(short = 'c', long = "configFile", alias = "brokerConfigPath", value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// The name servers, host:port, several separated by semicolons. Goes before the file and NAMESRV_ADDR.
    #[arg(short = 'n', long = "namesrvAddr", value_name = "ADDRESSES")]
    namesrv_addr: Option<String>,
    /// Print all settings and end.
    #[arg(short = 'p', long = "printConfigItem")]
    print_config: bool,
    /// Print the settings that most files change and end.
    #[arg(short = 'm', long = "printImportantConfig")]
    print_important_config: bool,
    /// Taken as 5.x's start command does, and of no effect: there is no proxy.
    #[arg(long = "enable-proxy")]
    enable_proxy: bool,
    /// The proxy's own settings.
    #[arg(long = "proxyConfigPath", value_name = "FILE", hide = true)]
    proxy_config: Option<PathBuf>,
    /// The proxy's way to the broker.
    #[arg(long = "proxyMode", value_name = "MODE", hide = true)]
    proxy_mode: Option<String>,
    /// Words that start commands in circulation have here; they change nothing.
    #[arg(hide = true)]
    words: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse_from(program::with_short_names(std::env::args_os()));
    let _log = logging::start();
    if arguments.enable_proxy || arguments.proxy_config.is_some() || arguments.proxy_mode.is_some() {
        tracing::warn!(
            "there is no proxy, and --enable-proxy changes nothing: clients that speak gRPC are not served, those that speak \
             the remoting protocol are"
        );
    }
    program::ignore(&arguments.words);
    program::run_with("mqbroker", read_settings(arguments), |(config, arguments)| {
        let workers = if config.ha.role == Role::Slave { Workers::All } else { Workers::AllButOne };
        (workers, run(config, arguments))
    })
}

async fn run(config: BrokerConfig, arguments: Arguments) -> Result<(), Box<dyn Error>> {
    if !arguments.print_config && !arguments.print_important_config {
        return serve(config).await;
    }
    for (key, value) in settings::all(&config) {
        if arguments.print_config || settings::IMPORTANT.contains(&key) {
            program::announce(&format!("{key}={value}"));
        }
    }
    Ok(())
}

async fn serve(config: BrokerConfig) -> Result<(), Box<dyn Error>> {
    let broker = Broker::start(config).await?;
    let config = broker.config();
    let name_servers = if config.namesrv_addr.is_empty() {
        String::new()
    } else {
        format!(" and name server is {}", config.namesrv_addr.join(";"))
    };
    let (name, addr) = (&config.broker_name, broker.advertised_addr());
    program::announce(&format!("The broker[{name}, {addr}] boot success. serializeType=JSON{name_servers}"));
    broker.run_until_terminated().await?;
    Ok(())
}

/// The settings: defaults, then NAMESRV_ADDR, then the file, then the command line.
async fn read_settings(arguments: Arguments) -> Result<(BrokerConfig, Arguments), Box<dyn Error>> {
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let mut config = BrokerConfig::new(host_name().await, home.join("store"));
    if let Ok(addrs) = std::env::var("NAMESRV_ADDR") {
        settings::set(&mut config, "namesrvAddr", &addrs)
            .map_err(|error| format!("environment variable NAMESRV_ADDR: {error}"))?;
    }
    let mut file = None;
    if let Some(path) = &arguments.config_file {
        let properties = Properties::load(path).await?;
        broker_settings::apply(&mut config, &properties)?;
        file = Some(properties);
    }
    if let Some(addrs) = &arguments.namesrv_addr {
        settings::set(&mut config, "namesrvAddr", addrs).map_err(|error| format!("option -n: {error}"))?;
    }
    broker_settings::check(&config, file.as_ref())?;
    Ok((config, arguments))
}

/// This machine's name: RocketMQ's default for brokerName.
async fn host_name() -> String {
    let name = sim::disk::read(Path::new("/proc/sys/kernel/hostname")).await.unwrap_or_default();
    match String::from_utf8_lossy(&name).trim() {
        "" => "DEFAULT_BROKER".to_owned(),
        name => name.to_owned(),
    }
}
