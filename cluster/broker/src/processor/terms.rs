//! On what terms each request is taken: how much it may bring, and whether it is answered at once or aside.
//!
//! One request takes no more than its share, whoever sends it. What is answered at once costs about as much as it takes to
//! read the request, because everybody waits meanwhile: a look into a table, a put, a read of one place. What has to look
//! through much (all queues of a topic, a chain of the index, a whole table) runs in the broker's [`Lane`](remoting::Lane),
//! away from the tasks that serve connections; and so does a request with a long body, whatever it asks. Codes that are not
//! listed run there too.
//!
//! Bodies in JSON are refused before they are read if they have too many bytes or objects: a body of empty objects takes a
//! hundred times as much memory as it has bytes; of too many bytes none is kept. Requests without a body of their own may bring
//! a short one, which nobody reads. The body of a send is the send's affair.

use protocol::{RemotingCommand, request_code as code, response_code};

/// Where a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runs {
    /// By the task of its connection.
    AtOnce,
    /// In the lane.
    Aside,
    /// In the lane if its body is longer than [`SHORT_BODY_BYTES`].
    AsideIfLong,
}

/// What a request may bring, and where it runs.
#[derive(Clone, Copy, Debug)]
struct Terms {
    runs: Runs,
    body_bytes_max: usize,
    objects_max: usize,
}

/// A body that is read in no time.
const SHORT_BODY_BYTES: usize = 16 << 10;
/// The body of a request that has none.
const NO_BODY_BYTES: usize = 64 << 10;
/// Subscriptions, groups and the like in one heartbeat.
const HEARTBEAT_OBJECTS_MAX: usize = 20_000;
/// Queues in one request.
const QUEUES_MAX: usize = 100_000;

impl Terms {
    const fn of(code: i32) -> Self {
        let (runs, body_bytes_max, objects_max) = match code {
            code::SEND_MESSAGE | code::SEND_MESSAGE_V2 | code::SEND_BATCH_MESSAGE => {
                (Runs::AtOnce, usize::MAX, usize::MAX)
            }
            code::HEART_BEAT => (Runs::AsideIfLong, 4 << 20, HEARTBEAT_OBJECTS_MAX),
            code::LOCK_BATCH_MQ | code::UNLOCK_BATCH_MQ => (Runs::AsideIfLong, 12 << 20, QUEUES_MAX + 1),
            code::CHECK_CLIENT_CONFIG | code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP | code::UPDATE_BROKER_CONFIG => {
                (Runs::AsideIfLong, 1 << 20, 1_000)
            }
            code::UPDATE_AND_CREATE_TOPIC_LIST | code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST => {
                (Runs::AsideIfLong, 4 << 20, HEARTBEAT_OBJECTS_MAX)
            }
            // They look at one place, or wait for others: the store, a file, a consumer, a name server.
            code::PULL_MESSAGE
            | code::LITE_PULL_MESSAGE
            | code::CONSUMER_SEND_MSG_BACK
            | code::UPDATE_CONSUMER_OFFSET
            | code::QUERY_CONSUMER_OFFSET
            | code::GET_MAX_OFFSET
            | code::GET_MIN_OFFSET
            | code::SEARCH_OFFSET_BY_TIMESTAMP
            | code::GET_EARLIEST_MSG_STORETIME
            | code::UNREGISTER_CLIENT
            | code::GET_CONSUMER_LIST_BY_GROUP
            | code::UPDATE_AND_CREATE_TOPIC
            | code::DELETE_TOPIC_IN_BROKER
            | code::CLEAN_UNUSED_TOPIC
            | code::DELETE_SUBSCRIPTIONGROUP
            | code::GET_CONSUMER_RUNNING_INFO
            | code::CONSUME_MESSAGE_DIRECTLY
            | code::GET_BROKER_CONFIG
            | code::GET_BROKER_RUNTIME_INFO
            | code::GET_BROKER_HA_STATUS
            | code::GET_HA_PROTOCOL_VERSION
            | code::MASTER_IS_BACK
            | code::GET_REPLICA_GROUP
            | code::REMOVE_REPLICA
            | code::BEGIN_HISTORY => (Runs::AtOnce, NO_BODY_BYTES, usize::MAX),
            code::LEAVE_REPLICA_GROUP => (Runs::AtOnce, 4 << 10, 64),
            _ => (Runs::Aside, 1 << 20, HEARTBEAT_OBJECTS_MAX),
        };
        Self { runs, body_bytes_max, objects_max }
    }
}

/// Whether a request is taken, and where it runs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    AtOnce,
    Aside,
    /// The answer.
    Not(RemotingCommand),
}

/// The answer to a request of this code whose body has too many bytes.
pub(crate) fn refuse(code: i32, body_bytes: usize) -> Option<RemotingCommand> {
    let most = Terms::of(code).body_bytes_max;
    (body_bytes > most).then(|| {
        let remark = format!("the body of request {code} has {body_bytes} bytes, at most {most} are taken");
        RemotingCommand::response(response_code::INVALID_PARAMETER).with_remark(remark)
    })
}

/// Looks at a request before it is read.
pub(crate) fn take(request: &RemotingCommand) -> Taken {
    let (code, bytes) = (request.code, request.body.len());
    if let Some(response) = refuse(code, bytes) {
        return Taken::Not(response);
    }
    let Terms { runs, objects_max, .. } = Terms::of(code);
    // Fewer bytes have no more objects than that.
    if objects_max < bytes {
        let objects = memchr::memchr_iter(b'{', &request.body).count();
        if objects > objects_max {
            let remark = format!("the body of request {code} has {objects} objects, at most {objects_max} are taken");
            return Taken::Not(RemotingCommand::response(response_code::INVALID_PARAMETER).with_remark(remark));
        }
    }
    match runs {
        Runs::AtOnce => Taken::AtOnce,
        Runs::AsideIfLong if bytes <= SHORT_BODY_BYTES => Taken::AtOnce,
        Runs::Aside | Runs::AsideIfLong => Taken::Aside,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(code: i32, body: impl Into<bytes::Bytes>) -> RemotingCommand {
        RemotingCommand::request(code, &()).with_body(body)
    }

    #[track_caller]
    fn assert_refused(request: &RemotingCommand, words: &str) {
        let Taken::Not(response) = take(request) else { panic!("it was taken") };
        assert_eq!(response.code, response_code::INVALID_PARAMETER);
        assert!(response.remark.as_deref().is_some_and(|remark| remark.contains(words)), "{:?}", response.remark);
    }

    #[test]
    fn a_request_that_brings_too_much_is_refused_before_it_is_read() {
        assert_refused(&request(code::HEART_BEAT, vec![b' '; (4 << 20) + 1]), "4194305 bytes, at most 4194304");
        let objects = "{}".repeat(HEARTBEAT_OBJECTS_MAX + 1);
        assert_refused(&request(code::HEART_BEAT, objects), "20001 objects, at most 20000");
        assert_refused(&request(code::LOCK_BATCH_MQ, "{},".repeat(QUEUES_MAX + 2)), "100002 objects");
        assert_refused(&request(code::PULL_MESSAGE, vec![0; NO_BODY_BYTES + 1]), "at most 65536");
        assert_refused(&request(-1, vec![0; (1 << 20) + 1]), "request -1");
        assert_eq!(take(&request(code::SEND_MESSAGE_V2, vec![b'{'; 1 << 24])), Taken::AtOnce);
    }

    #[test]
    fn what_may_take_long_runs_aside() {
        assert_eq!(take(&request(code::HEART_BEAT, "{}")), Taken::AtOnce);
        assert_eq!(take(&request(code::HEART_BEAT, vec![b' '; SHORT_BODY_BYTES + 1])), Taken::Aside);
        for code in [code::QUERY_MESSAGE, code::VIEW_MESSAGE_BY_ID, code::GET_CONSUME_STATS, code::GET_ALL_TOPIC_CONFIG]
        {
            assert_eq!(take(&request(code, "")), Taken::Aside, "{code}");
        }
        assert_eq!(take(&request(code::PULL_MESSAGE, "")), Taken::AtOnce);
        assert_eq!(take(&request(4711, "")), Taken::Aside, "nobody knows what it costs");
    }
}
