//! The arguments.

use super::demo::DemoArguments;
use crate::{
    nearest::did_you_mean,
    spec::{Flush, Mode, ProfileName},
};
use clap::{Args, Parser, Subcommand};
use faults::{Fault, FaultError, FaultKind};
use quirks::Profile;
use std::{ops::Range, path::PathBuf};

/// Fires faults at a simulated RocketMQ cluster and says what survived.
#[derive(Debug, Parser)]
#[command(
    name = "staticfire",
    version,
    after_help = "Exit status: 0 all promises held; 1 error of use or of the environment; 10 a promise broken; 11 not live \
                  again after healing; 12 not deterministic; 13 the cluster's own code panicked."
)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show modes, faults, scenarios and oracles
    List(ListArguments),
    /// Run one scenario under one fault, from one seed
    Run(RunArguments),
    /// Run a recorded run again and compare the trace hash
    Replay(ReplayArguments),
    /// Run many seeds over modes, flushes and faults
    Sweep(SweepArguments),
    /// Show what each mode survives: every mode and flush under the main faults, in a few minutes
    Demo(DemoArguments),
    /// Ask the oracles about a history file
    Check(CheckArguments),
    /// Prove that the same seed gives the same run in other processes
    Meta(MetaArguments),
}

#[derive(Debug, Args)]
pub struct ListArguments {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct RunArguments {
    /// A scenario of the catalogue, or the path of a .toml file
    pub scenario: String,
    /// The cluster mode
    #[arg(long, value_parser = parse::<Mode>)]
    pub mode: Option<Mode>,
    /// async or sync
    #[arg(long, value_parser = parse::<Flush>)]
    pub flush: Option<Flush>,
    /// The class of faults, or up to three in sequence: os-crash+power-loss
    #[arg(long, value_parser = fault)]
    pub fault: Option<Fault>,
    /// Whose behaviour the brokers have: hardened, apache-4.9.8 or apache-5.3
    #[arg(long, value_parser = profile)]
    pub profile: Option<ProfileName>,
    /// A fault plan of your own (TOML, or JSON where the name ends so) instead of a class of faults
    #[arg(long, value_name = "FILE", conflicts_with = "fault")]
    pub plan: Option<PathBuf>,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Change one field of the scenario; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Where run.json goes (then with history.jsonl beside it) [default: out/SCENARIO-FLUSH-FAULT-SEED, run.json only]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Also write every step of the simulation to trace.jsonl
    #[arg(long)]
    pub trace: bool,
    /// Log what the cluster says to standard error: error, warn, info, debug, trace, or a filter such as broker=debug
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ReplayArguments {
    /// The run.json of the run
    pub record: PathBuf,
    /// Where the new run.json and history.jsonl go [default: nowhere]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Also write every step of the simulation to trace.jsonl
    #[arg(long, requires = "out")]
    pub trace: bool,
    /// As for `run`
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct SweepArguments {
    /// The cluster modes, each with its standard scenario [default: all]
    #[arg(long, value_delimiter = ',', value_parser = parse::<Mode>)]
    pub modes: Vec<Mode>,
    /// async, sync [default: both]
    #[arg(long, value_delimiter = ',', value_parser = parse::<Flush>)]
    pub flush: Vec<Flush>,
    /// The classes of faults, each one or up to three in sequence: none,os-crash+power-loss [default: all single ones]
    #[arg(long, value_delimiter = ',', value_parser = fault)]
    pub faults: Vec<Fault>,
    /// Whose behaviour the brokers have: hardened, apache-4.9.8 or apache-5.3 [default: hardened]
    #[arg(long, value_parser = profile)]
    pub profile: Option<ProfileName>,
    /// The seeds, the last one not included: 1..51 are fifty
    #[arg(long, value_parser = seeds)]
    pub seeds: Range<u64>,
    /// How many at once [default: one per core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Only every N-th trial, from the I-th: 1/4, 2/4, …
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub shard: Option<(u64, u64)>,
    /// Change one field of every scenario; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Where records.jsonl and sweep.json go
    #[arg(long, value_name = "DIR", default_value = "out/sweep")]
    pub out: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// A history in JSON Lines
    pub history: PathBuf,
    /// What was promised: MODE/FLUSH/FAULT, for example 2m-2s-sync/async/slave-crash+power-loss
    #[arg(long, value_name = "MODE/FLUSH/FAULT")]
    pub promise: String,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct MetaArguments {
    /// A scenario of the catalogue, or the path of a .toml file
    #[arg(required_unless_present = "all_faults")]
    pub scenario: Option<String>,
    /// Instead of one scenario: every mode and flush by turns, under all kinds of faults at once
    #[arg(long, conflicts_with_all = ["scenario", "flush", "fault", "seed"], requires = "seeds")]
    pub all_faults: bool,
    /// The seeds of `--all-faults`, the last one not included: 1..201 are two hundred
    #[arg(long, value_parser = seeds, requires = "all_faults")]
    pub seeds: Option<Range<u64>>,
    /// Change one field of every scenario of `--all-faults`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "all_faults")]
    pub settings: Vec<String>,
    /// Only run the trials of `--all-faults` and write what they were to this file: what the two processes do
    #[arg(long, hide = true, value_name = "FILE", requires = "jobs")]
    pub write: Option<PathBuf>,
    #[arg(long, hide = true, requires = "write")]
    pub jobs: Option<usize>,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// async or sync
    #[arg(long, value_parser = parse::<Flush>)]
    pub flush: Option<Flush>,
    /// The class of faults
    #[arg(long, default_value = "power-loss", value_parser = fault)]
    pub fault: Fault,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

pub fn parse<T: std::str::FromStr>(text: &str) -> Result<T, String>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// A fault; one that there is not gets the most alike, or else the list of all.
pub fn fault(text: &str) -> Result<Fault, String> {
    text.parse::<Fault>().map_err(|error| {
        let near = match &error {
            FaultError::Unknown { unknown, .. } => did_you_mean(&unknown.0, FaultKind::ALL.map(FaultKind::name)),
            _ => String::new(),
        };
        match (&error, near.is_empty()) {
            (FaultError::Unknown { unknown, .. }, false) => format!("unknown fault `{}`{near}", unknown.0),
            _ => error.to_string(),
        }
    })
}

pub fn profile(name: &str) -> Result<ProfileName, String> {
    let near = || did_you_mean(name, Profile::ALL.map(Profile::name));
    name.parse::<ProfileName>().map_err(|error| format!("{error}{}", near()))
}

pub fn seeds(text: &str) -> Result<Range<u64>, String> {
    let wrong =
        || format!("`{text}` is no range of seeds: write FROM..TO with FROM smaller than TO, for example 1..51");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let range = from.trim().parse().map_err(|_| wrong())?..to.trim().parse().map_err(|_| wrong())?;
    if range.is_empty() { Err(wrong()) } else { Ok(range) }
}

fn shard(text: &str) -> Result<(u64, u64), String> {
    let wrong = || format!("`{text}` is no shard: write I/N with I from 1 to N, for example 2/4");
    let (index, count) = text.split_once('/').ok_or_else(wrong)?;
    let (index, count) = (index.parse().map_err(|_| wrong())?, count.parse().map_err(|_| wrong())?);
    if (1..=count).contains(&index) { Ok((index, count)) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn seeds_and_shards() {
        assert_eq!(seeds("1..51"), Ok(1..51));
        for wrong in ["5..1", "1", "a..b", "3..3", "1..=5"] {
            assert!(seeds(wrong).expect_err(wrong).contains(wrong));
        }
        assert_eq!(shard("2/4"), Ok((2, 4)));
        for wrong in ["0/4", "5/4", "1", "x/y"] {
            assert!(shard(wrong).is_err(), "{wrong}");
        }
    }
}
