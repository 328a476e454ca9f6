//! A table, and the JSON in which it is sent: made when it is first asked for, and again after a change. Slaves ask for the same
//! tables every few seconds.

use std::{
    ops::{Deref, DerefMut},
    sync::OnceLock,
};

use bytes::Bytes;
use protocol::body::JsonBody;

/// See the module's head. Whoever gets at the table to change it makes the JSON void.
#[derive(Clone, Debug, Default)]
pub struct Encoded<T> {
    table: T,
    json: OnceLock<Bytes>,
}

impl<T: JsonBody> Encoded<T> {
    /// The table as it is sent.
    #[must_use]
    pub fn json(&self) -> Bytes {
        self.json.get_or_init(|| self.table.encode()).clone()
    }
}

impl<T> From<T> for Encoded<T> {
    fn from(table: T) -> Self {
        Self { table, json: OnceLock::new() }
    }
}

impl<T> Deref for Encoded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.table
    }
}

impl<T> DerefMut for Encoded<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.json = OnceLock::new();
        &mut self.table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::body::{TopicConfig, TopicConfigSerializeWrapper};

    #[test]
    fn what_is_sent_is_the_table_as_it_is_now() {
        let mut table = Encoded::from(TopicConfigSerializeWrapper::default());
        assert_eq!(table.json(), table.encode());
        table.topic_config_table.insert("T".to_owned(), TopicConfig::new("T", 4, 6));
        assert_eq!(table.json(), table.encode());
        assert!(String::from_utf8_lossy(&table.json()).contains("\"T\""));
    }
}
