//! Messages by key: `queryMsgByKey`, `queryMsgByUniqueKey`.

use std::ops::RangeInclusive;

use clap::Args;
use protocol::body::TopicRouteData;
use protocol::header::{EXT_UNIQUE_KEY_QUERY, QueryMessageRequestHeader};
use protocol::message::MessageExt;
use protocol::properties::{KEY_SEPARATOR, property};
use protocol::{RemotingCommand, request_code, response_code};

use super::message::{decode, shown};
use super::session::{AdminError, Missing, Session};

/// How many messages a broker is asked for (`MQAdminImpl.queryMessage` as `mqadmin` calls it).
const MAX_NUM: i32 = 64;

/// `queryMsgByKey`
#[derive(Debug, Args)]
pub struct QueryMsgByKey {
    /// The topic
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// One of the keys
    #[arg(short = 'k', long = "msgKey")]
    msg_key: String,
    /// Only messages stored at this time or later: in ms since 1970, or as yyyy-MM-dd#HH:mm:ss:SSS
    #[arg(short = 'b', long = "beginTimestamp", value_name = "TIME")]
    begin_timestamp: Option<String>,
    /// Only messages stored at this time or earlier
    #[arg(short = 'e', long = "endTimestamp", value_name = "TIME")]
    end_timestamp: Option<String>,
    /// How many messages each broker may answer with
    #[arg(short = 'm', long = "maxNum", value_name = "COUNT", default_value_t = MAX_NUM, value_parser = clap::value_parser!(i32).range(1..))]
    max_num: i32,
}

impl QueryMsgByKey {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let mut out = row("#Message ID", "#QID", "#Offset");
        let stored = session.time_range(self.begin_timestamp.as_deref(), self.end_timestamp.as_deref())?;
        let mut missing = Missing::default();
        let mut messages =
            query(session, &self.topic, &self.msg_key, stored, self.max_num, false, &mut missing).await?;
        // As Apache's client does: the broker's index does not tell keys from ids.
        messages.retain(|message| {
            message.keys().is_some_and(|keys| keys.split(KEY_SEPARATOR).any(|key| key == self.msg_key))
        });
        if messages.is_empty() && missing.is_empty() {
            return Err(not_found(&self.topic, &self.msg_key));
        }
        for message in messages {
            let queue_offset = message.queue_offset.to_string();
            out.push_str(&row(&message.msg_id, &message.queue_id.to_string(), &queue_offset));
        }
        missing.end(out)
    }
}

/// `queryMsgByUniqueKey`
#[derive(Debug, Args)]
pub struct QueryMsgByUniqueKey {
    /// The topic
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// The id that the producer gave the message
    #[arg(short = 'i', long = "msgId")]
    msg_id: String,
}

impl QueryMsgByUniqueKey {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let mut missing = Missing::default();
        let always = session.time_range(None, None)?;
        let mut messages = query(session, &self.topic, &self.msg_id, always, MAX_NUM, true, &mut missing).await?;
        messages.retain(|message| message.properties.get(property::UNIQ_KEY) == Some(&self.msg_id));
        if messages.is_empty() && missing.is_empty() {
            return Err(not_found(&self.topic, &self.msg_id));
        }
        let shown: Vec<String> = messages.iter().map(|message| shown(message, session.times())).collect();
        missing.end(shown.join("\n"))
    }
}

fn not_found(topic: &str, key: &str) -> AdminError {
    AdminError::Usage(format!("no broker of topic {topic} has a message with {key}"))
}

/// The messages of a topic that have this unique key.
pub(super) async fn by_unique_key(session: &Session, topic: &str, key: &str) -> Result<Vec<MessageExt>, AdminError> {
    let mut missing = Missing::default();
    let mut messages = query(session, topic, key, 0..=i64::MAX, MAX_NUM, true, &mut missing).await?;
    messages.retain(|message| message.properties.get(property::UNIQ_KEY) == Some(key));
    missing.end(String::new()).map(|_| messages)
}

/// What the brokers of a topic have under a key, stored in a time.
async fn query(
    session: &Session,
    topic: &str,
    key: &str,
    stored: RangeInclusive<i64>,
    max_num: i32,
    is_unique: bool,
    missing: &mut Missing,
) -> Result<Vec<MessageExt>, AdminError> {
    let header = QueryMessageRequestHeader {
        topic: topic.to_owned(),
        key: key.to_owned(),
        max_num,
        begin_timestamp: *stored.start(),
        end_timestamp: *stored.end(),
    };
    let TopicRouteData { broker_datas, .. } = session.route(topic).await?;
    let mut messages = Vec::new();
    for addr in broker_datas.iter().filter_map(|broker| broker.master_or_any_addr()) {
        let mut request = RemotingCommand::request(request_code::QUERY_MESSAGE, &header);
        request.ext_fields.insert(EXT_UNIQUE_KEY_QUERY, if is_unique { "true" } else { "false" });
        let Some(response) = missing.note(addr, session.ask_with(addr, request).await) else { continue };
        match response.code {
            response_code::SUCCESS => messages.extend(decode(response.body)?),
            response_code::QUERY_NOT_FOUND => {}
            code => {
                let (addr, remark) = (addr.to_owned(), response.remark.unwrap_or_default());
                let refused =
                    AdminError::Refused { addr: addr.clone(), request: request_code::QUERY_MESSAGE, code, remark };
                missing.note(&addr, Err::<(), _>(refused));
            }
        }
    }
    Ok(messages)
}

/// A line of the table of messages.
fn row(id: &str, queue_id: &str, offset: &str) -> String {
    format!("{id:<50} {queue_id:>4} {offset:>40}\n")
}

#[cfg(test)]
mod tests {
    use super::row;

    /// What a 4.9.8 mqadmin printed.
    #[test]
    fn the_table_is_mqadmins() {
        let header =
            "#Message ID                                        #QID                                  #Offset\n";
        assert_eq!(row("#Message ID", "#QID", "#Offset"), header);
        let id = "FD0000000000000000000000000000022DDF5FFD2B276FBFB8990001";
        let line = format!("{id}    1                                        0\n");
        assert_eq!(row(id, "1", "0"), line);
    }
}
