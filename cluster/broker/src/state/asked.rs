//! What the properties of a message ask of the broker that takes it, and which of that this broker cannot keep.
//!
//! Most properties are the user's or are read by clients: they are carried. One that asks something of the broker is kept,
//! or the send is refused: a message that comes at once although it was to come in a week, or that reaches none of the
//! queues it names, is worse than an error. [`PROPERTIES`] has every name that RocketMQ gives a meaning to.
//!
//! A message that a consumer sends to its retry topic has been taken before, by whichever broker; of it only the delay is
//! asked. What a log holds already, written by a broker that serves more, is not looked at here: it stays where it is, and
//! the broker says so when it starts (`running`).

use std::sync::LazyLock;

use protocol::properties::{NAME_VALUE_SEPARATOR, PROPERTY_SEPARATOR, property};
use protocol::response_code as code;

/// What becomes of a property of a message that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The broker does what it asks.
    Kept,
    /// It is stored with the message; the broker has nothing to do.
    Carried,
    /// It means nothing where it is, and is taken out.
    TakenOut,
    /// The send is refused with this response code.
    Refused(i32, &'static str),
}

use Fate::{Carried, Kept, Refused, TakenOut};

/// 5.x answers SYSTEM_ERROR while its timer wheel is off (`WHEEL_TIMER_NOT_ENABLE` in `SendMessageProcessor`).
const NO_TIMER: Fate =
    Refused(code::SYSTEM_ERROR, "this broker serves delay levels (DELAY) and no timed messages: it would come at once");

/// What asks for a time of delivery other than by a level.
const TIMERS: [&str; 5] = [
    property::TIMER_DELAY_SEC,
    property::TIMER_DELAY_MS,
    property::TIMER_DELIVER_MS,
    property::TIMER_DEL_UNIQKEY,
    property::START_DELIVER_TIME,
];

/// Every property of `org.apache.rocketmq.common.message.MessageConst` (4.9.8 and 5.3.3), and of Alibaba Cloud's clients
/// those that ask something of a broker. A name that is not here is the user's.
pub const PROPERTIES: &[(&str, Fate)] = &[
    // 4.x
    (property::KEYS, Kept),
    (property::TAGS, Kept),
    (property::WAIT, Kept),
    (property::DELAY, Kept),
    (property::UNIQ_KEY, Kept),
    (property::RETRY_TOPIC, Carried),
    // Overwritten where the broker itself needs them.
    (property::REAL_TOPIC, Carried),
    (property::REAL_QID, Carried),
    (property::CLUSTER, Kept),
    // `true` is refused in `send`: this broker serves no transactions (`rejectTransactionMessage`).
    (property::TRAN_MSG, Kept),
    (property::PGROUP, Carried),
    (property::MIN_OFFSET, Carried),
    (property::MAX_OFFSET, Carried),
    (property::BUYER_ID, Carried),
    (property::ORIGIN_MESSAGE_ID, Carried),
    (property::TRANSFER_FLAG, Carried),
    (property::CORRECTION_FLAG, Carried),
    (property::MQ2_FLAG, Carried),
    // The header's fields of these meanings are what counts.
    (property::RECONSUME_TIME, Carried),
    (property::MAX_RECONSUME_TIMES, Carried),
    (property::MSG_REGION, Carried),
    (property::TRACE_ON, Carried),
    (property::EXTEND_UNIQ_INFO, Carried),
    (property::CONSUME_START_TIME, Carried),
    // Of half messages, which are refused.
    (property::TRAN_PREPARED_QUEUE_OFFSET, Carried),
    (property::TRANSACTION_CHECK_TIMES, Carried),
    (property::CHECK_IMMUNITY_TIME_IN_SECONDS, Carried),
    (property::TRANSACTION_ID, Carried),
    (property::INSTANCE_ID, Carried),
    // Of request and reply: between the two clients. Replies come with a request code of their own.
    (property::CORRELATION_ID, Carried),
    (property::REPLY_TO_CLIENT, Carried),
    (property::TTL, Carried),
    (property::MSG_TYPE, Carried),
    ("ARRIVE_TIME", Carried),
    ("PUSH_REPLY_TIME", Carried),
    (property::SHARDING_KEY, Carried),
    ("DUP_INFO", Carried),
    ("PROPERTY_FORWARD_QUEUE_ID", Carried),
    ("REDIRECT", Carried),
    // 4.9.3: `enableLmq` and `enableMultiDispatch`, both off there, and then passed over in silence.
    (
        property::INNER_MULTI_DISPATCH,
        Refused(
            code::MESSAGE_ILLEGAL,
            "this broker serves no light queues (LMQ): the message would be in none of them",
        ),
    ),
    ("INNER_MULTI_QUEUE_OFFSET", Carried),
    // 5.x
    // `HookUtils.checkInnerBatch` refuses it where the topic's queues do not hold batches; here none do.
    (property::INNER_NUM, Refused(code::MESSAGE_ILLEGAL, "this broker has no queues of batches (BatchConsumeQueue)")),
    ("INNER_BASE", Carried),
    (property::TIMER_DELAY_SEC, NO_TIMER),
    (property::TIMER_DELAY_MS, NO_TIMER),
    (property::TIMER_DELIVER_MS, NO_TIMER),
    (property::TIMER_DEL_UNIQKEY, NO_TIMER),
    // What a timer has left in a message that is sent on.
    ("TIMER_ENQUEUE_MS", Carried),
    ("TIMER_DEQUEUE_MS", Carried),
    ("TIMER_ROLL_TIMES", Carried),
    ("TIMER_OUT_MS", Carried),
    ("TIMER_DELAY_LEVEL", Carried),
    // `SendMessageProcessor.clearReservedProperties`.
    (property::POP_CK, TakenOut),
    ("POP_CK_OFFSET", Carried),
    ("1ST_POP_TIME", Carried),
    ("TRACE_CONTEXT", Carried),
    ("__BORNHOST", Carried),
    ("BORN_TIMESTAMP", Carried),
    (property::CRC32, Kept),
    (property::DLQ_ORIGIN_TOPIC, Carried),
    (property::DLQ_ORIGIN_MESSAGE_ID, Carried),
    // 5.4
    ("__LITE_TOPIC", Refused(code::MESSAGE_ILLEGAL, "this broker serves no lite topics: nobody would find it there")),
    (
        "_SYS_MSG_PRIORITY_",
        Refused(code::MESSAGE_ILLEGAL, "this broker knows no priorities: it would come in its turn like any other"),
    ),
    // What Alibaba Cloud's clients (ons, ali-ons, the SDKs for HTTP) set for a timed message; Apache's brokers carry it.
    (property::START_DELIVER_TIME, NO_TIMER),
];

/// What a message asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// DELAY: the level; 0 and less ask for no delay.
    pub delay_level: i32,
    /// TRAN_MSG: it is a half message.
    pub is_half: bool,
    /// WAIT: the answer waits for flush and replication.
    pub waits: bool,
    /// Properties that are not to be stored.
    pub taken_out: Vec<&'static str>,
}

/// Why a message cannot be taken as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotKeep {
    /// Java's `Integer.parseInt` fails there, and the answer is SYSTEM_ERROR.
    #[error("the property DELAY is \"{value}\": a delay level is a whole number, such as 3")]
    DelayLevel {
        /// What it is.
        value: String,
    },
    /// Something that this broker does not do.
    #[error("the property {name} cannot be kept: {why}; send it to a broker that serves it, or without the property")]
    Property {
        /// The property.
        name: &'static str,
        /// What would become of the message.
        why: &'static str,
        /// The response code.
        code: i32,
    },
}

impl CannotKeep {
    /// The response code.
    #[must_use]
    pub const fn code(&self) -> i32 {
        match self {
            Self::DelayLevel { .. } => code::SYSTEM_ERROR,
            Self::Property { code, .. } => *code,
        }
    }
}

/// The rows of [`PROPERTIES`] that a message is looked through for.
static UNCOMMON: LazyLock<Vec<(&'static str, Fate)>> = LazyLock::new(|| {
    let is_uncommon = |(_, fate): &&(&str, Fate)| matches!(fate, TakenOut | Refused(..));
    PROPERTIES.iter().filter(is_uncommon).copied().collect()
});

/// What a message with these properties asks. `is_retry`: it is sent to a retry topic.
///
/// # Errors
/// It asks for what cannot be read, or not be kept.
pub fn asked_of(properties: &str, is_retry: bool) -> Result<Asked, CannotKeep> {
    let mut asked = Asked { waits: true, ..Asked::default() };
    let mut delay = None;
    let mut refused = Vec::new();
    for part in properties.split(char::from(PROPERTY_SEPARATOR)) {
        let Some((name, value)) = part.split_once(char::from(NAME_VALUE_SEPARATOR)) else { continue };
        match name {
            // Where a name occurs twice the last one counts.
            property::DELAY => delay = Some(value),
            property::WAIT => asked.waits = value != "false",
            property::TRAN_MSG => asked.is_half = value.eq_ignore_ascii_case("true"),
            _ => match UNCOMMON.iter().find(|(uncommon, _)| *uncommon == name) {
                Some((name, TakenOut)) => asked.taken_out.push(name),
                Some(&(name, Refused(code, why))) if !value.is_empty() && !is_retry => refused.push((name, why, code)),
                _ => {}
            },
        }
    }
    if let Some(value) = delay {
        asked.delay_level = value.parse().map_err(|_| CannotKeep::DelayLevel { value: value.to_owned() })?;
    }
    for (name, why, code) in refused {
        // A level counts for more than a timer, which is taken out (`HookUtils.checkIfTimerMessage`).
        if asked.delay_level <= 0 || !TIMERS.contains(&name) {
            return Err(CannotKeep::Property { name, why, code });
        }
        asked.taken_out.push(name);
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(pairs: &[(&str, &str)]) -> Result<Asked, CannotKeep> {
        let text: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}\u{1}{value}")).collect();
        asked_of(&text.join("\u{2}"), false)
    }

    fn delay(value: &str) -> Option<i32> {
        ask(&[("TAGS", "a"), ("DELAY", value)]).ok().map(|asked| asked.delay_level)
    }

    #[test]
    fn a_delay_is_what_java_reads_as_a_number_or_an_error() {
        assert_eq!(asked_of("", false), Ok(Asked { waits: true, ..Asked::default() }));
        for (value, level) in [("3", 3), ("+3", 3), ("0", 0), ("-1", -1), ("007", 7), ("2147483647", i32::MAX)] {
            assert_eq!(delay(value), Some(level), "{value}");
        }
        for value in
            ["abc", "", " ", " 3", "3 ", "1.5", "1e1", "0x3", "3s", "2147483648", "99999999999999999999", "\u{663}"]
        {
            assert_eq!(delay(value), None, "{value:?}");
        }
        let error = ask(&[("DELAY", "abc")]).unwrap_err();
        assert_eq!(error.code(), code::SYSTEM_ERROR);
        assert_eq!(error.to_string(), "the property DELAY is \"abc\": a delay level is a whole number, such as 3");
        assert_eq!(ask(&[("DELAY", "x"), ("DELAY", "2")]).map(|asked| asked.delay_level), Ok(2), "the last one counts");
    }

    #[test]
    fn flags_are_read_as_java_reads_them() {
        let asked = ask(&[("WAIT", "false"), ("TRAN_MSG", "True"), ("POP_CK", "0 1 2")]).unwrap();
        assert_eq!(asked, Asked { delay_level: 0, is_half: true, waits: false, taken_out: vec!["POP_CK"] });
        let asked = ask(&[("WAIT", "FALSE"), ("TRAN_MSG", "yes")]).unwrap();
        assert!(asked.waits && !asked.is_half);
    }

    #[test]
    fn every_property_that_cannot_be_kept_is_refused_by_name_unless_the_message_is_a_retry() {
        let mut refused = 0;
        for (name, fate) in PROPERTIES {
            let asked = ask(&[("KEYS", "k"), (name, "1")]);
            match fate {
                Refused(code, why) => {
                    let error = asked.unwrap_err();
                    assert_eq!(error.code(), *code);
                    assert!(error.to_string().contains(name) && error.to_string().contains(why), "{error}");
                    let retry = asked_of(&format!("{name}\u{1}1"), true);
                    assert!(retry.is_ok_and(|asked| asked.taken_out.is_empty()), "{name}");
                    refused += 1;
                }
                TakenOut => assert_eq!(asked.unwrap().taken_out, [*name]),
                Kept | Carried => assert!(asked.is_ok(), "{name}"),
            }
        }
        assert_eq!(refused, 9);
        assert!(ask(&[("timer_deliver_ms", "1"), ("X", ""), ("TIMER_DELAY_MS", "")]).is_ok(), "the user's, or nothing");
    }

    #[test]
    fn a_level_takes_the_place_of_a_timer_but_of_nothing_else() {
        let asked = ask(&[("TIMER_DELAY_SEC", "9"), ("DELAY", "2"), ("__STARTDELIVERTIME", "9")]).unwrap();
        assert_eq!((asked.delay_level, asked.taken_out), (2, vec!["TIMER_DELAY_SEC", "__STARTDELIVERTIME"]));
        assert!(ask(&[("TIMER_DELAY_SEC", "9"), ("DELAY", "0")]).is_err());
        assert!(ask(&[("INNER_MULTI_DISPATCH", "%LMQ%a"), ("DELAY", "2"), ("TIMER_DELAY_SEC", "9")]).is_err());
    }

    /// The names are those of `MessageConst` in 5.3.3, of which 4.9.8's are a part.
    #[test]
    fn no_property_of_rocketmq_is_missing() {
        let message_const = "KEYS TAGS WAIT DELAY RETRY_TOPIC REAL_TOPIC REAL_QID TRAN_MSG PGROUP MIN_OFFSET MAX_OFFSET BUYER_ID \
            ORIGIN_MESSAGE_ID TRANSFER_FLAG CORRECTION_FLAG MQ2_FLAG RECONSUME_TIME MSG_REGION TRACE_ON UNIQ_KEY \
            EXTEND_UNIQ_INFO MAX_RECONSUME_TIMES CONSUME_START_TIME INNER_NUM INNER_BASE DUP_INFO \
            CHECK_IMMUNITY_TIME_IN_SECONDS TRAN_PREPARED_QUEUE_OFFSET __transactionId__ TRANSACTION_CHECK_TIMES INSTANCE_ID \
            CORRELATION_ID REPLY_TO_CLIENT TTL ARRIVE_TIME PUSH_REPLY_TIME CLUSTER MSG_TYPE POP_CK POP_CK_OFFSET 1ST_POP_TIME \
            __SHARDINGKEY PROPERTY_FORWARD_QUEUE_ID REDIRECT INNER_MULTI_DISPATCH INNER_MULTI_QUEUE_OFFSET TRACE_CONTEXT \
            TIMER_DELAY_SEC TIMER_DELIVER_MS __BORNHOST BORN_TIMESTAMP TIMER_ENQUEUE_MS TIMER_DEQUEUE_MS TIMER_ROLL_TIMES \
            TIMER_OUT_MS TIMER_DEL_UNIQKEY TIMER_DELAY_LEVEL TIMER_DELAY_MS __CRC32# DLQ_ORIGIN_TOPIC DLQ_ORIGIN_MESSAGE_ID";
        let mut names: Vec<&str> = message_const.split_whitespace().collect();
        // 5.4's two, and Alibaba Cloud's.
        names.extend(["__LITE_TOPIC", "_SYS_MSG_PRIORITY_", "__STARTDELIVERTIME"]);
        let mut known: Vec<&str> = PROPERTIES.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        known.sort_unstable();
        assert_eq!(known, names);
    }
}
