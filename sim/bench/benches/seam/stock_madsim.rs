//! The exchange on madsim as it comes, with its own network.

use crate::{BODY_BYTES, Exchange, HOSTS, SEED};
use madsim::{
    net::{TcpListener, TcpStream},
    runtime::{Handle, Runtime},
    task, time,
};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
};

/// Runs one simulation on a thread of its own.
pub fn run(work: Exchange) {
    let thread = std::thread::spawn(move || {
        let runtime = Runtime::with_seed_and_config(SEED, madsim::Config::default());
        runtime.block_on(async move {
            let done = Arc::new(Semaphore::new(0));
            let nodes = (0..HOSTS).map(|number| {
                let node = Handle::current().create_node().ip(address(number).parse().expect("an address")).build();
                node.spawn(host(number, work, Arc::clone(&done)));
                node.id()
            });
            let nodes = nodes.collect::<Vec<_>>();
            let clients = u32::try_from(HOSTS * work.clients_per_host).expect("a handful");
            drop(done.acquire_many(clients).await.expect("never closed"));
            // Tasks that are alive when the runtime is dropped are never freed.
            nodes.into_iter().for_each(|node| Handle::current().kill(node));
            time::sleep(Duration::from_millis(1)).await;
        });
    });
    thread.join().expect("nothing panics");
}

fn address(number: usize) -> String {
    format!("10.0.0.{}", number + 1)
}

async fn host(number: usize, work: Exchange, done: Arc<Semaphore>) {
    task::spawn(async { serve().await.expect("the network is sound") });
    time::sleep(Duration::from_millis(10)).await;
    for _ in 0..work.clients_per_host {
        let done = Arc::clone(&done);
        task::spawn(async move {
            ask(number, work).await.expect("the network is sound");
            done.add_permits(1);
        });
    }
    std::future::pending().await
}

async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:7000").await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        task::spawn(async move {
            let mut body = [0; BODY_BYTES];
            while stream.read_exact(&mut body).await.is_ok() {
                stream.write_all(&body).await.expect("the network is sound");
                stream.flush().await.expect("the network is sound");
            }
        });
    }
}

async fn ask(number: usize, work: Exchange) -> io::Result<()> {
    let mut stream = TcpStream::connect(format!("{}:7000", address((number + 1) % HOSTS))).await?;
    let mut body = [7; BODY_BYTES];
    for _ in 0..work.requests_per_client {
        stream.write_all(&body).await?;
        stream.flush().await?;
        stream.read_exact(&mut body).await?;
        if !work.pause.is_zero() {
            time::sleep(work.pause).await;
        }
    }
    Ok(())
}
