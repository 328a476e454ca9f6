//! How a binary runs: on a tokio runtime, to an exit status.

use std::error::Error;
use std::ffi::OsString;
use std::future::Future;
use std::io::{self, Write};
use std::process::ExitCode;

use sim::{process, task};
use tokio::runtime::{Builder, Runtime};

/// The variable that tokio reads the number of its threads from.
const WORKERS_VARIABLE: &str = "TOKIO_WORKER_THREADS";

/// How many threads a program works with, unless the environment says (`TOKIO_WORKER_THREADS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One for every processor but one, which is left to the kernel's work for the network and the disk: on two processors a
    /// second thread that answers many small requests costs more than it does.
    AllButOne,
    /// One for every processor: a slave that catches up receives, checks and writes large pieces side by side.
    All,
}

/// After so many turns of tasks it is looked at the latest which sockets have something new (tokio's default: 61). Who asks for
/// much makes turns long: all others wait for that look.
const EVENT_INTERVAL: u32 = 16;

impl Workers {
    fn runtime(self) -> io::Result<Runtime> {
        let mut builder = Builder::new_multi_thread();
        if self == Workers::AllButOne && std::env::var_os(WORKERS_VARIABLE).is_none() {
            builder.worker_threads((task::processors() - 1).max(1));
        }
        builder.enable_all().event_interval(EVENT_INTERVAL).build()
    }
}

/// Runs a program to its end. An error becomes one line on standard error and exit status 1.
pub fn run(name: &str, program: impl Future<Output = Result<(), Box<dyn Error>>>) -> ExitCode {
    end(name, run_on(Workers::AllButOne.runtime(), program))
}

/// As [`run`], with what has to be read before it is known how the program runs.
pub fn run_with<S, P>(
    name: &str,
    settings: impl Future<Output = Result<S, Box<dyn Error>>>,
    program: impl FnOnce(S) -> (Workers, P),
) -> ExitCode
where
    P: Future<Output = Result<(), Box<dyn Error>>>,
{
    let settings = run_on(Builder::new_current_thread().enable_all().build(), settings);
    let outcome = settings.and_then(|settings| {
        let (workers, program) = program(settings);
        run_on(workers.runtime(), program)
    });
    end(name, outcome)
}

fn run_on<T>(
    runtime: io::Result<Runtime>,
    future: impl Future<Output = Result<T, Box<dyn Error>>>,
) -> Result<T, Box<dyn Error>> {
    // As the JVM does: the soft limit is what a shell has, and too little for a server's connections and files.
    process::raise_open_files_max();
    runtime?.block_on(future)
}

fn end(name: &str, outcome: Result<(), Box<dyn Error>>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody reads standard error then; the exit status still tells.
            let _ = writeln!(io::stderr(), "{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Warns of the words after the options of a server. Apache's ignores them, and start commands in circulation have some, such
/// as `mqbroker -n host:9876 autoCreateTopicEnable=true`.
pub fn ignore(words: &[String]) {
    for word in words {
        let remedy = if word.contains('=') { ": settings are read from the file that option -c names" } else { "" };
        tracing::warn!("\"{word}\" on the command line changes nothing{remedy}");
    }
}

/// Short names of options of the start command of 5.x that have two letters, and their long ones (`ProxyStartup`).
const SHORT_NAMES: [(&str, &str); 3] =
    [("-bc", "--brokerConfigPath"), ("-pc", "--proxyConfigPath"), ("-pm", "--proxyMode")];

/// The arguments, with the long names of options whose short ones have two letters. Without `--enable-proxy` nothing has
/// such a name, and `-pc FILE` is `-p -c FILE`.
pub fn with_short_names(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if !arguments.iter().any(|argument| argument == "--enable-proxy") {
        return arguments;
    }
    let long_name = |argument: OsString| {
        let known = SHORT_NAMES.iter().find(|(short, _)| argument == *short);
        known.map_or(argument, |(_, long)| OsString::from(long))
    };
    arguments.into_iter().map(long_name).collect()
}

/// Prints a line that scripts wait for.
pub fn announce(line: &str) {
    let mut out = io::stdout().lock();
    // A server whose output nobody reads any more still serves.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_of_two_letters_are_those_of_a_start_with_a_proxy() {
        let long = |words: &str| {
            let words = with_short_names(words.split(' ').map(OsString::from));
            words.join(" ".as_ref()).into_string().expect("it is text")
        };
        let with_proxy = long("mqbroker -n a:9876 --enable-proxy -bc b.conf -pc p.json -pm Local");
        let expected =
            "mqbroker -n a:9876 --enable-proxy --brokerConfigPath b.conf --proxyConfigPath p.json --proxyMode Local";
        assert_eq!(with_proxy, expected);
        assert_eq!(long("mqbroker -pc b.conf"), "mqbroker -pc b.conf");
    }
}
