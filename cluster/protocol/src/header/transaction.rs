//! Headers of transactional messages.

use super::fields::command_header;
use crate::newtypes::{PhysicalOffset, QueueOffset};

command_header! {
    /// END_TRANSACTION (`EndTransactionRequestHeader`), one-way from the producer.
    EndTransactionRequestHeader {
        /// 5.x: the topic of the message.
        topic: Option<String> => "topic";
        /// The producer's group.
        producer_group: String => "producerGroup";
        /// Place of the half message in the half topic's queue.
        tran_state_table_offset: QueueOffset => "tranStateTableOffset";
        /// Place of the half message in the CommitLog.
        commit_log_offset: PhysicalOffset => "commitLogOffset";
        /// A `TRANSACTION_*` value of [`sysflag::message`](crate::sysflag::message): 0 unknown, commit, or rollback.
        commit_or_rollback: i32 => "commitOrRollback";
        /// Whether this answers a check by the broker.
        from_transaction_check: bool => "fromTransactionCheck", or false;
        /// The message's UNIQ_KEY.
        msg_id: String => "msgId";
        /// The transaction's id.
        transaction_id: Option<String> => "transactionId";
        /// The broker name the producer believes it speaks to.
        broker_name: Option<String> => "bname";
    }

    /// CHECK_TRANSACTION_STATE (`CheckTransactionStateRequestHeader`), one-way from the broker; the body is the record.
    CheckTransactionStateRequestHeader {
        /// 5.x: the topic of the message.
        topic: Option<String> => "topic";
        /// Place of the half message in the half topic's queue.
        tran_state_table_offset: QueueOffset => "tranStateTableOffset";
        /// Place of the half message in the CommitLog.
        commit_log_offset: PhysicalOffset => "commitLogOffset";
        /// The message's UNIQ_KEY.
        msg_id: Option<String> => "msgId";
        /// The transaction's id.
        transaction_id: Option<String> => "transactionId";
        /// The half message's offset id.
        offset_msg_id: Option<String> => "offsetMsgId";
        /// The broker's name.
        broker_name: Option<String> => "bname";
    }
}
