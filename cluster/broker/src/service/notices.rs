//! Telling the members of consumer groups that somebody has come or gone, so that they rebalance at once.

use std::sync::{Arc, Mutex};

use protocol::header::ConsumerGroupRequestHeader;
use protocol::{RemotingCommand, request_code};
use remoting::Channel;
use sim::time::sleep_until;
use tokio::sync::Notify;

use crate::core::{Core, lock};
use crate::state::notices::Notices;

/// Who was told a moment ago, and who waits to be told again.
#[derive(Default)]
pub(crate) struct NoticeWait {
    notices: Mutex<Notices>,
    /// A pause has begun.
    begun: Notify,
}

/// These consumer groups have changed: their members are told, now or a little later.
pub(crate) fn notify_members(core: &Core, groups: &[String]) {
    for group in groups {
        let members = count_members(core, group);
        let mut notices = lock(&core.notices.notices);
        let before = notices.next_ms();
        let is_now = notices.changed(group, members, core.now_ms());
        let is_earlier = notices.next_ms() != before;
        drop(notices);
        if is_earlier {
            core.notices.begun.notify_one();
        }
        if is_now {
            tell(core, group);
        }
    }
}

/// Tells the groups that have changed again soon after they were told, for ever.
pub(crate) async fn run(core: Arc<Core>) {
    loop {
        let next_ms = lock(&core.notices.notices).next_ms();
        match next_ms {
            Some(next_ms) => {
                tokio::select! {
                    biased;
                    () = core.notices.begun.notified() => continue,
                    () = sleep_until(core.instant_of(next_ms)) => {}
                }
            }
            None => {
                core.notices.begun.notified().await;
                continue;
            }
        }
        let due = lock(&core.notices.notices).due(core.now_ms(), |group| count_members(&core, group));
        for group in due {
            tell(&core, &group);
        }
    }
}

fn count_members(core: &Core, group: &str) -> usize {
    lock(&core.clients).consumer_group(group).map_or(0, |info| info.members.len())
}

fn tell(core: &Core, group: &str) {
    if !core.config().notify_consumer_ids_changed_enable {
        return;
    }
    let enabled = lock(&core.groups).get(group).is_none_or(|config| config.notify_consumer_ids_changed_enable);
    if !enabled {
        return;
    }
    let members: Vec<Channel> = {
        let clients = lock(&core.clients);
        let members =
            clients.consumer_group(group).map(|info| info.members.values().map(|member| member.handle.clone()));
        members.into_iter().flatten().collect()
    };
    let header = ConsumerGroupRequestHeader { consumer_group: group.to_owned() };
    for channel in members {
        if sim::fault_point!("broker.notice.lost", 0.5) {
            continue;
        }
        if !channel.is_writable() {
            // It does not read. Whoever does not hear it rebalances by its own timer.
            continue;
        }
        let notice = RemotingCommand::request(request_code::NOTIFY_CONSUMER_IDS_CHANGED, &header);
        if let Err(error) = channel.invoke_oneway(notice) {
            tracing::debug!(group, %error, "a consumer was not told of a change of its group");
        }
    }
}
