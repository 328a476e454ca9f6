//! Ports: who may listen where, and what is left of a listener that is gone.

use crate::answers::{address_of, kind};
use sim::net::{TcpListener, TcpStream};
use std::{io::ErrorKind, net::SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn everywhere(port: u16) -> SocketAddr {
    address_of([0, 0, 0, 0], port)
}

fn loopback(port: u16) -> SocketAddr {
    address_of([127, 0, 0, 1], port)
}

conformance! {
    async fn port_0_is_any_free_port(env: Env) {
        let first = TcpListener::bind(env.here(0)).await.expect("it listens");
        let second = TcpListener::bind(env.here(0)).await.expect("it listens");
        let ports = [first, second].map(|listener| listener.local_addr().expect("bound").port());
        assert!(ports[0] != ports[1] && !ports.contains(&0), "{ports:?}");
    }

    async fn a_port_has_one_listener(env: Env) {
        let listener = TcpListener::bind(loopback(0)).await.expect("it listens");
        let port = listener.local_addr().expect("bound").port();
        assert_eq!(kind(TcpListener::bind(loopback(port)).await), ErrorKind::AddrInUse);
        assert_eq!(kind(TcpListener::bind(everywhere(port)).await), ErrorKind::AddrInUse);
        drop(listener);
        let listener = TcpListener::bind(everywhere(port)).await.expect("it is free again");
        assert_eq!(kind(TcpListener::bind(loopback(port)).await), ErrorKind::AddrInUse);
        assert_eq!(kind(TcpListener::bind(env.here(port)).await), ErrorKind::AddrInUse);
        drop(listener);
    }

    async fn different_addresses_of_one_host_may_share_a_port(_env: Env) {
        let first = TcpListener::bind(loopback(0)).await.expect("it listens");
        let port = first.local_addr().expect("bound").port();
        let second = TcpListener::bind(address_of([127, 0, 0, 2], port)).await.expect("it listens");
        let ours = TcpStream::connect(loopback(port)).await.expect("connected");
        let (_, from) = first.accept().await.expect("it is the first's");
        assert_eq!(from, ours.local_addr().expect("open"));
        drop(second);
    }

    async fn an_address_of_nobody_cannot_be_bound(_env: Env) {
        // 192.0.2.0/24 is for documentation (RFC 5737).
        assert_eq!(kind(TcpListener::bind(address_of([192, 0, 2, 1], 0)).await), ErrorKind::AddrNotAvailable);
    }

    async fn a_listener_that_goes_resets_what_waits_in_its_queue(env: Env) {
        let listener = env.listen().await;
        let address = listener.local_addr().expect("bound");
        let mut silent = TcpStream::connect(address).await.expect("connected");
        let mut talking = TcpStream::connect(address).await.expect("connected");
        talking.write_all(b"hello").await.expect("written");
        env.settle().await;
        drop(listener);
        env.settle().await;
        let mut buffer = [0; 8];
        assert_eq!(kind(silent.read(&mut buffer).await), ErrorKind::ConnectionReset);
        assert_eq!(kind(talking.read(&mut buffer).await), ErrorKind::ConnectionReset);
        assert_eq!(kind(TcpStream::connect(address).await), ErrorKind::ConnectionRefused);
    }

    async fn accepted_connections_outlive_their_listener(env: Env) {
        let listener = env.listen().await;
        let mut ours = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
        let (mut theirs, _) = listener.accept().await.expect("accepted");
        drop(listener);
        ours.write_all(b"hello").await.expect("written");
        let mut buffer = [0; 5];
        theirs.read_exact(&mut buffer).await.expect("it arrives");
        assert_eq!(&buffer, b"hello");
    }

    async fn a_server_can_listen_again_at_once_while_old_connections_live_or_wait(env: Env) {
        // Linux needs SO_REUSEADDR for this, which tokio sets. The server closes first, so that its end waits in TIME-WAIT.
        let listener = env.listen().await;
        let address = listener.local_addr().expect("bound");
        let mut closed = TcpStream::connect(address).await.expect("connected");
        let (theirs, _) = listener.accept().await.expect("accepted");
        drop(theirs);
        let mut byte = [0];
        assert_eq!(closed.read(&mut byte).await.expect("it ended well"), 0);
        drop(closed);
        let mut living = TcpStream::connect(address).await.expect("connected");
        let (mut theirs, _) = listener.accept().await.expect("accepted");
        drop(listener);
        env.settle().await;
        let listener = env.on_the_other_host(async move { TcpListener::bind(address).await }).await.expect("again");
        living.write_all(b"x").await.expect("written");
        theirs.read_exact(&mut byte).await.expect("the old connection lives");
        let ours = TcpStream::connect(address).await.expect("connected");
        let (_, from) = listener.accept().await.expect("accepted");
        assert_eq!(from, ours.local_addr().expect("open"));
    }

    async fn a_port_of_a_connection_is_not_given_to_a_listener(env: Env) {
        // Linux finds a port for `bind(0)` that nobody uses, unless every one is.
        let (ours, _theirs) = env.connection().await;
        let used = ours.local_addr().expect("open").port();
        for _ in 0..50 {
            let listener = TcpListener::bind(env.here(0)).await.expect("it listens");
            assert_ne!(listener.local_addr().expect("bound").port(), used);
        }
    }
}
