//! What the two tables that an operator shapes have in common: topics and consumer groups. Each is rows by name under one
//! version; a broker keeps it in a file, registers it, and lets its slaves copy it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::JsonBody;
use super::config::{
    DataVersion, SubscriptionGroupConfig, SubscriptionGroupWrapper, TopicConfig, TopicConfigSerializeWrapper,
};

/// Rows by name, with one version for all of them.
pub trait ConfigTable: JsonBody + Clone + Default + Send + Sync + 'static {
    /// One of them.
    type Row: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// All rows.
    fn rows(&self) -> &BTreeMap<String, Self::Row>;

    /// All rows, to change them.
    fn rows_mut(&mut self) -> &mut BTreeMap<String, Self::Row>;

    /// The version.
    fn version(&self) -> &DataVersion;

    /// The version, to change it.
    fn version_mut(&mut self) -> &mut DataVersion;
}

macro_rules! config_table {
    ($table:ident, $rows:ident, $row:ident) => {
        impl ConfigTable for $table {
            type Row = $row;

            fn rows(&self) -> &BTreeMap<String, $row> {
                &self.$rows
            }

            fn rows_mut(&mut self) -> &mut BTreeMap<String, $row> {
                &mut self.$rows
            }

            fn version(&self) -> &DataVersion {
                &self.data_version
            }

            fn version_mut(&mut self) -> &mut DataVersion {
                &mut self.data_version
            }
        }
    };
}

config_table!(TopicConfigSerializeWrapper, topic_config_table, TopicConfig);
config_table!(SubscriptionGroupWrapper, subscription_group_table, SubscriptionGroupConfig);
