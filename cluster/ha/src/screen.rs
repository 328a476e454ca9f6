//! Who does not belong to this master, whatever its log: pure.

use group::Membership;

use crate::{Identity, handshake::Hello};

/// Refuses a slave that does not belong here, whatever its log.
///
/// `rival` is the address under which a replica with the slave's id is connected now.
///
/// # Errors
/// Why, and what to do about it.
pub(crate) fn screen(
    master: &Identity,
    membership: &Membership,
    file_bytes: u64,
    hello: &Hello,
    rival: Option<&str>,
) -> Result<(), String> {
    let (id, addr) = (hello.broker_id, &hello.broker_addr);
    if (&hello.cluster_name, &hello.broker_name) != (&master.cluster_name, &master.broker_name) {
        return Err(format!(
            "broker {id} at {addr} belongs to {}/{}, this master is of {}/{}: set brokerClusterName and brokerName right, or \
             point the slave at its own master",
            hello.cluster_name, hello.broker_name, master.cluster_name, master.broker_name
        ));
    }
    if *addr == master.broker_addr {
        return Err(format!(
            "the slave at {addr} is pointed at itself: set its haMasterAddress to its master's, or its brokerIP1 right"
        ));
    }
    if id.0 <= 0 {
        return Err(format!("a slave at {addr} has brokerId {id}: 0 is the master's, give the slave a positive one"));
    }
    if let Some(rival) = rival.filter(|rival| rival != addr) {
        return Err(format!(
            "brokerId {id} is already connected from {rival}, and {addr} claims it too: give each slave of {} its own brokerId",
            master.broker_name
        ));
    }
    let group = membership.group.as_ref();
    let theirs = hello.membership.as_ref().and_then(|membership| membership.group.as_ref());
    let name = hello.membership.as_ref().map_or("", |membership| &membership.name);
    if !name.is_empty() && name != format!("{}/{}", master.cluster_name, master.broker_name) && group != theirs {
        return Err(format!(
            "broker {id} at {addr} has the store of {name}, this master is of {}/{}: put the right disk back; or move its store \
             directory aside and start it empty",
            master.cluster_name, master.broker_name
        ));
    }
    if let (Some(own), Some(theirs)) = (group, theirs)
        && own != theirs
    {
        return Err(format!(
            "broker {id} at {addr} is of replica group {theirs}, this master's is {own}: it has the disk of another group. Put \
             the right one back; or move its store directory aside and start it empty"
        ));
    }
    if let Some(last_id) = hello.last_id.filter(|last_id| *last_id != id && !last_id.is_master())
        && group.is_some()
        && membership.member(id).is_some()
        && membership.member(last_id).is_some()
    {
        return Err(format!(
            "broker {id} at {addr} has the store that was broker {last_id}'s, and this group waits for that of broker {id} too \
             when it has to: give each its own brokerId and disk back; or, if the store of broker {id} is gone for good, \
             `mqadmin removeReplica -b {} -i {id}`",
            master.broker_addr
        ));
    }
    if hello.commit_log_file_size != file_bytes {
        return Err(format!(
            "mappedFileSizeCommitLog is {} at the slave {addr} and {file_bytes} at its master: files are copied byte for byte, \
             set them alike (an existing store keeps the size it was made with)",
            hello.commit_log_file_size
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use group::GroupId;
    use protocol::{BrokerId, PhysicalOffset};
    use store::LogHistory;

    use super::*;

    #[test]
    fn strangers_are_told_why() {
        let in_group = |group: &str| Membership { group: Some(GroupId(group.to_owned())), ..Membership::default() };
        let none = Membership::default();
        let identity = |cluster: &str, id: i64, addr: &str| Identity {
            cluster_name: cluster.into(),
            broker_name: "broker-a".into(),
            broker_id: BrokerId(id),
            broker_addr: addr.into(),
        };
        let master = identity("c", 0, "10.0.0.1:10911");
        let empty = LogHistory { epochs: Vec::new(), min: PhysicalOffset(0), max: PhysicalOffset(0) };
        let screened = |slave: Identity, file_bytes, rival| {
            let hello = Hello::new(&slave, file_bytes, &empty, None);
            screen(&master, &none, 1000, &hello, rival)
        };
        assert_eq!(screened(identity("c", 1, "10.0.0.2:10911"), 1000, Some("10.0.0.2:10911")), Ok(()));
        for (slave, file_bytes, rival, why) in [
            (identity("other", 1, "10.0.0.2:10911"), 1000, None, "belongs to other/broker-a"),
            (identity("c", 1, "10.0.0.1:10911"), 1000, None, "pointed at itself"),
            (identity("c", 0, "10.0.0.2:10911"), 1000, None, "brokerId 0"),
            (identity("c", 1, "10.0.0.2:10911"), 1000, Some("10.0.0.3:10911"), "already connected"),
            (identity("c", 1, "10.0.0.2:10911"), 2000, None, "mappedFileSizeCommitLog"),
        ] {
            let refusal = screened(slave, file_bytes, rival).expect_err(why);
            assert!(refusal.contains(why) && !refusal.contains("  "), "{refusal}");
        }
        let mut hello = Hello::new(&identity("c", 1, "10.0.0.2:10911"), 1000, &empty, None);
        hello.membership = Some(in_group("g"));
        assert_eq!(screen(&master, &in_group("g"), 1000, &hello, None), Ok(()));
        let strange = Membership { name: "c/broker-z".to_owned(), ..hello.membership.clone().unwrap_or_default() };
        let renamed = Hello { membership: Some(strange), ..hello.clone() };
        assert!(screen(&master, &none, 1000, &renamed, None).is_err_and(|why| why.contains("the store of c/broker-z")));
        assert_eq!(screen(&master, &in_group("g"), 1000, &renamed, None), Ok(()), "the whole group was renamed");
        assert!(
            screen(&master, &in_group("h"), 1000, &hello, None).is_err_and(|why| why.contains("of replica group g"))
        );
    }

    #[test]
    fn a_store_that_was_another_members_is_not_taken_for_the_members_own() {
        let identity = |id: i64, addr: &str| Identity {
            cluster_name: "c".into(),
            broker_name: "broker-a".into(),
            broker_id: BrokerId(id),
            broker_addr: addr.into(),
        };
        let mut membership = Membership { group: Some(GroupId("g".to_owned())), ..Membership::default() };
        membership.join(BrokerId(1), "s1:1");
        membership.join(BrokerId(2), "s2:1");
        let log = LogHistory { epochs: Vec::new(), min: PhysicalOffset(0), max: PhysicalOffset(0) };
        let screened = |membership: &Membership, id: i64, last_id: Option<i64>| {
            let hello = Hello::new(&identity(id, "s:1"), 1000, &log, Some(membership.clone()));
            let hello = Hello { last_id: last_id.map(BrokerId), ..hello };
            screen(&identity(0, "m:1"), membership, 1000, &hello, None)
        };
        let swapped = screened(&membership, 2, Some(1)).expect_err("broker 2 has another store");
        assert!(!swapped.contains("  "), "{swapped}");
        assert!(swapped.contains("broker 1's") && swapped.contains("removeReplica -b m:1 -i 2"), "{swapped}");
        for (id, last_id) in [(2, Some(2)), (2, None), (2, Some(0)), (3, Some(1)), (2, Some(3))] {
            assert_eq!(screened(&membership, id, last_id), Ok(()), "{id} was {last_id:?}");
        }
        membership.remove(BrokerId(2));
        assert_eq!(screened(&membership, 2, Some(1)), Ok(()), "the store of broker 2 is gone for good");
    }
}
