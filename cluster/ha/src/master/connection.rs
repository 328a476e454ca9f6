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

use super::{
    Shared, apache, extended,
    places::{Place, Places},
};
use crate::{error::HaError, frame::REPORT_BYTES, handshake::EXTENDED_MAGIC, incoming::Incoming};

/// The most connections at a time; a master has a handful of slaves.
const CONNECTIONS_MAX: usize = 128;
/// When the system cannot accept a connection, it is asked again after this time.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The task of the connection that has a place, which ends with its owner. Gives the place's number.
struct Owned {
    number: u64,
    task: JoinHandle<()>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Future for Owned {
    type Output = u64;

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<u64> {
        let number = self.number;
        std::pin::Pin::new(&mut self.task).poll(context).map(|ended| {
            if let Err(error) = ended {
                tracing::error!(%error, "HA: a connection's task ended");
            }
            number
        })
    }
}

/// Accepts connections for ever; those that are open end with it.
pub(crate) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut places = Places::new(CONNECTIONS_MAX);
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(number) = open.next(), if !open.is_empty() => places.give_back(number),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match places.take(peer.ip()) {
                    Some((number, place)) => {
                        let task = task::spawn(serve(stream, peer, Arc::clone(&shared), place));
                        open.push(Owned { number, task });
                    }
                    None => tracing::warn!(%peer, "HA: {CONNECTIONS_MAX} slaves are connected, one more is closed at once"),
                },
                Err(error) => {
                    tracing::warn!(%error, "HA: cannot accept a connection");
                    sleep(ACCEPT_RETRY).await;
                }
            },
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>, place: Arc<Place>) {
    let ended = tokio::select! {
        biased;
        () = place.given_away() => Err(HaError::NoPlace),
        ended = converse(stream, peer, &shared, &place) => ended,
    };
    match ended {
        Ok(()) => tracing::debug!(%peer, "HA: connection ended"),
        Err(error @ (HaError::Closed | HaError::Io(_) | HaError::Replaced)) => {
            tracing::info!(%peer, %error, "HA: connection ended");
        }
        Err(error) => tracing::warn!(%peer, %error, "HA: connection closed"),
    }
}

async fn converse(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>, place: &Place) -> Result<(), HaError> {
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    let mut incoming = Incoming::new(read);
    let silence = shared.config.housekeeping_interval();
    let first = incoming.exactly(REPORT_BYTES, silence).await?;
    match first.first_chunk().map_or(-1, |bytes| i64::from_be_bytes(*bytes)) {
        EXTENDED_MAGIC => extended::serve(shared, incoming, write, peer, place).await,
        offset if offset >= 0 => apache::serve(shared, incoming, write, peer, place, PhysicalOffset(offset)).await,
        other => {
            Err(HaError::Nonsense(format!("its first 8 bytes are {other:#018x}, neither an offset nor our magic")))
        }
    }
}
