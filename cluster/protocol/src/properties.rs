//! The properties of a message, and their text in a record or a send header: `name \x01 value \x02 name \x01 value …`
//! (`MessageDecoder.messageProperties2String` and `string2messageProperties`).
//!
//! Some writers end with a separator, 4.9.8 does not; both are read. What is written here ends with one: a batch's
//! properties appended to it then need no thought. The order in a record is whatever the sender's hash map gave, so
//! properties that are only passed on should be passed on as text, not parsed and written again.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::ext_fields::ExtFields;

/// Between a name and its value.
pub const NAME_VALUE_SEPARATOR: u8 = 1;
/// After a value.
pub const PROPERTY_SEPARATOR: u8 = 2;
/// The longest text of properties in bytes: a record has a signed 16-bit length for it.
pub const PROPERTIES_BYTES_MAX: usize = i16::MAX as usize;

/// Names of the properties that RocketMQ itself knows (`MessageConst`).
pub mod property {
    /// Keys to find the message by, separated by spaces.
    pub const KEYS: &str = "KEYS";
    /// What consumers filter by.
    pub const TAGS: &str = "TAGS";
    /// `false`: the sender does not wait for flush and replication.
    pub const WAIT: &str = "WAIT";
    /// The level of delay, from 1.
    pub const DELAY: &str = "DELAY";
    /// The topic that a retried message comes from.
    pub const RETRY_TOPIC: &str = "RETRY_TOPIC";
    /// The topic of a message that is kept elsewhere for a while (delay, half message).
    pub const REAL_TOPIC: &str = "REAL_TOPIC";
    /// The queue of a message that is kept elsewhere for a while.
    pub const REAL_QID: &str = "REAL_QID";
    /// `true`: a half message.
    pub const TRAN_MSG: &str = "TRAN_MSG";
    /// The producer group.
    pub const PGROUP: &str = "PGROUP";
    /// The queue's first offset, set by the client on pulled messages.
    pub const MIN_OFFSET: &str = "MIN_OFFSET";
    /// The queue's last offset, set by the client on pulled messages.
    pub const MAX_OFFSET: &str = "MAX_OFFSET";
    /// Who bought (never used by brokers of today).
    pub const BUYER_ID: &str = "BUYER_ID";
    /// The id that the message had before a retry.
    pub const ORIGIN_MESSAGE_ID: &str = "ORIGIN_MESSAGE_ID";
    /// Marks a transfer between units.
    pub const TRANSFER_FLAG: &str = "TRANSFER_FLAG";
    /// Marks a correction.
    pub const CORRECTION_FLAG: &str = "CORRECTION_FLAG";
    /// Marks a message for another unit.
    pub const MQ2_FLAG: &str = "MQ2_FLAG";
    /// How often it was consumed in vain.
    pub const RECONSUME_TIME: &str = "RECONSUME_TIME";
    /// The region, for traces.
    pub const MSG_REGION: &str = "MSG_REGION";
    /// Whether traces are wanted.
    pub const TRACE_ON: &str = "TRACE_ON";
    /// The id that the producer gave.
    pub const UNIQ_KEY: &str = "UNIQ_KEY";
    /// The unique keys of a batch's messages, for traces.
    pub const EXTEND_UNIQ_INFO: &str = "EXTEND_UNIQ_INFO";
    /// After how many vain attempts it goes to the dead letter queue.
    pub const MAX_RECONSUME_TIMES: &str = "MAX_RECONSUME_TIMES";
    /// When consumption began, in ms.
    pub const CONSUME_START_TIME: &str = "CONSUME_START_TIME";
    /// Place of the half message.
    pub const TRAN_PREPARED_QUEUE_OFFSET: &str = "TRAN_PREPARED_QUEUE_OFFSET";
    /// How often the half message was checked.
    pub const TRANSACTION_CHECK_TIMES: &str = "TRANSACTION_CHECK_TIMES";
    /// After how many seconds a half message may be checked.
    pub const CHECK_IMMUNITY_TIME_IN_SECONDS: &str = "CHECK_IMMUNITY_TIME_IN_SECONDS";
    /// The transaction's id.
    pub const TRANSACTION_ID: &str = "__transactionId__";
    /// The instance, for namespaces.
    pub const INSTANCE_ID: &str = "INSTANCE_ID";
    /// Pairs a reply with its request message.
    pub const CORRELATION_ID: &str = "CORRELATION_ID";
    /// The client to which a reply goes.
    pub const REPLY_TO_CLIENT: &str = "REPLY_TO_CLIENT";
    /// How long a request message waits for its reply, in ms.
    pub const TTL: &str = "TTL";
    /// The kind of a reply message.
    pub const MSG_TYPE: &str = "MSG_TYPE";
    /// The cluster, set by the broker.
    pub const CLUSTER: &str = "CLUSTER";
    /// How many messages a batch record has.
    pub const INNER_NUM: &str = "INNER_NUM";
    /// The topic that a dead letter comes from.
    pub const DLQ_ORIGIN_TOPIC: &str = "DLQ_ORIGIN_TOPIC";
    /// The id that a dead letter had in that topic.
    pub const DLQ_ORIGIN_MESSAGE_ID: &str = "DLQ_ORIGIN_MESSAGE_ID";
    /// The checksum of the whole record, the last property of one (`PROPERTY_CRC32`, 5.x).
    pub const CRC32: &str = "__CRC32#";
    /// The key that chooses the queue of an ordered message.
    pub const SHARDING_KEY: &str = "__SHARDINGKEY";
    /// 5.x: deliver so many seconds after it was stored.
    pub const TIMER_DELAY_SEC: &str = "TIMER_DELAY_SEC";
    /// 5.x: deliver so many milliseconds after it was stored.
    pub const TIMER_DELAY_MS: &str = "TIMER_DELAY_MS";
    /// 5.x: deliver at this time, in ms.
    pub const TIMER_DELIVER_MS: &str = "TIMER_DELIVER_MS";
    /// 5.x: takes back the timed message of this unique key.
    pub const TIMER_DEL_UNIQKEY: &str = "TIMER_DEL_UNIQKEY";
    /// Alibaba Cloud's clients: deliver at this time, in ms.
    pub const START_DELIVER_TIME: &str = "__STARTDELIVERTIME";
    /// 4.9.3: light queues that shall have the message too.
    pub const INNER_MULTI_DISPATCH: &str = "INNER_MULTI_DISPATCH";
    /// 5.x: how a message that was popped is acknowledged.
    pub const POP_CK: &str = "POP_CK";
}

/// Between two keys in the [`property::KEYS`] property.
pub const KEY_SEPARATOR: char = ' ';

/// Why a property cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PropertyError {
    /// Its name or its value is empty; the text form cannot say that.
    #[error("the property \"{name}\" needs a name and a value that are not empty")]
    Empty {
        /// The name.
        name: String,
    },
    /// Its name or value contains one of the two separators.
    #[error("the property \"{name}\" contains \\x01 or \\x02, which separate properties")]
    Separator {
        /// The name.
        name: String,
    },
}

/// The properties of one message, in order.
///
/// ```
/// use protocol::Properties;
/// let mut properties = Properties::decode(b"TAGS\x01tagX\x02KEYS\x01key0");
/// properties.set("KEYS", "key1")?;
/// assert_eq!(properties.encode(), "TAGS\x01tagX\x02KEYS\x01key1\x02");
/// # Ok::<(), protocol::properties::PropertyError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(ExtFields);

impl Properties {
    /// No properties; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(ExtFields::new())
    }

    /// Reads the text form. Parts that are no pair with a name and a value are passed over, as Java does.
    #[must_use]
    pub fn decode(text: &[u8]) -> Self {
        let Ok(valid) = std::str::from_utf8(text) else {
            let mut fields = ExtFields::with_capacity(text.len(), 8);
            for (name, value) in pairs(text) {
                fields.insert(&String::from_utf8_lossy(name), &String::from_utf8_lossy(value));
            }
            return Self(fields);
        };
        let mut fields = ExtFields::over(valid.to_owned(), 8);
        let mut at = 0;
        while at < text.len() {
            let end = memchr::memchr(PROPERTY_SEPARATOR, &text[at..]).map_or(text.len(), |length| at + length);
            if let Some(length) = memchr::memchr(NAME_VALUE_SEPARATOR, &text[at..end])
                && length > 0
                && at + length + 1 < end
            {
                fields.insert_within(at..at + length, at + length + 1..end);
            }
            at = end + 1;
        }
        Self(fields)
    }

    /// The text form, with a separator after every pair.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(self.encoded_len());
        for (name, value) in self.iter() {
            push_property(&mut text, name, value);
        }
        text
    }

    /// How many bytes [`encode`](Self::encode) gives.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.len() + 2).sum()
    }

    /// Sets a property that a user has chosen. (`insert` sets without asking.)
    ///
    /// # Errors
    /// The text form cannot carry it.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), PropertyError> {
        if name.is_empty() || value.is_empty() {
            return Err(PropertyError::Empty { name: name.to_owned() });
        }
        let separators = [char::from(NAME_VALUE_SEPARATOR), char::from(PROPERTY_SEPARATOR)];
        if name.contains(separators) || value.contains(separators) {
            return Err(PropertyError::Separator { name: name.to_owned() });
        }
        self.0.insert(name, value);
        Ok(())
    }
}

impl Deref for Properties {
    type Target = ExtFields;

    fn deref(&self) -> &ExtFields {
        &self.0
    }
}

impl DerefMut for Properties {
    fn deref_mut(&mut self) -> &mut ExtFields {
        &mut self.0
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Properties {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// Appends one pair to a text of properties that is empty or ends with a separator.
pub fn push_property(text: &mut String, name: &str, value: &str) {
    text.reserve(name.len() + value.len() + 2);
    text.push_str(name);
    text.push(char::from(NAME_VALUE_SEPARATOR));
    text.push_str(value);
    text.push(char::from(PROPERTY_SEPARATOR));
}

/// Sees to it that another pair can be appended to a text of properties.
pub fn end_with_separator(text: &mut String) {
    if !text.is_empty() && !text.ends_with(char::from(PROPERTY_SEPARATOR)) {
        text.push(char::from(PROPERTY_SEPARATOR));
    }
}

/// The text of properties without those called `name` (`MessageUtils.deleteProperty`), the rest untouched.
#[must_use]
pub fn without_property(text: &str, name: &str) -> String {
    let separator = char::from(PROPERTY_SEPARATOR);
    text.split_inclusive(separator)
        .filter(|part| part.split_once(char::from(NAME_VALUE_SEPARATOR)).is_none_or(|(key, _)| key != name))
        .collect()
}

/// The value of one property in the text form, without parsing the others into anything. `None` also if it is not UTF-8.
///
/// Where a name occurs twice the last one counts, as it does in [`Properties::decode`].
#[must_use]
pub fn find_property<'a>(text: &'a [u8], name: &str) -> Option<&'a str> {
    pairs(text)
        .filter(|(found, _)| *found == name.as_bytes())
        .last()
        .and_then(|(_, value)| std::str::from_utf8(value).ok())
}

/// The pairs of a text of properties: each with a name and a value that are not empty.
pub fn pairs(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = Some(text);
    let parts = std::iter::from_fn(move || {
        let text = rest?;
        let end = memchr::memchr(PROPERTY_SEPARATOR, text);
        rest = end.map(|end| &text[end + 1..]);
        Some(&text[..end.unwrap_or(text.len())])
    });
    parts.filter_map(|part| {
        let middle = memchr::memchr(NAME_VALUE_SEPARATOR, part)?;
        let (name, value) = (&part[..middle], &part[middle + 1..]);
        (!name.is_empty() && !value.is_empty()).then_some((name, value))
    })
}
