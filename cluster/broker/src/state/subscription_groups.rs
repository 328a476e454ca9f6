//! The consumer groups that a broker knows (`SubscriptionGroupManager`). Pure: who changes the table persists it.

use std::collections::BTreeMap;

use bytes::Bytes;
use protocol::body::{SubscriptionGroupConfig, SubscriptionGroupWrapper};

use store::LoadedTable;

use super::tracked::{Holds, TableFull, Tracked};

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
    table: Tracked<SubscriptionGroupWrapper>,
    /// Groups that an older copy of the file has and the table does not.
    spare: BTreeMap<String, SubscriptionGroupConfig>,
    /// The table may be older than the committed offsets.
    is_older: bool,
}

impl Holds for SubscriptionGroups {
    type Table = SubscriptionGroupWrapper;

    fn tracked(&self) -> &Tracked<SubscriptionGroupWrapper> {
        &self.table
    }

    fn tracked_mut(&mut self) -> &mut Tracked<SubscriptionGroupWrapper> {
        &mut self.table
    }
}

/// A table with the system's own groups.
fn with_system_groups(mut table: SubscriptionGroupWrapper) -> SubscriptionGroupWrapper {
    for name in SYSTEM_GROUPS {
        let groups = &mut table.subscription_group_table;
        groups.entry(name.to_owned()).or_insert_with(|| SubscriptionGroupConfig::new(name));
    }
    table
}

impl SubscriptionGroups {
    /// The groups that were stored, and the system's own.
    #[must_use]
    pub fn new(stored: LoadedTable<SubscriptionGroupWrapper>) -> Self {
        let table = Tracked::saved(with_system_groups(stored.table.unwrap_or_default()));
        Self { table, spare: stored.spare, is_older: stored.is_older.is_some() }
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
    ///
    /// # Errors
    /// With it the table could not be sent.
    pub fn put(&mut self, config: SubscriptionGroupConfig, now_ms: i64) -> Result<(), TableFull> {
        self.put_all(vec![config], now_ms)
    }

    /// Makes or changes several groups; none of them if there is no room for all.
    ///
    /// # Errors
    /// The table would have more bytes than can be sent.
    pub fn put_all(&mut self, configs: Vec<SubscriptionGroupConfig>, now_ms: i64) -> Result<(), TableFull> {
        self.table.put_all(configs.into_iter().map(|config| (config.group_name.clone(), config)).collect(), now_ms)
    }

    /// Takes a group away; says whether it was there.
    pub fn remove(&mut self, group: &str, now_ms: i64) -> bool {
        self.table.remove(group, now_ms)
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
            self.table.replace(with_system_groups(master));
        }
        copies
    }

    /// A master takes in the table of a slave; as [`Topics::take_back`](super::topics::Topics::take_back).
    pub fn take_back(&mut self, slave: SubscriptionGroupWrapper, had_table: bool, now_ms: i64) -> bool {
        let own = self.table.data_version.counter;
        if slave.subscription_group_table.is_empty() || (had_table && slave.data_version.counter <= own) {
            return false;
        }
        for (name, config) in slave.subscription_group_table {
            self.table.put_quietly(&name, config);
        }
        self.table.raise_counter(slave.data_version.counter);
        self.table.next_version(now_ms);
        true
    }

    /// Takes in those of these unknown groups, which have committed offsets, that an older copy of the table has; if the table may
    /// be older than the offsets, all of them. Gives their names.
    pub fn find_missing(&mut self, unknown: &[String], now_ms: i64) -> Vec<String> {
        let mut spare = std::mem::take(&mut self.spare);
        let mut found = Vec::new();
        for name in unknown {
            let config = match spare.remove(name) {
                Some(config) => config,
                None if self.is_older => SubscriptionGroupConfig::new(name),
                None => continue,
            };
            self.table.put_quietly(name, config);
            found.push(name.clone());
        }
        if !found.is_empty() {
            self.table.next_version(now_ms);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups() -> SubscriptionGroups {
        SubscriptionGroups::new(LoadedTable { table: None, spare: BTreeMap::new(), is_older: None, is_written: false })
    }

    #[test]
    fn groups_with_offsets_are_taken_in_if_the_table_may_have_lost_them() {
        let mut present = groups();
        let blocked = SubscriptionGroupConfig { consume_enable: false, ..SubscriptionGroupConfig::new("blocked") };
        present.spare.insert("blocked".to_owned(), blocked.clone());
        let unknown = ["blocked".to_owned(), "deleted".to_owned()];
        assert_eq!(present.find_missing(&unknown, 1), ["blocked"]);
        assert_eq!(present.get("blocked"), Some(&blocked));
        let mut older = groups();
        older.is_older = true;
        assert_eq!(older.find_missing(&unknown, 1), ["blocked", "deleted"]);
        assert!(!older.tracked().is_saved());
    }

    #[test]
    fn a_slave_copies_its_master_and_a_master_that_lost_its_table_takes_it_back() {
        let mut master = groups();
        let mut slave = master.clone();
        assert!(!slave.copy(master.table().clone(), false));
        master.put(SubscriptionGroupConfig::new("cg"), 1).expect("there is room");
        assert!(slave.copy(master.table().clone(), false));
        assert!(slave.get("cg").is_some());
        let mut wiped = groups();
        assert!(!slave.copy(wiped.table().clone(), false), "a wiped master does not wipe its slave");
        assert!(wiped.take_back(slave.table().clone(), false, 2));
        assert!(wiped.get("cg").is_some());
        assert!(!wiped.take_back(slave.table().clone(), true, 2));
        assert!(slave.copy(SubscriptionGroupWrapper::default(), true), "Apache's slave takes whatever its master has");
        assert!(slave.get("cg").is_none());
    }
}
