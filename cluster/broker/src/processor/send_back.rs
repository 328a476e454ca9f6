//! CONSUMER_SEND_MSG_BACK: a consumer failed and wants the message again later (`asyncConsumerSendMsgBack`).
//!
//! The message is stored anew for the group's retry topic, through the schedule topic so that it waits; after too many
//! attempts, or on request, for the dead letter topic. Apache stores it with `WAIT=false`, so that under SYNC_FLUSH a power
//! loss can take a message whose consumer was told that it is safe (`Quirk::InternalPutsUnwaited`); here the answer waits for
//! the flush and for the slave like any send's.
//!
//! A group whose retry topic has a name too long for the records that its clients read (127 bytes: a group of 120) gets none
//! of its messages back: the request is refused, as by Apache 4.9, and the consumer goes on trying by itself.

use std::sync::Arc;

use bytes::Bytes;
use protocol::header::ConsumerSendMsgBackRequestHeader;
use protocol::message::{MessageToStore, parse_record};
use protocol::message_id::offset_message_id;
use protocol::properties::property;
use protocol::{PhysicalOffset, RemotingCommand, perm, response_code as code, topic, version};
use quirks::Quirk;
use store::PutMessageStatus;

use super::send::{
    accepts_messages, dead_letter, delayed, own_topic, put_refused, set_property, without_last_separator,
};
use super::{Answer, Refusal, success};
use crate::core::{Core, lock};

/// The delay level of the first retry; each further one is a level higher.
const FIRST_RETRY_LEVEL: i32 = 3;

pub(crate) async fn handle(core: Arc<Core>, request: RemotingCommand) -> Answer {
    let header: ConsumerSendMsgBackRequestHeader = request.header()?;
    accepts_messages(&core)?;
    let config = core.config();
    let group = &header.group;
    let Some(group_config) = core.find_or_create_group(group).await else {
        let remark = format!("subscription group not exist, {group}");
        return Err(Refusal::new(code::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    };
    if !perm::is_writable(config.broker_permission) {
        let addr = core.broker_addr();
        return Err(Refusal::new(code::NO_PERMISSION, format!("the broker[{addr}] sending message is forbidden")));
    }
    if group_config.retry_queue_nums <= 0 {
        return Ok(success());
    }
    let not_found = || Refusal::new(code::SYSTEM_ERROR, format!("look message by offset failed, {}", header.offset));
    let record = core.store.look_message_by_offset(header.offset).await?.ok_or_else(not_found)?;
    let original = parse_record(&record).map_err(|_| not_found())?;
    let mut properties = std::str::from_utf8(original.properties).map_err(|_| not_found())?.to_owned();
    let original_topic = original.topic.to_owned();
    if original.property(property::RETRY_TOPIC).is_none() {
        set_property(&mut properties, property::RETRY_TOPIC, original.topic);
    }
    if original.property(property::ORIGIN_MESSAGE_ID).is_none() {
        let id = offset_message_id(original.store_host, original.physical_offset);
        set_property(&mut properties, property::ORIGIN_MESSAGE_ID, &id);
    }

    let honours_max = request.version >= version::V3_4_9;
    let max_times = header.max_reconsume_times.filter(|_| honours_max).unwrap_or(group_config.retry_max_times);
    let place = if original.reconsume_times >= max_times || header.delay_level < 0 {
        dead_letter(&core, group).await?
    } else {
        let level = match header.delay_level {
            0 => FIRST_RETRY_LEVEL.saturating_add(original.reconsume_times),
            level => level,
        };
        let both = perm::PERM_READ | perm::PERM_WRITE;
        let place = own_topic(&core, topic::retry_topic(group), group_config.retry_queue_nums, both).await?;
        if !lock(&core.topics).get(&place.topic).is_some_and(|known| perm::is_writable(known.perm)) {
            let remark = format!("the topic[{}] sending message is forbidden", place.topic);
            return Err(Refusal::new(code::NO_PERMISSION, remark));
        }
        delayed(&config.message_delay_level, place, level, &mut properties)
    };
    let body: Bytes = record.slice_ref(original.body);
    let bytes = i64::try_from(body.len()).unwrap_or(i64::MAX);
    let message = MessageToStore {
        topic: place.topic,
        queue_id: place.queue_id,
        flag: original.flag,
        sys_flag: original.sys_flag,
        born_timestamp_ms: original.born_timestamp_ms,
        born_host: original.born_host,
        store_host: core.store_host(),
        reconsume_times: original.reconsume_times.saturating_add(1),
        prepared_transaction_offset: PhysicalOffset::ZERO,
        body,
        properties: without_last_separator(properties),
    };
    let stored_topic = message.topic.clone();
    let waits = !config.quirks.has(Quirk::InternalPutsUnwaited);
    let result = core.store.put_waiting(message, waits).await;
    // Without any slave the mode gives no more than it has: to refuse would have the consumer store one copy after another.
    if !result.is_ok() && result.status != PutMessageStatus::SlaveNotAvailable {
        // Also one that was stored but not flushed or replicated in time: the consumer keeps the message and tries again.
        return Err(put_refused(&result));
    }
    let mut stats = lock(&core.stats);
    stats.count_put(&stored_topic, 1, bytes);
    stats.count_send_back(group, &original_topic);
    drop(stats);
    Ok(success())
}
