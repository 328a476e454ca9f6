//! The exchange on turmoil.

use crate::{BODY_BYTES, Exchange, HOSTS, SEED};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
};
use turmoil::{
    Builder,
    net::{TcpListener, TcpStream},
};

/// Runs one simulation on a thread of its own.
pub fn run(work: Exchange) {
    let thread = std::thread::spawn(move || {
        let mut simulation = Builder::new()
            .rng_seed(SEED)
            .tick_duration(Duration::from_millis(1))
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(10))
            .simulation_duration(Duration::from_secs(10_000))
            .build();
        let done = Arc::new(Semaphore::new(0));
        for number in 0..HOSTS {
            let done = Arc::clone(&done);
            simulation.client(format!("host-{number}"), async move {
                host(number, work, done).await;
                Ok(())
            });
        }
        simulation.run().expect("nothing fails");
    });
    thread.join().expect("nothing panics");
}

/// Ends when the clients of all hosts have ended, because turmoil runs for as long as one does.
async fn host(number: usize, work: Exchange, done: Arc<Semaphore>) {
    tokio::spawn(async { serve().await.expect("the network is sound") });
    tokio::time::sleep(Duration::from_millis(10)).await;
    for _ in 0..work.clients_per_host {
        let done = Arc::clone(&done);
        tokio::spawn(async move {
            ask(number, work).await.expect("the network is sound");
            done.add_permits(1);
        });
    }
    let clients = u32::try_from(HOSTS * work.clients_per_host).expect("a handful");
    drop(done.acquire_many(clients).await.expect("never closed"));
}

async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:7000").await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut body = [0; BODY_BYTES];
            // The peer may be gone when the last response is on its way: nothing more will be asked.
            while stream.read_exact(&mut body).await.is_ok() && stream.write_all(&body).await.is_ok() {}
        });
    }
}

async fn ask(number: usize, work: Exchange) -> io::Result<()> {
    let mut stream = TcpStream::connect(format!("host-{}:7000", (number + 1) % HOSTS)).await?;
    let mut body = [7; BODY_BYTES];
    for _ in 0..work.requests_per_client {
        stream.write_all(&body).await?;
        stream.read_exact(&mut body).await?;
        if !work.pause.is_zero() {
            tokio::time::sleep(work.pause).await;
        }
    }
    Ok(())
}
