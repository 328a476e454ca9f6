//! What is refused before anything is sent (`Validators`, and the start-up checks of the default clients).

use protocol::topic::{is_not_allowed_send_topic, validate_group, validate_topic};

use crate::error::ClientError;

/// The group of a producer that was given none in Java (`MixAll.DEFAULT_PRODUCER_GROUP`); refused, as there.
pub const DEFAULT_PRODUCER_GROUP: &str = "DEFAULT_PRODUCER";
/// As [`DEFAULT_PRODUCER_GROUP`], for consumers (`MixAll.DEFAULT_CONSUMER_GROUP`).
pub const DEFAULT_CONSUMER_GROUP: &str = "DEFAULT_CONSUMER";
/// The group of each instance's own producer (`MixAll.CLIENT_INNER_PRODUCER_GROUP`).
pub const CLIENT_INNER_PRODUCER_GROUP: &str = "CLIENT_INNER_PRODUCER";

/// The largest body, before compression, in bytes (`DefaultMQProducer.maxMessageSize`).
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

pub(crate) fn check_producer_group(group: &str) -> Result<(), ClientError> {
    check_group("producer", group, DEFAULT_PRODUCER_GROUP)
}

pub(crate) fn check_consumer_group(group: &str) -> Result<(), ClientError> {
    check_group("consumer", group, DEFAULT_CONSUMER_GROUP)
}

fn check_group(kind: &'static str, group: &str, reserved: &str) -> Result<(), ClientError> {
    validate_group(group)?;
    if group == reserved {
        return Err(ClientError::ReservedGroup { kind, group: group.to_owned() });
    }
    Ok(())
}

/// Whether a user's message may go to this topic.
pub(crate) fn check_send_topic(topic: &str) -> Result<(), ClientError> {
    validate_topic(topic)?;
    if is_not_allowed_send_topic(topic) {
        return Err(ClientError::TopicForbidden { topic: topic.to_owned() });
    }
    Ok(())
}

/// Whether a body has an allowed size (`Validators.checkMessage`: an empty body is refused).
pub(crate) fn check_body(topic: &str, body_bytes: usize, bytes_max: usize) -> Result<(), ClientError> {
    let reason = match body_bytes {
        0 => "has an empty body: RocketMQ's clients refuse to send one".to_owned(),
        bytes if bytes > bytes_max => format!("has a body of {bytes} bytes, the most is {bytes_max}"),
        _ => return Ok(()),
    };
    Err(ClientError::Message { topic: topic.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_names() {
        assert!(check_producer_group("orders_1-a|b%").is_ok());
        assert!(check_producer_group(DEFAULT_CONSUMER_GROUP).is_ok());
        assert!(matches!(check_producer_group(DEFAULT_PRODUCER_GROUP), Err(ClientError::ReservedGroup { .. })));
        assert!(matches!(check_consumer_group(DEFAULT_CONSUMER_GROUP), Err(ClientError::ReservedGroup { .. })));
        for bad in ["", " ", "a b", "ä", &"x".repeat(256)] {
            assert!(matches!(check_consumer_group(bad), Err(ClientError::Name(_))), "{bad}");
        }
        assert!(check_consumer_group(&"x".repeat(255)).is_ok());
    }

    #[test]
    fn bodies_and_topics() {
        assert!(check_body("T", 0, 10).is_err());
        assert!(check_body("T", 10, 10).is_ok());
        assert!(check_body("T", 11, 10).is_err());
        assert!(check_send_topic("SCHEDULE_TOPIC_XXXX").is_err());
        assert!(check_send_topic("TopicA").is_ok());
    }
}
