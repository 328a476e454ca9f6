//! `mqadmin`: administers a cluster from the command line. See [`server::admin`].

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use server::admin::{AdminError, CommandLine, Session};
use server::{logging, program};

fn main() -> ExitCode {
    let arguments = CommandLine::parse();
    let _log = logging::start();
    program::run("mqadmin", run(arguments))
}

async fn run(arguments: CommandLine) -> Result<(), Box<dyn Error>> {
    let namesrv_addr = arguments.namesrv_addr.or_else(|| std::env::var("NAMESRV_ADDR").ok()).unwrap_or_default();
    let session = Session::new(&namesrv_addr);
    let text = arguments.command.run(&session).await;
    session.close();
    if let Err(AdminError::Damaged { report, .. }) = &text {
        program::announce(report.trim_end());
    }
    program::announce(text?.trim_end());
    Ok(())
}
