//! A small ordered map of text to text: a command's `extFields`, and the ground under message [`Properties`].
//!
//! A command has about a dozen fields, written once and read once. So all names and values lie in one string (of a header that
//! was read: where they lay in it), with a list of spans: two allocations for the whole map instead of two for each field, and a linear search
//! that is faster than a hash at this size. Insertion order is kept. A value that is replaced leaves its old text behind
//! until the map is dropped; nothing here replaces values in a loop.
//!
//! [`Properties`]: crate::properties::Properties

use std::fmt;
use std::ops::Range;

/// One pair: `text[key..key_end]` is the name and `text[value..end]` its value.
#[derive(Clone, Copy)]
struct Span {
    tag: u64,
    key: u32,
    key_end: u32,
    value: u32,
    end: u32,
}

/// The `extFields` of a remoting command: names to text values, in the order of insertion.
///
/// ```
/// let mut fields = protocol::ExtFields::new();
/// fields.insert("topic", "TopicA");
/// fields.insert_i64("queueId", 3);
/// assert_eq!(fields.get("queueId"), Some("3"));
/// ```
#[derive(Clone, Default)]
pub struct ExtFields {
    text: String,
    spans: Vec<Span>,
    /// One bit for each name that was ever inserted: most names that are not there are found out by it.
    seen: u64,
}

/// The names that a tag holds whole.
const TAGGED_BYTES: usize = 7;

/// Length and first bytes of a name in one word: it tells most names apart, and short ones entirely.
fn tag(name: &[u8]) -> u64 {
    let len = name.len().min(255) as u64;
    let first = match name.first_chunk::<8>() {
        Some(eight) => u64::from_be_bytes(*eight) >> 8,
        None => name.iter().fold(0, |tag, &byte| tag << 8 | u64::from(byte)),
    };
    first | len << 56
}

/// The [`tag`] of a name that lies in a text.
fn tag_within(text: &[u8], name: Range<usize>) -> u64 {
    let len = name.len();
    match text[name.start..].first_chunk::<8>() {
        // All of the name is in these eight bytes, and what follows it is shifted out.
        Some(eight) if len < 8 => {
            let first = (u64::from_be_bytes(*eight) >> 8) >> (8 * (TAGGED_BYTES - len));
            first | (len as u64) << 56
        }
        _ => tag(&text[name]),
    }
}

/// The bit of [`ExtFields::seen`] for the names of a tag.
fn seen_bit(tag: u64) -> u64 {
    // Fibonacci hashing: the upper bits of the product depend on all bits of the tag.
    1 << (tag.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58)
}

impl ExtFields {
    /// An empty map; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { text: String::new(), spans: Vec::new(), seen: 0 }
    }

    /// An empty map with room for `text_bytes` of names and values and `pairs` pairs.
    #[must_use]
    pub fn with_capacity(text_bytes: usize, pairs: usize) -> Self {
        Self { text: String::with_capacity(text_bytes), spans: Vec::with_capacity(pairs), seen: 0 }
    }

    /// An empty map over a text in which names and values lie already: [`ExtFields::insert_within`] makes pairs of them
    /// without a copy of each.
    pub(crate) fn over(text: String, pairs: usize) -> Self {
        Self { text, spans: Vec::with_capacity(pairs), seen: 0 }
    }

    /// Appends to the text that the map is over; the range that it has there.
    pub(crate) fn append_text(&mut self, text: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(text);
        start..self.text.len()
    }

    /// As [`ExtFields::insert`], with name and value where they lie in the map's text, each a run of whole characters.
    pub(crate) fn insert_within(&mut self, name: Range<usize>, value: Range<usize>) {
        let text = self.text.as_bytes();
        // All four are within the text.
        let _ = position(text.len());
        let span = Span {
            tag: tag_within(text, name.clone()),
            key: name.start as u32,
            key_end: name.end as u32,
            value: value.start as u32,
            end: value.end as u32,
        };
        match self.find_tagged(span.tag, &text[name]) {
            Some(index) => self.spans[index] = span,
            None => {
                self.seen |= seen_bit(span.tag);
                self.spans.push(span);
            }
        }
    }

    /// How many pairs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is no pair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.find(name.as_bytes()).map(|index| self.value_of(&self.spans[index]))
    }

    /// Whether there is a pair of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Sets `name` to `value`; a name that is there already keeps its place.
    pub fn insert(&mut self, name: &str, value: &str) {
        let start = self.text.len();
        self.text.push_str(name);
        let middle = self.text.len();
        self.text.push_str(value);
        self.insert_within(start..middle, middle..self.text.len());
    }

    /// Sets `name` to a number in decimal digits.
    pub fn insert_i64(&mut self, name: &str, value: i64) {
        self.insert(name, itoa::Buffer::new().format(value));
    }

    /// Sets `name` to `true` or `false`.
    pub fn insert_bool(&mut self, name: &str, value: bool) {
        self.insert(name, if value { "true" } else { "false" });
    }

    /// Takes the pair of this name away; says whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let found = self.find(name.as_bytes());
        if let Some(index) = found {
            self.spans.remove(index);
        }
        found.is_some()
    }

    /// The pairs in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.spans.iter().map(|span| (self.name_of(span), self.value_of(span)))
    }

    /// All names and values, one after the other, and perhaps more.
    pub(crate) fn all_text(&self) -> &str {
        &self.text
    }

    /// The index of the pair of this name.
    fn find(&self, name: &[u8]) -> Option<usize> {
        self.find_tagged(tag(name), name)
    }

    fn find_tagged(&self, tag: u64, name: &[u8]) -> Option<usize> {
        if self.seen & seen_bit(tag) == 0 {
            return None;
        }
        let text = self.text.as_bytes();
        self.spans.iter().position(|span| {
            span.tag == tag && (name.len() <= TAGGED_BYTES || text[span.key as usize..span.key_end as usize] == *name)
        })
    }

    fn name_of(&self, span: &Span) -> &str {
        &self.text[span.key as usize..span.key_end as usize]
    }

    fn value_of(&self, span: &Span) -> &str {
        &self.text[span.value as usize..span.end as usize]
    }
}

fn position(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("the fields of one command stay far below 4 GiB: a frame has at most 16 MiB")
}

impl PartialEq for ExtFields {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for ExtFields {}

impl fmt::Debug for ExtFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for ExtFields {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let mut fields = Self::new();
        fields.extend(pairs);
        fields
    }
}

impl<'a> Extend<(&'a str, &'a str)> for ExtFields {
    fn extend<I: IntoIterator<Item = (&'a str, &'a str)>>(&mut self, pairs: I) {
        for (name, value) in pairs {
            self.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{tag, tag_within};

    #[test]
    fn a_tag_is_the_same_wherever_the_name_lies() {
        let text = b"opaque\0queueOffset";
        for start in 0..text.len() {
            for end in start..=text.len() {
                assert_eq!(tag_within(text, start..end), tag(&text[start..end]), "{start}..{end}");
            }
        }
    }
}
