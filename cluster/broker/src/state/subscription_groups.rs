//! The consumer groups that a broker knows (`SubscriptionGroupManager`). Pure: who changes the table persists it.

use bytes::Bytes;
use protocol::body::{SubscriptionGroupConfig, SubscriptionGroupWrapper};

use super::encoded::Encoded;

/// `mqadmin`'s own consumer group (`MixAll.TOOLS_CONSUMER_GROUP`).
pub const TOOLS_CONSUMER_GROUP: &str = "TOOLS_CONSUMER";
/// What the names of the system's own groups begin with (`MixAll.CID_RMQ_SYS_PREFIX`).
pub const SYSTEM_GROUP_PREFIX: &str = "CID_RMQ_SYS_";

/// The groups that every broker knows.
const SYSTEM_GROUPS: [&str; 7] = [
    TOOLS_CONSUMER_GROUP,
    "FILTERSRV_CONSUMER",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_PULL",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_OWNER",
];

/// Whether a group is the system's own, so that its offsets are nobody's promise.
#[must_use]
pub fn is_system_group(group: &str) -> bool {
    group == TOOLS_CONSUMER_GROUP || group.starts_with(SYSTEM_GROUP_PREFIX)
}

/// The table of groups.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionGroups {
    table: Encoded<SubscriptionGroupWrapper>,
}

impl SubscriptionGroups {
    /// The groups that were stored, and the system's own.
    #[must_use]
    pub fn new(stored: SubscriptionGroupWrapper) -> Self {
        let mut groups = Self { table: stored.into() };
        for name in SYSTEM_GROUPS {
            let table = &mut groups.table.subscription_group_table;
            table.entry(name.to_owned()).or_insert_with(|| SubscriptionGroupConfig::new(name));
        }
        groups
    }

    /// A group.
    #[must_use]
    pub fn get(&self, group: &str) -> Option<&SubscriptionGroupConfig> {
        self.table.subscription_group_table.get(group)
    }

    /// Whether an unknown group may come into being by being used.
    #[must_use]
    pub fn may_create(group: &str, auto_create: bool) -> bool {
        (auto_create || group.starts_with(SYSTEM_GROUP_PREFIX)) && protocol::topic::validate_group(group).is_ok()
    }

    /// Sets a group, new or changed.
    pub fn put(&mut self, config: SubscriptionGroupConfig, now_ms: i64) {
        self.table.subscription_group_table.insert(config.group_name.clone(), config);
        self.table.data_version.next_version(now_ms);
    }

    /// Takes a group away; says whether it was there.
    pub fn remove(&mut self, group: &str, now_ms: i64) -> bool {
        let removed = self.table.subscription_group_table.remove(group).is_some();
        if removed {
            self.table.data_version.next_version(now_ms);
        }
        removed
    }

    /// All of them with their version, as they are stored and sent.
    #[must_use]
    pub fn table(&self) -> &SubscriptionGroupWrapper {
        &self.table
    }

    /// The table as it is sent.
    #[must_use]
    pub fn json(&self) -> Bytes {
        self.table.json()
    }

    /// A slave's table becomes the master's; as [`Topics::copy`](super::topics::Topics::copy). Says whether it was copied.
    pub fn copy(&mut self, master: SubscriptionGroupWrapper, replace: bool) -> bool {
        let copies = master.data_version != self.table.data_version
            && (replace || master.data_version.counter >= self.table.data_version.counter);
        if copies {
            *self = Self::new(master);
        }
        copies
    }

    /// A master takes in the table of a slave; as [`Topics::take_back`](super::topics::Topics::take_back).
    pub fn take_back(&mut self, slave: SubscriptionGroupWrapper, had_table: bool, now_ms: i64) -> bool {
        let version = &mut self.table.data_version;
        if slave.subscription_group_table.is_empty() || (had_table && slave.data_version.counter <= version.counter) {
            return false;
        }
        version.counter = version.counter.max(slave.data_version.counter);
        version.next_version(now_ms);
        self.table.subscription_group_table.extend(slave.subscription_group_table);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slave_copies_its_master_and_a_master_that_lost_its_table_takes_it_back() {
        let mut master = SubscriptionGroups::new(SubscriptionGroupWrapper::default());
        let mut slave = master.clone();
        assert!(!slave.copy(master.table().clone(), false));
        master.put(SubscriptionGroupConfig::new("cg"), 1);
        assert!(slave.copy(master.table().clone(), false));
        assert!(slave.get("cg").is_some());
        let mut wiped = SubscriptionGroups::new(SubscriptionGroupWrapper::default());
        assert!(!slave.copy(wiped.table().clone(), false), "a wiped master does not wipe its slave");
        assert!(wiped.take_back(slave.table().clone(), false, 2));
        assert!(wiped.get("cg").is_some());
        assert!(!wiped.take_back(slave.table().clone(), true, 2));
        assert!(slave.copy(SubscriptionGroupWrapper::default(), true), "Apache's slave takes whatever its master has");
        assert!(slave.get("cg").is_none());
    }
}
