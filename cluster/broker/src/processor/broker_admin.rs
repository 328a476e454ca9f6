//! The broker itself as `mqadmin` sees it: settings, figures, single messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::body::{DataVersion, JsonBody, KvTable};
use protocol::header::{GetBrokerConfigResponseHeader, ViewBrokerStatsDataRequestHeader, ViewMessageRequestHeader};
use protocol::{RemotingCommand, response_code as code, version};
use sim::time::wall_clock_ms;

use super::{Answer, Refusal, ha_admin, success, success_body, success_with};
use crate::core::{Core, lock};
use crate::service::registration::registered;
use crate::settings::{self, SettingError};

/// GET_BROKER_CONFIG: the settings as the text of a properties file.
pub(crate) fn get_config(core: &Core) -> Answer {
    let mut text = String::new();
    for (key, value) in settings::answered(&core.config()) {
        text.push_str(key);
        text.push('=');
        text.push_str(&value);
        text.push('\n');
    }
    let version = DataVersion { counter: 0, state_version: None, timestamp: core.boot_timestamp_ms };
    let version = String::from_utf8_lossy(&version.encode()).into_owned();
    Ok(success_with(&GetBrokerConfigResponseHeader { version }).with_body(text.into_bytes()))
}

/// UPDATE_BROKER_CONFIG: all of the settings given are changed, or none. The answer comes when the name servers have been told of
/// changed permissions.
pub(crate) async fn update_config(core: Arc<Core>, request: RemotingCommand) -> Answer {
    let text = std::str::from_utf8(&request.body)
        .map_err(|_| Refusal::new(code::SYSTEM_ERROR, "the settings are no UTF-8 text"))?;
    let mut config = (*core.config()).clone();
    let refused = |error: SettingError| Refusal::new(code::SYSTEM_ERROR, error.to_string());
    let mut changed = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let Some((key, value)) = line.split_once('=') else {
            return Err(Refusal::new(code::SYSTEM_ERROR, format!("\"{line}\" is not of the form key=value")));
        };
        settings::set_at_run_time(&mut config, key.trim(), value.trim()).map_err(refused)?;
        changed.push((key.trim(), value.trim()));
    }
    config.check().map_err(|error| Refusal::new(code::SYSTEM_ERROR, error.to_string()))?;
    core.store.reconfigure(&config.store)?;
    for (key, value) in changed {
        tracing::info!(key, value, "setting changed");
    }
    core.links.client.update_name_servers(config.namesrv_addr.clone());
    core.registrar.list_changed();
    let permission_changed = config.broker_permission != core.config().broker_permission;
    core.set_config(config);
    if permission_changed {
        lock(&core.topics).told_differently(wall_clock_ms());
        // Only the version has changed: it need not be on disk.
        registered(&core).await;
    }
    Ok(success())
}

/// GET_BROKER_RUNTIME_INFO: the figures that `clusterList` and `brokerStatus` show, under RocketMQ's keys.
pub(crate) async fn runtime_info(core: Arc<Core>) -> Answer {
    let config = core.config();
    let disk = sim::disk::usage(&config.store.store_path_root_dir).await.ok();
    let disk_ratio = disk.map_or(0.0, |usage| 1.0 - usage.available_bytes as f64 / (usage.total_bytes as f64).max(1.0));
    let earliest_ms = core.store.earliest_store_time_ms().await?.unwrap_or(-1);
    let (waiting, head_wait_ms, put_times) = {
        let mut sends = lock(&core.sends);
        let head_wait_ms = sends.head_wait_ms(core.now_ms(), core.store.max_physical_offset().0);
        (sends.len(), head_wait_ms, sends.times(core.now_ms()).to_string())
    };
    let mut table = BTreeMap::new();
    let mut put = |key: &str, value: String| table.insert(key.to_owned(), value);
    put("brokerVersion", version::CURRENT.to_string());
    put("brokerVersionDesc", "V4_9_8".to_owned());
    put("brokerActive", "true".to_owned());
    put("bootTimestamp", core.boot_timestamp_ms.to_string());
    put("runtime", format!("[ {} s ]", core.now_ms() / 1000));
    put("commitLogMinOffset", core.store.min_physical_offset().to_string());
    put("commitLogMaxOffset", core.store.max_physical_offset().to_string());
    put("commitLogDiskRatio", disk_ratio.to_string());
    put("consumeQueueDiskRatio", disk_ratio.to_string());
    if let Some(disk) = disk {
        put(
            "commitLogDirCapacity",
            format!("Total : {}, Free : {}.", gib(disk.total_bytes), gib(disk.available_bytes)),
        );
    }
    put("earliestMessageTimeStamp", earliest_ms.to_string());
    put("dispatchBehindBytes", core.store.dispatch_behind_bytes().to_string());
    let to_flush = core.store.max_physical_offset() - core.store.flushed_offset();
    put("remainHowManyDataToFlush", format!("{to_flush} B"));
    put("sendThreadPoolQueueSize", waiting.to_string());
    put("sendThreadPoolQueueCapacity", config.send_thread_pool_queue_capacity.to_string());
    put("sendThreadPoolQueueHeadWaitTimeMills", head_wait_ms.to_string());
    put("putMessageDistributeTime", put_times);
    put("pullThreadPoolQueueSize", "0".to_owned());
    put("pullThreadPoolQueueHeadWaitTimeMills", "0".to_owned());
    put("queryThreadPoolQueueSize", "0".to_owned());
    put("queryThreadPoolQueueHeadWaitTimeMills", "0".to_owned());
    put("pageCacheLockTimeMills", head_wait_ms.to_string());
    put("pullHoldRequests", core.pull_wait.len().to_string());
    put("isOSPageCacheBusy", "false".to_owned());
    {
        let stats = lock(&core.stats);
        put("putTps", stats.put.messages_per_s().to_string());
        put("getFoundTps", stats.get.messages_per_s().to_string());
        put("getMissTps", stats.get_miss.messages_per_s().to_string());
        put("getTotalTps", (stats.get.messages_per_s() + stats.get_miss.messages_per_s()).to_string());
        // 4.x and 5.x spell it in two ways.
        put("getTransferedTps", stats.get.messages_per_s().to_string());
        put("getTransferredTps", stats.get.messages_per_s().to_string());
        let average_bytes = stats.put.totals.bytes as f64 / (stats.put.totals.messages as f64).max(1.0);
        put("putMessageAverageSize", average_bytes.to_string());
        put("putMessageTimesTotal", stats.put.totals.messages.to_string());
        put("putMessageSizeTotal", stats.put.totals.bytes.to_string());
        put("msgPutTotalTodayNow", stats.put.totals.messages.to_string());
        put("msgGetTotalTodayNow", stats.get.totals.messages.to_string());
    }
    // mqadmin's clusterList subtracts these from the ones above; this broker counts from its start, not from midnight.
    for key in [
        "msgPutTotalTodayMorning",
        "msgGetTotalTodayMorning",
        "msgPutTotalYesterdayMorning",
        "msgGetTotalYesterdayMorning",
    ] {
        put(key, "0".to_owned());
    }
    // Of parts that this broker does not have; tools take the keys for granted.
    for key in [
        "EndTransactionQueueSize",
        "EndTransactionThreadPoolQueueCapacity",
        "dispatchMaxBuffer",
        "getMessageEntireTimeMax",
        "pullThreadPoolQueueCapacity",
        "putMessageEntireTimeMax",
        "putMessageFailedTimes",
        "queryThreadPoolQueueCapacity",
        "startAcceptSendRequestTimeStamp",
        "timerCongestNum",
        "timerDequeueTps",
        "timerEnqueueTps",
        "timerOffsetBehind",
        "timerReadBehind",
    ] {
        put(key, "0".to_owned());
    }
    put("remainHowManyDataToCommit", "0 B".to_owned());
    put("remainTransientStoreBufferNumbs", i32::MAX.to_string());
    for (level, offset) in &lock(&core.delay_offsets).offset_table {
        let queue_id = crate::state::delay_level::DelayLevels::queue_id(*level);
        let max = core.store.max_offset_in_queue(protocol::topic::SCHEDULE_TOPIC, queue_id);
        put(&format!("scheduleMessageOffset_{level}"), format!("{offset},{max}"));
    }
    for (key, value) in ha_admin::runtime_info(&core) {
        put(key, value);
    }
    put("serverTimestamp", wall_clock_ms().to_string());
    Ok(success_body(&KvTable { table }))
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

/// VIEW_MESSAGE_BY_ID.
pub(crate) async fn view_message(core: Arc<Core>, request: RemotingCommand) -> Answer {
    let header: ViewMessageRequestHeader = request.header()?;
    match core.store.look_message_by_offset(header.offset).await? {
        Some(record) => Ok(success().with_body(record)),
        None => {
            let remark = format!("can not find message by the offset, {}", header.offset);
            Err(Refusal::new(code::SYSTEM_ERROR, remark))
        }
    }
}

/// VIEW_BROKER_STATS_DATA.
pub(crate) fn view_stats(core: &Core, request: &RemotingCommand) -> Answer {
    let header: ViewBrokerStatsDataRequestHeader = request.header()?;
    let view = lock(&core.stats).view(&header.stats_name, &header.stats_key);
    match view {
        Some(view) => Ok(success_body(&view)),
        None => {
            let remark = format!("The stats <{}> <{}> not exist", header.stats_name, header.stats_key);
            Err(Refusal::new(code::SYSTEM_ERROR, remark))
        }
    }
}
