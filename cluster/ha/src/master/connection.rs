//! One slave's connection, from its first bytes on.
//!
//! The first 8 bytes tell slaves of ours from Apache's: those open with the magic, these with an offset. Whatever else comes
//! is nonsense: a line of log, and the end of the connection; others do not notice.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::stream::{FuturesUnordered, StreamExt};
use protocol::PhysicalOffset;
use sim::{
    net::{TcpListener, TcpStream},
    task::{self, JoinHandle},
    time::sleep,
};

use super::{Shared, apache, extended};
use crate::{error::HaError, frame::REPORT_BYTES, handshake::EXTENDED_MAGIC, incoming::Incoming};

/// The most connections at a time; a master has a handful of slaves.
const CONNECTIONS_MAX: usize = 128;
/// When the system cannot accept a connection, it is asked again after this time.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A task that ends with its owner.
struct Owned(JoinHandle<()>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Future for Owned {
    type Output = ();

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        std::pin::Pin::new(&mut self.0).poll(context).map(|ended| {
            if let Err(error) = ended {
                tracing::error!(%error, "HA: a connection's task ended");
            }
        })
    }
}

/// Accepts connections for ever; those that are open end with it.
pub(crate) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = open.next(), if !open.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((_, peer)) if open.len() >= CONNECTIONS_MAX => {
                    tracing::warn!(%peer, "HA: {CONNECTIONS_MAX} connections are open, one more is closed at once");
                }
                Ok((stream, peer)) => open.push(Owned(task::spawn(serve(stream, peer, Arc::clone(&shared))))),
                Err(error) => {
                    tracing::warn!(%error, "HA: cannot accept a connection");
                    sleep(ACCEPT_RETRY).await;
                }
            },
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    match converse(stream, peer, &shared).await {
        Ok(()) => tracing::debug!(%peer, "HA: connection ended"),
        Err(error @ (HaError::Closed | HaError::Io(_) | HaError::Replaced)) => {
            tracing::info!(%peer, %error, "HA: connection ended");
        }
        Err(error) => tracing::warn!(%peer, %error, "HA: connection closed"),
    }
}

async fn converse(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) -> Result<(), HaError> {
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    let mut incoming = Incoming::new(read);
    let silence = shared.config.housekeeping_interval();
    let first = incoming.exactly(REPORT_BYTES, silence).await?;
    match first.first_chunk().map_or(-1, |bytes| i64::from_be_bytes(*bytes)) {
        EXTENDED_MAGIC => extended::serve(shared, incoming, write, peer).await,
        offset if offset >= 0 => apache::serve(shared, incoming, write, peer, PhysicalOffset(offset)).await,
        other => {
            Err(HaError::Nonsense(format!("its first 8 bytes are {other:#018x}, neither an offset nor our magic")))
        }
    }
}
