//! The exchange on the simulated seam.

use crate::{BODY_BYTES, Exchange, HOSTS, SEED};
use sim::{
    net::{TcpListener, TcpStream, resolve},
    task, time,
    world::{HostSpec, SimulationSpec, simulate},
};
use std::{io, net::Ipv4Addr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
};

/// Runs one simulation; its trace hash, so that nothing is optimised away.
pub fn run(work: Exchange) -> u64 {
    let spec = SimulationSpec { seed: SEED, ..SimulationSpec::default() };
    let finished = simulate(spec, move |world| async move {
        let done = Arc::new(Semaphore::new(0));
        let hosts = (0..HOSTS).map(|number| {
            let done = Arc::clone(&done);
            let program = move || host(number, work, Arc::clone(&done));
            world.add_host(HostSpec::new(format!("host-{number}"), program))
        });
        let hosts = hosts.collect::<Vec<_>>();
        for host in hosts {
            world.boot(host);
        }
        let clients = u32::try_from(HOSTS * work.clients_per_host).expect("a handful");
        drop(done.acquire_many(clients).await.expect("never closed"));
    });
    finished.expect("nothing panics").trace_hash
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
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 7_000).into()).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        task::spawn(async move {
            let mut body = [0; BODY_BYTES];
            while stream.read_exact(&mut body).await.is_ok() {
                stream.write_all(&body).await.expect("the network is sound");
            }
        });
    }
}

async fn ask(number: usize, work: Exchange) -> io::Result<()> {
    let addresses = resolve(&format!("host-{}:7000", (number + 1) % HOSTS)).await?;
    let mut stream = TcpStream::connect(addresses[0]).await?;
    stream.set_nodelay(true)?;
    let mut body = [7; BODY_BYTES];
    for _ in 0..work.requests_per_client {
        stream.write_all(&body).await?;
        stream.read_exact(&mut body).await?;
        if !work.pause.is_zero() {
            time::sleep(work.pause).await;
        }
    }
    Ok(())
}
