//! `mqadmin`: administers a cluster from the command line. See [`server::admin`].

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use jiff::tz::TimeZone;
use server::admin::{self, AdminError, CommandLine, Session, Times};
use server::{logging, program};

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let program_name = arguments.next().unwrap_or_else(|| "mqadmin".to_owned());
    let arguments = CommandLine::parse_from(std::iter::once(program_name).chain(admin::normalised(arguments)));
    let _log = logging::start();
    program::run("mqadmin", run(arguments))
}

async fn run(arguments: CommandLine) -> Result<(), Box<dyn Error>> {
    let namesrv_addr = arguments.namesrv_addr.or_else(|| std::env::var("NAMESRV_ADDR").ok()).unwrap_or_default();
    let session = Session::new(&namesrv_addr).with_times(Times::in_zone(TimeZone::system()));
    let text = arguments.command.run(&session).await;
    session.close();
    if let Err(AdminError::Damaged { report, .. } | AdminError::Partial { report, .. }) = &text
        && !report.is_empty()
    {
        program::announce(report.trim_end());
    }
    program::announce(text?.trim_end());
    Ok(())
}
