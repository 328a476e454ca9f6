//! What was refused.

use std::fmt::{self, Write};

/// What of the real machine a call would have reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    File,
    Socket,
    HostName,
    /// A sleep on the real clock.
    Sleep,
    /// A wait for another thread, with a time-out on the real clock.
    TimedWait,
    /// Another process.
    Process,
    /// The identifier of this process.
    ProcessId,
}

/// A call that was refused. Displayed as `open64("/etc/hostname")`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reached: Reached,
    /// The function of libc.
    pub call: &'static str,
    pub(crate) argument: Text,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}({})", self.call, self.argument.as_str())
    }
}

const TEXT_BYTES: usize = 256;

/// A short text that needs no allocation. What does not fit is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    bytes: [u8; TEXT_BYTES],
    len: usize,
}

impl Text {
    pub(crate) const EMPTY: Text = Text { bytes: [0; TEXT_BYTES], len: 0 };

    /// A path or a name in quotes.
    #[cfg_attr(not(all(target_os = "linux", target_env = "gnu")), allow(dead_code))]
    pub(crate) fn quoted(name: &[u8]) -> Text {
        let mut text = Text::EMPTY;
        // Writing to a text cannot fail.
        let _ = text.write_char('"');
        for chunk in name.utf8_chunks() {
            let _ = write!(text, "{}", chunk.valid().escape_debug());
            if !chunk.invalid().is_empty() {
                let _ = text.write_char(char::REPLACEMENT_CHARACTER);
            }
        }
        let _ = text.write_char('"');
        text
    }

    /// As it is displayed.
    #[cfg_attr(not(all(target_os = "linux", target_env = "gnu")), allow(dead_code))]
    pub(crate) fn of(value: &impl fmt::Display) -> Text {
        let mut text = Text::EMPTY;
        // Writing to a text cannot fail.
        let _ = write!(text, "{value}");
        text
    }

    fn as_str(&self) -> &str {
        // What was written were whole characters.
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fits = text.floor_char_boundary(TEXT_BYTES - self.len);
        self.bytes[self.len..self.len + fits].copy_from_slice(&text.as_bytes()[..fits]);
        self.len += fits;
        Ok(())
    }
}
