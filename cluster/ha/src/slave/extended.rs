//! Following a master of ours: it compares the logs first, and says what is to be done.

use std::sync::atomic::AtomicI64;

use protocol::PhysicalOffset;
use sim::net::{OwnedWriteHalf, TcpStream};
use tokio::io::AsyncWriteExt;

use super::{
    Ended, Shared,
    following::{Reporter, Sink, take_frames},
};
use crate::{
    HaConfig,
    error::HaError,
    frame::{Frame, Wire},
    handshake::{Answer, EXTENDED_MAGIC, Hello, Reply, encode_message, read_message},
    incoming::Incoming,
    replica_log::{self, ReplicaLog},
    send_log::LogSender,
};

/// The most bytes that a master may ask to be compared: no more is ever needed.
const CHECK_BYTES_MAX: i64 = 1 << 20;

/// Follows until the connection ends.
pub(crate) async fn follow(shared: &Shared, stream: TcpStream) -> Result<Ended, HaError> {
    let (read, mut outgoing) = stream.into_split();
    let mut incoming = Incoming::new(read);
    let store = &*shared.store;
    let keeper = shared.keeper.get();
    let kept = keeper.map(|keeper| keeper.membership());
    let file_bytes = store.config().mapped_file_size_commit_log_bytes;
    let mut hello = Hello::new(&shared.identity, file_bytes, &store.history(), kept);
    hello.last_id = keeper.and_then(|keeper| keeper.last_id());
    let mut opening = EXTENDED_MAGIC.to_be_bytes().to_vec();
    opening.extend_from_slice(&encode_message(&hello)?);
    outgoing.write_all(&opening).await?;
    let from = loop {
        let answer: Answer = read_message(&mut incoming, shared.config.housekeeping_interval()).await?;
        match answer {
            Answer::Wait { why } => {
                tracing::debug!(%why, "HA: the master asks to wait");
                outgoing.write_all(&encode_message(&Reply::Waiting(true))?).await?;
            }
            Answer::Refuse { why } => {
                if let Some(keeper) = keeper {
                    keeper.refused(Some(&why)).await?;
                }
                return Err(HaError::Refused(why));
            }
            Answer::Check { from, to } => {
                let is_ours = hello.min_offset <= from && from <= to && to <= hello.max_offset;
                if !is_ours || to - from > CHECK_BYTES_MAX {
                    return Err(HaError::Nonsense(format!("it asks for the CRC of {from}..{to}")));
                }
                let crc = replica_log::crc(store, from, to).await?;
                outgoing.write_all(&encode_message(&Reply::Crc(crc))?).await?;
            }
            Answer::SendTail { from } => outgoing = send_tail(shared, outgoing, from, &hello).await?,
            Answer::Truncate { to } if hello.min_offset <= to && to < hello.max_offset => {
                return Ok(Ended::Truncate(to));
            }
            Answer::Truncate { to } => return Err(HaError::Nonsense(format!("it asks to cut the log at {to}"))),
            Answer::Stream { from, end, membership }
                if from == hello.max_offset || hello.min_offset == hello.max_offset =>
            {
                if let (Some(keeper), Some(membership)) = (keeper, membership) {
                    keeper.refused(None).await?;
                    keeper.adopt(membership, end.filter(|end| hello.max_offset < *end)).await?;
                }
                break from;
            }
            Answer::Stream { from, .. } => {
                let end = hello.max_offset;
                return Err(HaError::Nonsense(format!("it goes on at {from}, our log ends at {end}")));
            }
        }
    };
    tracing::info!(%from, "HA: following the master");
    {
        let mut status = shared.status();
        (status.connected, status.is_v1, status.last_error, status.received) = (true, false, None, hello.max_offset);
    }
    let mut log = Log(ReplicaLog::new(store, from, false));
    let mut reporter = Reporter::new(shared, outgoing);
    // Before the first byte there is nothing to vouch for, and the master wants to know that we follow.
    reporter.open_following(hello.max_offset).await?;
    let Err(error) = take_frames(shared, &mut incoming, reporter, Wire::Extended, &mut log).await;
    // The next connection begins where the log ends then. How the writing went, the store knows.
    let _ = log.0.finish().await;
    Err(error)
}

/// Gives the master the end of our log that it has lost.
async fn send_tail(
    shared: &Shared,
    outgoing: OwnedWriteHalf,
    from: PhysicalOffset,
    hello: &Hello,
) -> Result<OwnedWriteHalf, HaError> {
    let (min, end) = (hello.min_offset, hello.max_offset);
    if from < min || from > end {
        return Err(HaError::Nonsense(format!("it asks for our log from {from}, which is {min}..{end}")));
    }
    tracing::info!(%from, to = %end, "HA: giving the master the end of the log that it has lost");
    let position = AtomicI64::new(from.0);
    let config = HaConfig { ha_flow_control_enable: false, ..shared.config.clone() };
    LogSender::new(&shared.store, &config, Wire::Extended, outgoing, &position).run_to(end).await
}

/// What comes is verified before it is sent.
struct Log<'a>(ReplicaLog<'a>);

impl Sink for Log<'_> {
    async fn take(&mut self, frame: &Frame) -> Result<(), HaError> {
        self.0.take(frame).await
    }

    async fn write(&mut self) -> Result<(), HaError> {
        self.0.write().await.map(|_| ())
    }

    async fn written(&mut self) -> Result<(), HaError> {
        self.0.written().await
    }

    fn verified(&self) -> PhysicalOffset {
        PhysicalOffset(i64::MAX)
    }
}
