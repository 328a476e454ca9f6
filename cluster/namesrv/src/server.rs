//! The running name server: listens, and looks for silent brokers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use remoting::RemotingServer;
use tokio::sync::oneshot;

use crate::config::NamesrvConfig;
use crate::kv_config::{KvConfig, KvConfigError};
use crate::processor::Processor;
use crate::witness::Witness;

/// Why a name server does not start.
#[derive(Debug, thiserror::Error)]
pub enum NamesrvError {
    /// The address cannot be bound.
    #[error("cannot listen on {addr}: {source}; another name server may run there, or set listenPort")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// `kvConfig.json` cannot be read.
    #[error(transparent)]
    KvConfig(#[from] KvConfigError),
    /// The request to stop cannot be waited for.
    #[error("cannot wait for the signal to stop: {0}")]
    Signal(io::Error),
    /// Connections are accepted no more although nobody has stopped the name server.
    #[error(
        "connections are no longer accepted, because of a panic that the log shows: the name server ends rather than refuse everyone"
    )]
    NotAccepting,
}

/// A running name server. Dropping it stops it at once.
#[derive(Debug)]
pub struct Namesrv {
    server: RemotingServer,
    /// Stops the scan when it is dropped.
    _scanning: oneshot::Sender<()>,
}

/// How long requests that are being handled may take when the server stops.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);

impl Namesrv {
    /// Starts a name server.
    ///
    /// # Errors
    /// [`NamesrvError`]: the address is taken, or the key-value configuration cannot be read.
    pub async fn start(config: NamesrvConfig) -> Result<Self, NamesrvError> {
        let kv_config = KvConfig::load(config.kv_config_path.clone()).await?;
        let witness = Witness::load(&config.kv_config_path).await?;
        let (addr, limits) = (config.listen, config.server.clone());
        let processor = Processor::new(config, kv_config, witness);
        let server = RemotingServer::bind(addr, Arc::new(processor.clone()), limits)
            .await
            .map_err(|source| NamesrvError::Listen { addr, source })?;
        let (scanning, stopped) = oneshot::channel();
        sim::task::spawn(scan(processor, stopped));
        tracing::info!(addr = %server.local_addr(), "name server started");
        Ok(Self { server, _scanning: scanning })
    }

    /// The address that is listened on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Stops in good order.
    pub async fn shutdown(self) {
        self.server.shutdown(SHUTDOWN_GRACE).await;
        tracing::info!("name server stopped");
    }

    /// Serves until the process is asked to terminate, then stops in good order.
    ///
    /// # Errors
    /// [`NamesrvError::Signal`] and [`NamesrvError::NotAccepting`].
    pub async fn run_until_terminated(self) -> Result<(), NamesrvError> {
        let ended = tokio::select! {
            biased;
            terminated = sim::signal::terminated() => terminated.map_err(NamesrvError::Signal),
            () = self.server.ended() => Err(NamesrvError::NotAccepting),
        };
        self.shutdown().await;
        ended
    }
}

/// Looks for silent brokers until the name server stops.
async fn scan(processor: Processor, mut stopped: oneshot::Receiver<()>) {
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => return,
            () = sim::time::sleep(processor.scan_interval()) => processor.expire_brokers(),
        }
    }
}
