//! The message store of a broker: CommitLog, ConsumeQueues, checkpoint and configuration files, byte-compatible with the
//! store directory of Apache RocketMQ 4.9, and written for the crash.
//!
//! ```text
//! put ─► appender ─► commitlog/            one writer, one write for all pending puts
//!            │           │
//!            │           └─► flush         written → flushed: fdatasync, by timer or for its waiters
//!            ▼                 │
//!        dispatcher ◄──────────┘           releases what consumers may see: written, flushed, replicated
//!            │
//!            └─► consumequeue/ ─► get      units in memory first, flushed by timer, rebuilt from the log
//! ```
//!
//! | room | is |
//! |---|---|
//! | [`store`], [`put`], [`get`], [`lookup`] | what a broker calls |
//! | [`appender`], [`flush`], [`dispatch`], [`retention`], [`mending`] | the tasks behind it |
//! | [`commit_log`], [`consume_queue`], [`segment`], [`segment_dir`], [`open_files`] | the two series of files |
//! | [`room`] | what is reserved on the drive, and when no more is taken |
//! | [`index`] | messages by key |
//! | [`timeline`] | when records were stored, whatever the wall clock said |
//! | [`check`] | looking for damage without changing anything |
//! | [`config_file`], [`table_file`], [`sealed`], [`durable`] | topics.json and its siblings; durable changes of the directory tree |
//! | [`live_config`] | settings that change while the store is open |
//! | [`recovery`], [`checkpoint`], [`lock_file`], [`shown`] | what a crash leaves, and how it is made whole |
//! | [`replica`], [`replication`], [`history`] | a log that is copied, who confirmed it, and which master wrote what |
//!
//! What consumers see is the least of what is written, flushed (SYNC_FLUSH) and replicated (SYNC_MASTER with enough slaves).
//! Connections to other replicas are not the store's. Left out: DLedger, 5.x's BatchConsumeQueue and timers.

mod appender;
mod at_once;
pub mod check;
mod checkpoint;
mod commit_log;
mod config;
mod config_file;
mod consume_queue;
mod delete_when;
mod deleted_topics;
mod deletion;
mod dispatch;
mod durable;
mod error;
mod flush;
mod get;
mod history;
mod index;
mod live_config;
mod lock_file;
mod lookup;
mod mending;
mod open_files;
mod put;
mod recovery;
mod replica;
mod replication;
mod retention;
mod room;
mod sealed;
mod segment;
mod segment_dir;
mod shown;
mod state;
mod store;
mod table_file;
mod timeline;
mod watermark;

pub use commit_log::RawLog;
pub use config::{FlushDiskType, StoreConfig};
pub use config_file::ConfigFile;
pub use consume_queue::ConsumeQueueUnit;
pub use delete_when::{DeleteWhen, NotHours};
pub use dispatch::{DeliverTimestamp, DispatchRequest, MessageArrivingListener};
pub use error::StoreError;
pub use get::{GetMessageResult, GetMessageStatus};
pub use history::{CommonPoint, EpochEntry, LogHistory, common_point};
pub use index::QueryMessageResult;
pub use lookup::{BoundaryType, QueueBounds, Stored};
pub use put::{Appended, PutMessageResult, PutMessageStatus};
pub use recovery::{OpenOptions, RecoveryReport, Shown};
pub use replica::{CutError, RecordCutter, ReplicaAppend};
pub use replication::{Availability, Replication, SyncReplication};
pub use retention::Consumed;
pub use store::MessageStore;
pub use table_file::{LoadedTable, TableChange, TableFile};
pub use timeline::StoreTime;
