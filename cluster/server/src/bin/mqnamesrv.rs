//! `mqnamesrv`: the name server as a process. Prints one line when it serves; SIGTERM stops it in good order.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use namesrv::config::SettingError;
use namesrv::{Namesrv, NamesrvConfig};
use server::{Properties, Refusal, logging, program};

/// As of the broker; and it gives back what large requests took, which the system's allocator keeps.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The name server of a message queue cluster compatible with RocketMQ.
///
/// Logs go to standard error; the environment variable ROCKETMQ_LOG selects what is logged.
#[derive(Parser)]
#[command(name = "mqnamesrv", version)]
struct Arguments {
    /// A file of settings, such as namesrv.conf.
    #[arg(short = 'c', long = "configFile", value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// Print the settings in force, and end.
    #[arg(short = 'p', long = "printConfigItem")]
    print_config: bool,
    /// The port to listen on; goes before the file's listenPort.
    #[arg(long = "listen-port", value_name = "PORT")]
    listen_port: Option<u16>,
    /// Taken as Apache's does, and of no effect: name servers know nothing of one another.
    #[arg(short = 'n', long = "namesrvAddr", value_name = "ADDRESSES")]
    namesrv_addr: Option<String>,
    /// Words that start commands in circulation have here; they change nothing.
    #[arg(hide = true)]
    words: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let _log = logging::start();
    program::ignore(&arguments.words);
    program::run("mqnamesrv", serve(arguments))
}

async fn serve(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    if arguments.namesrv_addr.is_some() {
        tracing::warn!("option -n changes nothing: name servers know nothing of one another");
    }
    let config = read_config(&arguments).await?;
    if arguments.print_config {
        program::announce(config.properties(&config.settings).trim_end());
        return Ok(());
    }
    let namesrv = Namesrv::start(config).await?;
    program::announce("The Name Server boot success. serializeType=JSON");
    namesrv.run_until_terminated().await?;
    Ok(())
}

/// The defaults, changed by the file, changed by the command line.
async fn read_config(arguments: &Arguments) -> Result<NamesrvConfig, Box<dyn Error>> {
    let home = std::env::home_dir().unwrap_or_else(|| Path::new(".").to_owned());
    let mut config = NamesrvConfig {
        kv_config_path: home.join("namesrv/kvConfig.json"),
        config_store_path: Some(home.join("namesrv/namesrv.properties")),
        ..NamesrvConfig::default()
    };
    if let Some(path) = &arguments.config_file {
        // Settings that are changed at run time go back into the file they came from.
        config.config_store_path = Some(path.clone());
        Properties::load(path).await?.apply(|key, value| {
            config.set(key, value).map_err(|error| match error {
                SettingError::Unknown { .. } => Refusal::Ignored { why: error.to_string() },
                SettingError::Invalid { allowed, .. } => Refusal::Invalid { allowed: allowed.to_owned() },
            })
        })?;
    }
    if let Some(port) = arguments.listen_port {
        config.listen.set_port(port);
    }
    Ok(config)
}
