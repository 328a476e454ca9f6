//! Who does not belong to this master, whatever its log: pure.

use group::GroupId;

use crate::{Identity, handshake::Hello};

/// Refuses a slave that does not belong here, whatever its log.
///
/// `rival` is the address under which a replica with the slave's id is connected now.
///
/// # Errors
/// Why, and what to do about it.
pub(crate) fn screen(
    master: &Identity,
    group: Option<&GroupId>,
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
    use protocol::{BrokerId, PhysicalOffset};
    use store::LogHistory;

    use super::*;

    #[test]
    fn strangers_are_told_why() {
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
            screen(&master, None, 1000, &hello, rival)
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
            assert!(refusal.contains(why), "{refusal}");
        }
        let mut hello = Hello::new(&identity("c", 1, "10.0.0.2:10911"), 1000, &empty, None);
        let of = |group: &str| GroupId(group.to_owned());
        hello.membership = Some(group::Membership { group: Some(of("g")), ..group::Membership::default() });
        assert_eq!(screen(&master, Some(&of("g")), 1000, &hello, None), Ok(()));
        let strange =
            group::Membership { name: "c/broker-z".to_owned(), ..hello.membership.clone().unwrap_or_default() };
        let renamed = Hello { membership: Some(strange), ..hello.clone() };
        assert!(screen(&master, None, 1000, &renamed, None).is_err_and(|why| why.contains("the store of c/broker-z")));
        assert_eq!(screen(&master, Some(&of("g")), 1000, &renamed, None), Ok(()), "the whole group was renamed");
        assert!(
            screen(&master, Some(&of("h")), 1000, &hello, None).is_err_and(|why| why.contains("of replica group g"))
        );
    }
}
