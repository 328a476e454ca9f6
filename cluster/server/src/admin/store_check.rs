//! `storeCheck`: looks through a store directory on this machine. See [`store::check`].

use std::path::PathBuf;

use clap::Args;
use store::StoreConfig;
use store::check::{CheckOptions, check};

use super::session::AdminError;

/// `storeCheck`
#[derive(Debug, Args)]
pub struct StoreCheck {
    /// The store directory (storePathRootDir)
    #[arg(short = 'p', long = "storePath", value_name = "DIRECTORY")]
    store_path: PathBuf,
    /// The size of a CommitLog file; otherwise what most of them have
    #[arg(long = "mappedFileSizeCommitLog", value_name = "BYTES")]
    mapped_file_size_commit_log: Option<u64>,
    /// The size of a ConsumeQueue file; otherwise what most of a queue have
    #[arg(long = "mappedFileSizeConsumeQueue", value_name = "BYTES")]
    mapped_file_size_consume_queue: Option<u64>,
    /// The hash slots of an index file; otherwise RocketMQ's, or found out from a small file
    #[arg(long = "maxHashSlotNum", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    max_hash_slot_num: Option<u32>,
}

impl StoreCheck {
    pub(super) async fn run(&self) -> Result<String, AdminError> {
        let options = CheckOptions {
            mapped_file_size_commit_log_bytes: self.mapped_file_size_commit_log,
            mapped_file_size_consume_queue_bytes: self
                .mapped_file_size_consume_queue
                .map(StoreConfig::consume_queue_file_bytes),
            max_hash_slot_num: self.max_hash_slot_num,
            ..CheckOptions::new(&self.store_path)
        };
        let report = check(options).await.map_err(|error| AdminError::Usage(error.to_string()))?;
        if report.is_clean() {
            Ok(report.to_string())
        } else {
            Err(AdminError::Damaged { damages: report.damages(), report: report.to_string() })
        }
    }
}
