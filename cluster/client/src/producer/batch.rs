//! Several messages in one request (`MessageBatch`).

use bytes::BytesMut;
use protocol::message::{batch_message_len, encode_batch_message};
use protocol::properties::{property, push_property};
use protocol::topic::is_retry_topic;

use super::send::{Mode, Prepared, Target};
use super::{ProducerCore, SendResult};
use crate::error::ClientError;
use crate::instance::ClientInstance;
use crate::message::Message;
use crate::validators;

impl ProducerCore {
    /// Sends messages that are stored together or not at all.
    pub(super) async fn send_batch(
        &self,
        instance: &ClientInstance,
        messages: Vec<Message>,
        target: Target,
    ) -> Result<SendResult, ClientError> {
        self.check_running()?;
        let Some(first) = messages.first() else {
            let reason = "is a batch without messages".to_owned();
            return Err(ClientError::Message { topic: String::new(), reason });
        };
        validators::check_send_topic(&first.topic)?;
        let (topic, wait) = (first.topic.clone(), first.is_wait_store_msg_ok());
        for message in &messages {
            if let Some(reason) = why_not(message, &topic, wait) {
                return Err(ClientError::Message { topic, reason: reason.to_owned() });
            }
            validators::check_body(&topic, message.body.len(), self.config().max_message_bytes)?;
        }
        let prepared = self.prepare_batch(instance, topic, wait, messages)?;
        self.send_prepared(instance, prepared, target, Mode::Sync, self.config().send_msg_timeout).await
    }

    fn prepare_batch(
        &self,
        instance: &ClientInstance,
        topic: String,
        wait: bool,
        messages: Vec<Message>,
    ) -> Result<Prepared, ClientError> {
        let bodies: usize = messages.iter().map(|message| message.body.len()).sum();
        let mut body = BytesMut::with_capacity(bodies + messages.len() * batch_message_len(0, 100));
        let mut msg_id = String::new();
        for mut message in messages {
            if message.properties.get(property::UNIQ_KEY).is_none() {
                message.properties.insert(property::UNIQ_KEY, &instance.unique_keys().next());
            }
            if !msg_id.is_empty() {
                msg_id.push(',');
            }
            msg_id.push_str(message.properties.get(property::UNIQ_KEY).unwrap_or_default());
            encode_batch_message(&mut body, message.flag, &message.body, &message.properties.encode())
                .map_err(|error| ClientError::Message { topic: topic.clone(), reason: error.to_string() })?;
        }
        validators::check_body(&topic, body.len(), self.config().max_message_bytes)?;
        let mut properties = String::new();
        push_property(&mut properties, property::WAIT, if wait { "true" } else { "false" });
        let mut header = self.header(topic, 0);
        header.batch = Some(true);
        header.properties = Some(properties);
        Ok(Prepared { header, body: body.freeze(), msg_id })
    }
}

/// Why a message cannot be in a batch with the others (`MessageBatch.generateFromList`).
fn why_not(message: &Message, topic: &str, wait: bool) -> Option<&'static str> {
    if message.topic != topic {
        return Some("is in one batch with a message of another topic");
    }
    if message.is_wait_store_msg_ok() != wait {
        return Some("is in one batch with a message that differs in waiting for the store");
    }
    if message.delay_level() > 0 {
        return Some("is in a batch, but delayed: send it alone");
    }
    if is_retry_topic(&message.topic) {
        return Some("is in a batch, but for a retry topic: send it alone");
    }
    None
}
