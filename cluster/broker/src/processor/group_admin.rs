//! Subscription groups as `mqadmin` sees them.

use std::sync::Arc;

use protocol::body::{JsonBody, SubscriptionGroupConfig, SubscriptionGroupList};
use protocol::header::{DeleteSubscriptionGroupRequestHeader, GetSubscriptionGroupConfigRequestHeader};
use protocol::{RemotingCommand, response_code as code, topic};
use sim::time::wall_clock_ms;

use super::{Answer, Refusal, only_on_a_master, success, success_body};
use crate::core::{Core, lock};

/// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP.
pub(crate) async fn create(core: Arc<Core>, request: RemotingCommand) -> Answer {
    only_on_a_master(&core)?;
    put_all(&core, vec![SubscriptionGroupConfig::decode(&request.body)?]).await
}

/// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST (5.x): all of them, or none if one cannot be.
pub(crate) async fn create_all(core: Arc<Core>, request: RemotingCommand) -> Answer {
    only_on_a_master(&core)?;
    put_all(&core, SubscriptionGroupList::decode(&request.body)?.group_config_list).await
}

/// Makes or changes groups, all of them or none.
async fn put_all(core: &Core, configs: Vec<SubscriptionGroupConfig>) -> Answer {
    if configs.is_empty() {
        return Err(Refusal::new(code::INVALID_PARAMETER, "the request names no group"));
    }
    for SubscriptionGroupConfig { group_name, .. } in &configs {
        topic::validate_group(group_name).map_err(|error| Refusal::new(code::SYSTEM_ERROR, error.to_string()))?;
    }
    let groups: Vec<String> = configs.iter().map(|config| config.group_name.clone()).collect();
    lock(&core.groups).put_all(configs, wall_clock_ms())?;
    groups.iter().for_each(|group| tracing::info!(group, "subscription group updated"));
    core.save_groups().await?;
    Ok(success())
}

/// DELETE_SUBSCRIPTIONGROUP.
pub(crate) async fn delete(core: Arc<Core>, request: RemotingCommand) -> Answer {
    only_on_a_master(&core)?;
    let header: DeleteSubscriptionGroupRequestHeader = request.header()?;
    let removed = lock(&core.groups).remove(&header.group_name, wall_clock_ms());
    // Also when it was removed before, but could not be written then.
    core.save_groups().await?;
    if header.remove_offset == Some(true) || header.clean_offset == Some(true) {
        lock(&core.offsets).remove_group(&header.group_name);
        core.persist_offsets().await?;
    }
    tracing::info!(group = header.group_name, removed, "subscription group deleted");
    Ok(success())
}

/// GET_SUBSCRIPTIONGROUP_CONFIG (5.x).
pub(crate) fn get(core: &Core, request: &RemotingCommand) -> Answer {
    let header: GetSubscriptionGroupConfigRequestHeader = request.header()?;
    let config = lock(&core.groups).get(&header.group).cloned();
    let not_there = || Refusal::new(code::SUBSCRIPTION_GROUP_NOT_EXIST, "No group in this broker");
    config.map(|config| success_body(&config)).ok_or_else(not_there)
}

/// GET_ALL_SUBSCRIPTIONGROUP_CONFIG.
pub(crate) fn all(core: &Core) -> Answer {
    Ok(success().with_body(lock(&core.groups).json()))
}
