//! Headers of sending: SEND_MESSAGE, SEND_MESSAGE_V2, SEND_BATCH_MESSAGE, and a consumer's CONSUMER_SEND_MSG_BACK.

use super::fields::{FieldValue, command_header};
use super::{CommandHeader, HeaderError};
use crate::ext_fields::ExtFields;
use crate::newtypes::{PhysicalOffset, QueueOffset};

/// SEND_MESSAGE_V2 and SEND_BATCH_MESSAGE (`SendMessageRequestHeaderV2`), and SEND_MESSAGE read alike.
///
/// Writing gives the short names `a` to `n` of V2; for the long names of SEND_MESSAGE wrap it in
/// [`SendMessageRequestHeaderV1`]. Reading takes either: a field `a` tells V2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendMessageRequestHeader {
    /// The producer's group.
    pub producer_group: String,
    /// The topic to send to.
    pub topic: String,
    /// The topic whose configuration a new topic is copied from: `TBW102`.
    pub default_topic: String,
    /// How many queues the producer wishes for a new topic.
    pub default_topic_queue_nums: i32,
    /// The queue; negative leaves the choice to the broker.
    pub queue_id: i32,
    /// [`sysflag::message`](crate::sysflag::message) bits.
    pub sys_flag: i32,
    /// The producer's wall clock when it sent, in ms.
    pub born_timestamp: i64,
    /// The user's flag; RocketMQ only carries it.
    pub flag: i32,
    /// The encoded [`Properties`](crate::Properties).
    pub properties: Option<String>,
    /// How often the message was consumed in vain before.
    pub reconsume_times: Option<i32>,
    /// Unit mode.
    pub unit_mode: Option<bool>,
    /// After how many vain attempts the message goes to the dead letter queue.
    pub max_reconsume_times: Option<i32>,
    /// Whether the body is a batch.
    pub batch: Option<bool>,
    /// The broker name the producer believes it speaks to.
    pub broker_name: Option<String>,
}

/// The wire names of one version of the header, in the order of the struct's fields.
struct Names {
    header: &'static str,
    fields: [&'static str; 14],
}

const V1: Names = Names {
    header: "SendMessageRequestHeader",
    fields: [
        "producerGroup",
        "topic",
        "defaultTopic",
        "defaultTopicQueueNums",
        "queueId",
        "sysFlag",
        "bornTimestamp",
        "flag",
        "properties",
        "reconsumeTimes",
        "unitMode",
        "maxReconsumeTimes",
        "batch",
        "bname",
    ],
};

const V2: Names = Names {
    header: "SendMessageRequestHeaderV2",
    fields: ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n"],
};

impl SendMessageRequestHeader {
    fn write_as(&self, names: &Names, out: &mut ExtFields) {
        let [group, topic, default_topic, nums, queue, sys, born, flag, props, reconsumed, unit, max, batch, broker] =
            names.fields;
        self.producer_group.put(group, out);
        self.topic.put(topic, out);
        self.default_topic.put(default_topic, out);
        self.default_topic_queue_nums.put(nums, out);
        self.queue_id.put(queue, out);
        self.sys_flag.put(sys, out);
        self.born_timestamp.put(born, out);
        self.flag.put(flag, out);
        self.properties.put(props, out);
        self.reconsume_times.put(reconsumed, out);
        self.unit_mode.put(unit, out);
        self.max_reconsume_times.put(max, out);
        self.batch.put(batch, out);
        self.broker_name.put(broker, out);
    }

    fn read_as(names: &Names, fields: &ExtFields) -> Result<Self, HeaderError> {
        fn take<T: FieldValue>(fields: &ExtFields, names: &Names, index: usize) -> Result<T, HeaderError> {
            T::take(fields, names.header, names.fields[index])
        }
        Ok(Self {
            producer_group: take::<Option<_>>(fields, names, 0)?.unwrap_or_default(),
            topic: take(fields, names, 1)?,
            // These two are needed for a topic that does not exist only.
            default_topic: take::<Option<_>>(fields, names, 2)?.unwrap_or_default(),
            default_topic_queue_nums: take::<Option<_>>(fields, names, 3)?.unwrap_or_default(),
            queue_id: take(fields, names, 4)?,
            sys_flag: take(fields, names, 5)?,
            born_timestamp: take(fields, names, 6)?,
            flag: take(fields, names, 7)?,
            properties: take(fields, names, 8)?,
            reconsume_times: take(fields, names, 9)?,
            unit_mode: take(fields, names, 10)?,
            max_reconsume_times: take(fields, names, 11)?,
            batch: take(fields, names, 12)?,
            broker_name: take(fields, names, 13)?,
        })
    }
}

impl CommandHeader for SendMessageRequestHeader {
    fn write(&self, out: &mut ExtFields) {
        self.write_as(&V2, out);
    }

    fn read(fields: &ExtFields) -> Result<Self, HeaderError> {
        Self::read_as(if fields.contains("a") { &V2 } else { &V1 }, fields)
    }
}

/// SEND_MESSAGE with its long names (`SendMessageRequestHeader`), which the Go client sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendMessageRequestHeaderV1(pub SendMessageRequestHeader);

impl CommandHeader for SendMessageRequestHeaderV1 {
    fn write(&self, out: &mut ExtFields) {
        self.0.write_as(&V1, out);
    }

    fn read(fields: &ExtFields) -> Result<Self, HeaderError> {
        SendMessageRequestHeader::read_as(&V1, fields).map(Self)
    }
}

/// Field of every response to a send: the region for message traces.
pub const EXT_MSG_REGION: &str = "MSG_REGION";
/// Field of every response to a send: whether message traces are wanted.
pub const EXT_TRACE_ON: &str = "TRACE_ON";

command_header! {
    /// The response to a send (`SendMessageResponseHeader`).
    SendMessageResponseHeader {
        /// The [offset message id](crate::message_id); for a batch, all of them joined by commas.
        msg_id: String => "msgId";
        /// The queue it went to.
        queue_id: i32 => "queueId";
        /// Its place in the queue; of a batch, the first one's.
        queue_offset: QueueOffset => "queueOffset";
        /// The transaction's id, for a half message.
        transaction_id: Option<String> => "transactionId";
        /// 5.x: the unique id of a batch.
        batch_uniq_id: Option<String> => "batchUniqId";
    }

    /// CONSUMER_SEND_MSG_BACK (`ConsumerSendMsgBackRequestHeader`): consumption failed, try again later.
    ConsumerSendMsgBackRequestHeader {
        /// Where the message is in the broker's CommitLog.
        offset: PhysicalOffset => "offset";
        /// The consumer group.
        group: String => "group";
        /// Level of the delay; 0 leaves it to the broker (3 + attempts), negative sends to the dead letter queue.
        delay_level: i32 => "delayLevel";
        /// The message's id.
        origin_msg_id: Option<String> => "originMsgId";
        /// The message's topic.
        origin_topic: Option<String> => "originTopic";
        /// Unit mode.
        unit_mode: bool => "unitMode", or false;
        /// After how many vain attempts it goes to the dead letter queue.
        max_reconsume_times: Option<i32> => "maxReconsumeTimes";
        /// The broker name the consumer believes it speaks to.
        broker_name: Option<String> => "bname";
    }
}
