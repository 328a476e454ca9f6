//! The `staticfire` command.
//!
//! `--json` prints exactly one JSON object on standard output; everything else, progress and logs, goes to standard error.
//! The exit status says how it went, see [`Exit`].

mod args;
mod check;
mod combinations;
mod coverage;
mod demo;
mod list;
mod matrix;
mod meta;
mod output;
mod progress;
mod replay;
mod run;
mod sweep;

use args::{Arguments, Command};
use clap::Parser;
use reports::Verdict;
use std::process::ExitCode;

/// The exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All promises held.
    Held,
    /// An error of use or of the environment.
    Usage,
    /// A promise broke.
    Broken,
    /// Not live again after everything was healed.
    NotLive,
    /// Two runs of the same seed differ.
    NotDeterministic,
    /// The cluster's own code panicked.
    Panicked,
}

impl Exit {
    fn status(self) -> u8 {
        match self {
            Exit::Held => 0,
            Exit::Usage => 1,
            Exit::Broken => 10,
            Exit::NotLive => 11,
            Exit::NotDeterministic => 12,
            Exit::Panicked => 13,
        }
    }
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Exit {
        match verdict {
            Verdict::Held => Exit::Held,
            Verdict::NotLive => Exit::NotLive,
            Verdict::Broken => Exit::Broken,
        }
    }
}

/// Why a command stopped, in one line for standard error.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Settings(#[from] crate::settings::SettingsError),
    #[error(transparent)]
    Scenario(#[from] crate::spec::ScenarioError),
    #[error(transparent)]
    Output(#[from] output::OutputError),
    #[error("{0}\n  again: {1}")]
    Panicked(crate::run::Panicked, String),
}

impl CliError {
    fn exit(&self) -> Exit {
        match self {
            CliError::Panicked(..) => Exit::Panicked,
            _ => Exit::Usage,
        }
    }
}

/// Says what is wrong with the arguments: in one line, or by the help where that was asked for or nothing was said.
fn refuse(error: &clap::Error) -> Exit {
    use clap::error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    match error.kind() {
        DisplayHelp | DisplayVersion if error.print().is_ok() => Exit::Held,
        DisplayHelp | DisplayVersion => Exit::Usage,
        DisplayHelpOnMissingArgumentOrSubcommand => {
            eprint!("{error}");
            Exit::Usage
        }
        _ => {
            let text = error.to_string();
            let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            let mut parts = text.split("\n\n");
            let first = one_line(parts.next().unwrap_or_default());
            let similar = parts.find(|part| part.contains("similar")).map(one_line);
            let similar = similar.map(|tip| format!("; {}", tip.trim_start_matches("tip: "))).unwrap_or_default();
            eprintln!("staticfire: {}{similar}; see --help", first.trim_start_matches("error: "));
            Exit::Usage
        }
    }
}

/// Runs the command with the process's arguments.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            return ExitCode::from(refuse(&error).status());
        }
    };
    let done = match arguments.command {
        Command::List(arguments) => list::list(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Replay(arguments) => replay::replay(&arguments),
        Command::Sweep(arguments) => sweep::sweep(&arguments),
        Command::Demo(arguments) => demo::demo(&arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::Meta(arguments) => meta::meta(&arguments),
    };
    let exit = done.unwrap_or_else(|error| {
        eprintln!("staticfire: {error}");
        error.exit()
    });
    ExitCode::from(exit.status())
}
