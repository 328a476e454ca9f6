//! Connections come to be: refusal, addresses, names, the queue of a listener.

use crate::answers::{address_of, kind};
use sim::{
    net::{TcpListener, TcpStream},
    time,
};
use std::{io::ErrorKind, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

conformance! {
    async fn a_closed_port_refuses(env: Env) {
        let listener = env.listen().await;
        let address = listener.local_addr().expect("bound");
        drop(listener);
        assert_eq!(kind(TcpStream::connect(address).await), ErrorKind::ConnectionRefused);
        // And again: a refusal leaves nothing behind.
        assert_eq!(kind(TcpStream::connect(address).await), ErrorKind::ConnectionRefused);
    }

    async fn both_ends_agree_on_their_addresses(env: Env) {
        let listener = env.listen().await;
        let address = listener.local_addr().expect("bound");
        let ours = TcpStream::connect(address).await.expect("connected");
        let (theirs, from) = listener.accept().await.expect("accepted");
        assert_eq!(ours.peer_addr().expect("open"), address);
        assert_eq!(theirs.local_addr().expect("open"), address);
        assert_eq!(ours.local_addr().expect("open"), from);
        assert_eq!(theirs.peer_addr().expect("open"), from);
        assert_eq!(from.ip(), env.here(0).ip());
        assert!(from.port() != 0 && from != address);
        let (read, write) = theirs.into_split();
        assert_eq!(read.peer_addr().expect("open"), from);
        assert_eq!(write.local_addr().expect("open"), address);
    }

    async fn the_address_of_the_peer_is_unknown_after_a_reset(env: Env) {
        let (mut ours, mut theirs) = env.connection().await;
        ours.write_all(b"unread").await.expect("written");
        let mut byte = [0];
        theirs.read_exact(&mut byte).await.expect("it arrived");
        let local = ours.local_addr().expect("open");
        drop(theirs);
        env.settle().await;
        assert_eq!(kind(ours.peer_addr()), ErrorKind::NotConnected);
        assert_eq!(ours.local_addr().expect("it keeps its own"), local);
    }

    async fn connections_of_one_host_have_ports_of_their_own(env: Env) {
        let listener = env.listen().await;
        let address = listener.local_addr().expect("bound");
        let mut streams = Vec::new();
        for _ in 0..20 {
            streams.push(TcpStream::connect(address).await.expect("connected"));
        }
        let mut ports: Vec<_> = streams.iter().map(|stream| stream.local_addr().expect("open").port()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 20);
        // They are accepted in the order in which they came.
        for stream in &streams {
            let (_, from) = listener.accept().await.expect("accepted");
            assert_eq!(from, stream.local_addr().expect("open"));
        }
    }

    async fn the_unspecified_address_is_this_host(env: Env) {
        let listener = TcpListener::bind(address_of([0, 0, 0, 0], 0)).await.expect("it listens");
        let port = listener.local_addr().expect("bound").port();
        assert!(listener.local_addr().expect("bound").ip().is_unspecified());
        let loopback = TcpStream::connect(address_of([127, 0, 0, 1], port)).await.expect("connected by loopback");
        let unspecified = TcpStream::connect(address_of([0, 0, 0, 0], port)).await.expect("connected");
        assert!(loopback.peer_addr().expect("open").ip().is_loopback());
        assert!(unspecified.peer_addr().expect("open").ip().is_loopback());
        let own = TcpStream::connect(env.here(port)).await.expect("connected by its own address");
        assert_eq!(own.peer_addr().expect("open").ip(), env.here(0).ip());
    }

    async fn a_connection_needs_no_accept_to_carry_data(env: Env) {
        let listener = env.listen().await;
        let mut ours = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
        ours.write_all(b"hello").await.expect("written");
        env.settle().await;
        let (mut theirs, _) = listener.accept().await.expect("accepted");
        let mut buffer = [0; 5];
        theirs.read_exact(&mut buffer).await.expect("it is there");
        assert_eq!(&buffer, b"hello");
    }

    async fn a_connection_closed_before_it_is_accepted_can_still_be_accepted_and_read(env: Env) {
        let listener = env.listen().await;
        let mut ours = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
        ours.write_all(b"hello").await.expect("written");
        drop(ours);
        env.settle().await;
        let (mut theirs, _) = listener.accept().await.expect("accepted");
        let mut bytes = Vec::new();
        theirs.read_to_end(&mut bytes).await.expect("it ends well");
        assert_eq!(bytes, b"hello");
    }

    async fn an_accept_that_is_given_up_loses_no_connection(env: Env) {
        let listener = env.listen().await;
        let address = listener.local_addr().expect("bound");
        assert!(time::timeout(Duration::from_millis(20), listener.accept()).await.is_err());
        let ours = TcpStream::connect(address).await.expect("connected");
        let (_, from) = listener.accept().await.expect("accepted");
        assert_eq!(from, ours.local_addr().expect("open"));
    }

    async fn a_full_queue_of_a_listener_lets_connects_wait_until_there_is_room(env: Env) {
        // tokio's `bind` listens with a backlog of 128. Linux's queue is full when it holds more than the backlog
        // (`sk_acceptq_is_full`), so that 129 connections fit; SYNs are dropped after that.
        let listener = env.listen().await;
        let address = listener.local_addr().expect("bound");
        let mut waiting = Vec::new();
        while let Ok(connected) = time::timeout(Duration::from_millis(900), TcpStream::connect(address)).await {
            waiting.push(connected.expect("connected"));
            // Until the handshake's last packet has arrived at the listener, which might let the next SYN overtake it.
            time::sleep(Duration::from_millis(5)).await;
            assert!(waiting.len() <= 1_500, "the queue has no end");
        }
        assert_eq!(waiting.len(), 129);
        let mut late = Box::pin(TcpStream::connect(address));
        assert!(time::timeout(Duration::from_millis(100), &mut late).await.is_err());
        for stream in &waiting[..10] {
            let (_, from) = listener.accept().await.expect("accepted");
            assert_eq!(from, stream.local_addr().expect("open"));
        }
        late.await.expect("its SYN was sent again");
    }

    async fn addresses_and_localhost_resolve(env: Env) {
        let address = env.there(4711);
        assert_eq!(sim::net::resolve(&address.to_string()).await.expect("an address"), [address]);
        let localhost = sim::net::resolve("localhost:80").await.expect("every machine has it");
        assert!(localhost.contains(&([127, 0, 0, 1], 80).into()), "{localhost:?}");
        for malformed in ["localhost", "localhost:", "localhost:http", "localhost:65536", ""] {
            assert_eq!(kind(sim::net::resolve(malformed).await), ErrorKind::InvalidInput, "{malformed:?}");
        }
    }
}
