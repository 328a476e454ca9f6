//! Logs go to standard error; standard output is for what scripts read.
//!
//! No log can hurt the service. A thread of its own writes the lines: a volume that is full, a pipe that nobody reads from
//! or that is closed delays or fails that thread alone. What it cannot keep up with is dropped, and how many lines that
//! were is said as soon as lines can be written again.

use std::io::{self, IsTerminal, Write};

use sim::time::Instant;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::log_limit::{Cut, RateLimit};

/// The environment variable that selects what is logged, for example `info,remoting=debug`.
pub const LOG_VARIABLE: &str = "ROCKETMQ_LOG";

/// How many lines wait at most for the thread that writes them.
const WAITING_LINES_MAX: usize = 8_192;

/// Starts logging to standard error: level `info`, or what [`LOG_VARIABLE`] says. Call it once, before anything else, and
/// keep what it returns to the end of the program: when that is dropped, the lines that wait are written.
pub fn start() -> WorkerGuard {
    let filter = EnvFilter::builder().with_env_var(LOG_VARIABLE).from_env();
    let (filter, error) = match filter {
        Ok(filter) if !filter.to_string().is_empty() && std::env::var_os(LOG_VARIABLE).is_some() => (filter, None),
        Ok(_) => (EnvFilter::new("info"), None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING_LINES_MAX)
        .lossy(true)
        .thread_name("log")
        .finish(Lines::new(io::stderr()));
    DROPPED.set(writer.error_counter()).expect("logging is started once");
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(Cut(writer.clone()))
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .log_internal_errors(false);
    let began = Instant::now();
    let limit = RateLimit::new(writer, move || began.elapsed());
    tracing_subscriber::registry().with(lines).with(limit).with(filter).init();
    if let Some(error) = error {
        tracing::warn!(%error, "{LOG_VARIABLE} cannot be understood; logging at level info");
    }
    guard
}

/// Counts the lines that were dropped because too many waited.
static DROPPED: std::sync::OnceLock<ErrorCounter> = std::sync::OnceLock::new();

/// Where lines are written to. Says how many of them are missing.
struct Lines<W> {
    out: W,
    /// Dropped lines that have been told.
    told: usize,
    /// Lines that could not be written.
    failed: usize,
}

impl<W: Write> Lines<W> {
    fn new(out: W) -> Self {
        Self { out, told: 0, failed: 0 }
    }

    fn tell_what_is_missing(&mut self, dropped: usize) -> io::Result<()> {
        let missing = dropped - self.told + self.failed;
        if missing > 0 {
            writeln!(self.out, "{missing} lines of the log are missing here: they could not be written in time")?;
            (self.told, self.failed) = (dropped, 0);
        }
        Ok(())
    }

    fn write_line(&mut self, line: &[u8], dropped: usize) {
        let written = self.tell_what_is_missing(dropped).and_then(|()| self.out.write_all(line));
        if written.is_err() {
            self.failed += 1;
        }
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_line(line, DROPPED.get().map_or(0, ErrorCounter::dropped_lines));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Nobody is there to be told of an error, and the next line may go through.
        let _ = self.out.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails while `is_closed`.
    #[derive(Default)]
    struct Pipe {
        is_closed: bool,
        text: String,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.is_closed {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.text.push_str(std::str::from_utf8(bytes).expect("lines are text"));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_told_when_they_can_be() {
        let mut lines = Lines::new(Pipe::default());
        lines.write_line(b"one\n", 0);
        lines.out.is_closed = true;
        lines.write_line(b"two\n", 0);
        lines.write_line(b"three\n", 5);
        lines.out.is_closed = false;
        lines.write_line(b"four\n", 5);
        lines.write_line(b"five\n", 6);
        lines.write_line(b"six\n", 6);
        let missing = |count| format!("{count} lines of the log are missing here: they could not be written in time\n");
        assert_eq!(lines.out.text, format!("one\n{}four\n{}five\nsix\n", missing(7), missing(1)));
    }
}
