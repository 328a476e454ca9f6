//! Nobody fills the log volume by what he sends: lines from one place in the program are limited in rate, and every line in
//! length.
//!
//! Many lines at once are all written (a start with many topics); what comes for long is thinned, and how many lines are
//! missing is said before the next one from the same place. A line that is cut says so. Only levels that are on without being asked
//! for are limited: whoever switches on `debug` wants to see everything.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;

/// So many lines from one place are written at once…
const LINES_AT_ONCE: u32 = 1_000;
/// …and one more each time that this has passed: 17,280 a day.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// The longest line. Names and addresses are short; what a peer sends may have half a megabyte.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// How many lines from one place may be written.
#[derive(Debug)]
struct Allowance {
    lines: u32,
    counted_at: Duration,
    left_out: u64,
}

impl Allowance {
    const fn new(now: Duration) -> Self {
        Self { lines: LINES_AT_ONCE, counted_at: now, left_out: 0 }
    }

    /// Takes one line. Gives how many were left out before it; `None` if it is left out.
    fn take(&mut self, now: Duration) -> Option<u64> {
        let passed = now.saturating_sub(self.counted_at).as_millis() / LINE_INTERVAL.as_millis();
        if passed > 0 {
            let more = u32::try_from(passed).unwrap_or(u32::MAX).min(LINES_AT_ONCE);
            self.lines = (self.lines + more).min(LINES_AT_ONCE);
            self.counted_at = if self.lines == LINES_AT_ONCE { now } else { self.counted_at + LINE_INTERVAL * more };
        }
        let Some(lines) = self.lines.checked_sub(1) else {
            self.left_out += 1;
            return None;
        };
        self.lines = lines;
        Some(std::mem::take(&mut self.left_out))
    }
}

/// File and line.
type Place = (Option<&'static str>, Option<u32>);

/// Leaves out lines that come too often. See the module's head.
pub(crate) struct RateLimit<W, C> {
    /// The time, from any beginning on.
    clock: C,
    places: Mutex<BTreeMap<Place, Allowance>>,
    /// Where it is said that lines are missing.
    out: W,
}

impl<W, C: Fn() -> Duration> RateLimit<W, C> {
    pub(crate) fn new(out: W, clock: C) -> Self {
        Self { clock, places: Mutex::default(), out }
    }

    fn take(&self, metadata: &'static Metadata<'static>) -> Option<u64> {
        let now = (self.clock)();
        let place = (metadata.file(), metadata.line());
        // No code that can panic half-way runs under this lock.
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.entry(place).or_insert_with(|| Allowance::new(now)).take(now)
    }
}

impl<S, W, C> Layer<S> for RateLimit<W, C>
where
    C: Fn() -> Duration + Send + Sync + 'static,
    S: Subscriber,
    W: Clone + Write + Send + Sync + 'static,
{
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO {
            return true;
        }
        match self.take(metadata) {
            None => false,
            Some(0) => true,
            Some(left_out) => {
                let text = format!("{left_out} lines like the next one were left out: they came too often\n");
                // One write is one line; a log that cannot be written counts what is missing itself.
                let _ = self.out.clone().write(text.as_bytes());
                true
            }
        }
    }
}

/// Writes lines, of long ones the beginning.
#[derive(Clone, Debug)]
pub(crate) struct Cut<W>(pub W);

impl<W: Write> Write for Cut<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if line.len() <= LINE_BYTES_MAX {
            self.0.write_all(line)?;
        } else {
            // Not within a character.
            let beginning = String::from_utf8_lossy(&line[..LINE_BYTES_MAX]);
            let beginning = beginning.trim_end_matches(char::REPLACEMENT_CHARACTER);
            // One write is one line.
            self.0.write_all(format!("{beginning}… ({} bytes)\n", line.len()).as_bytes())?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<'a, W: Clone + Write + 'a> MakeWriter<'a> for Cut<W> {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_lines_at_once_are_written_and_what_goes_on_is_thinned() {
        let at = Duration::from_secs;
        let mut allowance = Allowance::new(at(0));
        assert!((0..LINES_AT_ONCE).all(|_| allowance.take(at(1)) == Some(0)));
        assert_eq!([allowance.take(at(1)), allowance.take(at(4)), allowance.take(at(4))], [None; 3]);
        assert_eq!([allowance.take(at(5)), allowance.take(at(9)), allowance.take(at(10))], [Some(3), None, Some(1)]);
        // After a long rest it is as at first, and no more.
        let rested = at(1_000_000);
        assert!((0..LINES_AT_ONCE).all(|_| allowance.take(rested) == Some(0)));
        assert_eq!(allowance.take(rested), None);
    }

    #[test]
    fn each_place_has_its_own_allowance_and_a_line_says_what_is_missing() {
        use tracing_subscriber::layer::SubscriberExt;
        let (log, fmt) = (Log::default(), Log::default());
        let limit = RateLimit::new(log.clone(), || Duration::ZERO);
        let layer = tracing_subscriber::fmt::layer().with_writer(Cut(fmt.clone())).with_ansi(false);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer).with(limit), || {
            for number in 0..LINES_AT_ONCE + 5 {
                tracing::info!(number, "here");
            }
            tracing::info!("there");
            tracing::info!(long = "é".repeat(LINE_BYTES_MAX), "long");
        });
        let text = fmt.text();
        assert_eq!(text.matches("here number").count(), LINES_AT_ONCE as usize);
        assert!(text.contains("there"));
        assert!(text.lines().all(|line| line.len() < LINE_BYTES_MAX + 40), "a line is too long");
        assert!(text.ends_with(" bytes)\n"), "{}", &text[text.len() - 100..]);
    }

    #[derive(Clone, Default)]
    struct Log(std::sync::Arc<Mutex<Vec<u8>>>);

    impl Log {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("nobody panics").clone()).expect("lines are text")
        }
    }

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("nobody panics").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
