//! Messages by key (`QueryMessageProcessor`); VIEW_MESSAGE_BY_ID is in [`super::broker_admin`].

use std::sync::Arc;

use bytes::BytesMut;
use protocol::header::{EXT_UNIQUE_KEY_QUERY, QueryMessageRequestHeader, QueryMessageResponseHeader};
use protocol::{RemotingCommand, response_code as code};

use super::{Answer, success_with};
use crate::core::Core;

/// How many messages a query by unique key gives (`MessageStoreConfig.defaultQueryMaxNum`).
const DEFAULT_QUERY_MAX_NUM: usize = 32;

/// QUERY_MESSAGE. The body is the records, one after another.
pub(crate) async fn message(core: Arc<Core>, request: RemotingCommand) -> Answer {
    let header: QueryMessageRequestHeader = request.header()?;
    let is_unique = request.ext_fields.get(EXT_UNIQUE_KEY_QUERY) == Some("true");
    let max = if is_unique { DEFAULT_QUERY_MAX_NUM } else { usize::try_from(header.max_num).unwrap_or(0) };
    let (begin_ms, end_ms) = (header.begin_timestamp, header.end_timestamp);
    let found = core.store.query_message(&header.topic, &header.key, max, begin_ms, end_ms).await?;
    let response_header = QueryMessageResponseHeader {
        index_last_update_timestamp: found.index_last_update_timestamp_ms,
        index_last_update_phyoffset: found.index_last_update_physical_offset,
    };
    if found.messages.is_empty() {
        let response = RemotingCommand::response_with(code::QUERY_NOT_FOUND, &response_header);
        return Ok(response.with_remark(match found.cut_at_ms {
            None => "can not find message, maybe time range not correct".to_owned(),
            Some(cut_at_ms) => format!(
                "can not find message among the latest: very many have keys of the same hash. Those stored before {cut_at_ms} \
                 (milliseconds) were not looked at; to go on, ask with that as the end of the time range"
            ),
        }));
    }
    let mut body = BytesMut::with_capacity(found.messages.iter().map(|record| record.len()).sum());
    found.messages.iter().for_each(|record| body.extend_from_slice(record));
    Ok(success_with(&response_header).with_body(body.freeze()))
}
