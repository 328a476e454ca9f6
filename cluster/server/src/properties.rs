//! Property files, as Java reads them (`java.util.Properties.load`): the form of `namesrv.conf` and `broker.conf`.
//!
//! Supported are comments (`#`, `!`), the separators `=`, `:` and blanks, lines that continue after a backslash, the
//! escapes `\t \n \r \f \uXXXX`, and the line ends of Unix, Windows and old Macs.
//!
//! Java reads bytes as ISO-8859-1, so that no encoding of a comment is an obstacle. Here a line that is valid UTF-8 is
//! read as that, and any other as ISO-8859-1; a setting in such a line is warned about. A byte order mark is skipped, and
//! blanks at the end of a value are dropped, which nobody means.

use std::io;
use std::path::{Path, PathBuf};

/// The settings of one file, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Properties {
    path: PathBuf,
    settings: Vec<Setting>,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The line that it begins on, from 1.
    pub line: usize,
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// Why a setting is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It changes nothing: the user is warned.
    Ignored {
        /// Why not.
        why: String,
    },
    /// It cannot have this value; says what is allowed.
    Invalid {
        /// What would be right.
        allowed: String,
    },
}

/// Why a property file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PropertiesError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It is no text in an encoding that contains ASCII: UTF-16, or no text at all.
    #[error("{} is not a text file that can be read here ({why}): save it as UTF-8", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// What it looks like.
        why: &'static str,
    },
    /// An escape is malformed.
    #[error("{}:{line}: \\u must be followed by four hexadecimal digits", path.display())]
    BadEscape {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// A value makes no sense.
    #[error("{}:{line}: {key} = {value} is refused: {allowed}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The setting.
        key: String,
        /// Its value.
        value: String,
        /// What would be right.
        allowed: String,
    },
}

impl Properties {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or is no property file.
    pub async fn load(path: &Path) -> Result<Self, PropertiesError> {
        let bytes =
            sim::disk::read(path).await.map_err(|source| PropertiesError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &bytes)
    }

    /// Reads a file's bytes; `path` is only what errors call it.
    ///
    /// # Errors
    /// [`PropertiesError::NotText`] and [`PropertiesError::BadEscape`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, PropertiesError> {
        let mut settings = Vec::new();
        let not_text = |why| PropertiesError::NotText { path: path.to_owned(), why };
        let mut lines = lines(bytes).map_err(not_text)?.into_iter().enumerate();
        while let Some((index, line)) = lines.next() {
            let number = index + 1;
            let mut is_utf8 = line.is_utf8;
            let mut line = line.text.trim_start().to_owned();
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            // An odd number of backslashes at the end: the line goes on.
            while line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1 {
                line.pop();
                match lines.next() {
                    Some((_, more)) => {
                        line.push_str(more.text.trim_start());
                        is_utf8 &= more.is_utf8;
                    }
                    None => break,
                }
            }
            let (key, value) = split(&line);
            let unescape = |text: &str| {
                unescaped(text).ok_or_else(|| PropertiesError::BadEscape { path: path.to_owned(), line: number })
            };
            let setting = Setting { line: number, key: unescape(key)?, value: unescape(value.trim_end())? };
            if !is_utf8 {
                tracing::warn!(
                    "{}:{number}: {} is not UTF-8 and is read as ISO-8859-1, as Java does: save the file as UTF-8",
                    path.display(),
                    setting.key
                );
            }
            settings.push(setting);
        }
        Ok(Self { path: path.to_owned(), settings })
    }

    /// All settings, in their order.
    #[must_use]
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// The value of a setting; the last one counts.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.settings.iter().rev().find(|setting| setting.key == key).map(|setting| setting.value.as_str())
    }

    /// The error that this setting cannot have its value: for what only shows when all settings are known.
    #[must_use]
    pub fn refuse(&self, key: &str, allowed: impl Into<String>) -> Option<PropertiesError> {
        let setting = self.settings.iter().rev().find(|setting| setting.key == key)?;
        Some(self.invalid(setting, allowed.into()))
    }

    /// Gives each setting to `set`. What changes nothing, and what is said twice, is warned about; the first that is invalid is the error.
    ///
    /// # Errors
    /// [`PropertiesError::Invalid`], which names file, line, key, value and what is allowed.
    pub fn apply(&self, mut set: impl FnMut(&str, &str) -> Result<(), Refusal>) -> Result<(), PropertiesError> {
        for (number, setting) in self.settings.iter().enumerate() {
            let place = || format!("{}:{}", self.path.display(), setting.line);
            if let Some(later) = self.settings[number + 1..].iter().find(|later| later.key == setting.key) {
                tracing::warn!("{}: {} is said again in line {}, which counts", place(), setting.key, later.line);
            }
            match set(&setting.key, &setting.value) {
                Ok(()) if has_comment(&setting.value) => {
                    tracing::warn!("{}: {} = {} {OWN_LINE}", place(), setting.key, setting.value);
                }
                Ok(()) => {}
                Err(Refusal::Ignored { why }) => tracing::warn!("{}: {why}", place()),
                Err(Refusal::Invalid { allowed }) if has_comment(&setting.value) => {
                    return Err(self.invalid(setting, format!("{allowed}; it {OWN_LINE}")));
                }
                Err(Refusal::Invalid { allowed }) => return Err(self.invalid(setting, allowed)),
            }
        }
        Ok(())
    }

    fn invalid(&self, setting: &Setting, allowed: String) -> PropertiesError {
        PropertiesError::Invalid {
            path: self.path.clone(),
            line: setting.line,
            key: setting.key.clone(),
            value: setting.value.clone(),
            allowed,
        }
    }
}

/// Whether a value ends with what was meant as a comment: for Java it belongs to the value.
fn has_comment(value: &str) -> bool {
    value.contains(" #") || value.contains("\t#")
}

/// What is to be said of such a value.
const OWN_LINE: &str = "has a # in its value: a comment needs a line of its own";

/// A line of a file.
struct Line {
    text: String,
    is_utf8: bool,
}

/// The lines of a file, or why it is no text.
fn lines(bytes: &[u8]) -> Result<Vec<Line>, &'static str> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("it is UTF-16");
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    if bytes.contains(&0) {
        return Err("it has zero bytes");
    }
    let mut lines = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        lines.push(match std::str::from_utf8(line) {
            Ok(text) => Line { text: text.to_owned(), is_utf8: true },
            // ISO-8859-1: each byte is the character of its number.
            Err(_) => Line { text: line.iter().map(|byte| char::from(*byte)).collect(), is_utf8: false },
        });
        rest = after.strip_prefix(b"\r\n").unwrap_or_else(|| after.get(1..).unwrap_or_default());
    }
    Ok(lines)
}

/// Key and value of a line: parted by the first `=`, `:` or blank that has no backslash before it.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.find(|character: char| {
        let ends = !escaped && (matches!(character, '=' | ':') || character.is_whitespace());
        escaped = character == '\\' && !escaped;
        ends
    });
    let Some(end) = end else { return (line, "") };
    let (key, rest) = line.split_at(end);
    let rest = rest.trim_start();
    (key, rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start())
}

fn unescaped(text: &str) -> Option<String> {
    if !text.contains('\\') {
        return Some(text.to_owned());
    }
    // UTF-16, because a character beyond the first plane is written as two escapes.
    let mut units = Vec::with_capacity(text.len());
    let mut characters = text.chars();
    let push = |units: &mut Vec<u16>, character: char| units.extend_from_slice(character.encode_utf16(&mut [0; 2]));
    while let Some(character) = characters.next() {
        if character != '\\' {
            push(&mut units, character);
            continue;
        }
        match characters.next() {
            Some('u') => {
                let digits =
                    characters.as_str().get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
                units.push(u16::from_str_radix(digits, 16).ok()?);
                characters = characters.as_str()[4..].chars();
            }
            Some('t') => push(&mut units, '\t'),
            Some('n') => push(&mut units, '\n'),
            Some('r') => push(&mut units, '\r'),
            Some('f') => push(&mut units, '\u{c}'),
            Some(other) => push(&mut units, other),
            None => {}
        }
    }
    Some(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Properties, PropertiesError> {
        Properties::parse(Path::new("broker.conf"), text.as_bytes())
    }

    #[test]
    fn a_file_is_read_as_java_reads_it() {
        let text = "# comment\n! comment\n\n brokerName = broker-a  \nlistenPort:10911\nflag\n\
                    path /data/store\nnamesrvAddr=a:9876;\\\n    b:9876\r\nodd\\ key=tab\\there\\u00e9\\\\\nempty=\n\
                    emoji=\\uD83D\\uDE00\nlast=\\";
        let properties = parse(text).expect("it is well-formed");
        let pairs: Vec<_> = properties.settings().iter().map(|s| (s.line, s.key.as_str(), s.value.as_str())).collect();
        let expected = [
            (4, "brokerName", "broker-a"),
            (5, "listenPort", "10911"),
            (6, "flag", ""),
            (7, "path", "/data/store"),
            (8, "namesrvAddr", "a:9876;b:9876"),
            (10, "odd key", "tab\thereé\\"),
            (11, "empty", ""),
            (12, "emoji", "😀"),
            (13, "last", ""),
        ];
        assert_eq!(pairs, expected);
    }

    fn pairs(bytes: &[u8]) -> Vec<(usize, String, String)> {
        let properties = Properties::parse(Path::new("broker.conf"), bytes).expect("it is well-formed");
        properties.settings().iter().map(|s| (s.line, s.key.clone(), s.value.clone())).collect()
    }

    #[test]
    fn no_encoding_of_a_comment_and_no_line_end_is_an_obstacle() {
        let expected = [(2, "brokerId".to_owned(), "0".to_owned()), (3, "brokerName".to_owned(), "a".to_owned())];
        let gbk: &[u8] = b"# \xc3\xfb\xd7\xd6\x8f\\\nbrokerId=0\nbrokerName=a";
        let latin_1: &[u8] = b"! r\xe9plique\r\nbrokerId=0\r\nbrokerName=a\r\n";
        let byte_order_mark: &[u8] = b"\xef\xbb\xbf# comment\rbrokerId=0\rbrokerName=a\r";
        for bytes in [gbk, latin_1, byte_order_mark] {
            assert_eq!(pairs(bytes), expected, "{bytes:?}");
        }
        assert_eq!(pairs(b"\xef\xbb\xbfa=1"), [(1, "a".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn a_value_that_is_not_utf_8_is_read_as_java_reads_it() {
        let read = pairs("a=é\n".as_bytes().iter().chain(b"b=\xe9\n").copied().collect::<Vec<_>>().as_slice());
        assert_eq!(read, [(1, "a".to_owned(), "é".to_owned()), (2, "b".to_owned(), "é".to_owned())]);
    }

    #[test]
    fn what_is_no_text_is_refused_with_the_remedy() {
        for (bytes, why) in [(&b"\xff\xfea\x00=\x001\x00"[..], "UTF-16"), (b"a=1\n\0\0", "zero bytes")] {
            let error = Properties::parse(Path::new("broker.conf"), bytes).expect_err("it is no text").to_string();
            assert!(error.contains(why) && error.ends_with("save it as UTF-8"), "{error}");
        }
    }

    #[test]
    fn the_last_value_counts_and_a_bad_one_is_named_with_its_place() {
        let properties = parse("a=1\n# b\nb=x\na=2\n").expect("it is well-formed");
        assert_eq!((properties.get("a"), properties.get("c")), (Some("2"), None));
        let mut seen = Vec::new();
        let applied = properties.apply(|key, value| {
            seen.push(format!("{key}={value}"));
            match key {
                "b" => Err(Refusal::Invalid { allowed: "a number".to_owned() }),
                _ => Err(Refusal::Ignored { why: "there is no such setting".to_owned() }),
            }
        });
        assert_eq!(seen, ["a=1", "b=x"]);
        assert_eq!(applied.expect_err("b is no number").to_string(), "broker.conf:3: b = x is refused: a number");
        let later = properties.refuse("a", "less than b").expect("it is there");
        assert_eq!(later.to_string(), "broker.conf:4: a = 2 is refused: less than b");
    }

    #[test]
    fn a_comment_behind_a_value_is_named() {
        let refuse = |_: &str, _: &str| Err(Refusal::Invalid { allowed: "0 or more".to_owned() });
        let error = parse("brokerId=0    # the master\n").expect("it is well-formed").apply(refuse);
        let error = error.expect_err("0    # the master is no number").to_string();
        assert!(error.ends_with("0 or more; it has a # in its value: a comment needs a line of its own"), "{error}");
        let error = parse("brokerId=#0\n").expect("it is well-formed").apply(refuse).expect_err("it is no number");
        assert!(error.to_string().ends_with("is refused: 0 or more"), "{error}");
    }

    #[test]
    fn a_malformed_escape_is_refused() {
        for text in ["a=\\u12", "a=\\u12g4", "\\u=1", "ok=1\na=\\uéé"] {
            let error = parse(text).expect_err("it is malformed");
            assert!(matches!(error, PropertiesError::BadEscape { .. }), "{error}");
        }
    }
}
