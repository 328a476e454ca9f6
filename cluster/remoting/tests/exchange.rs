//! Requests and responses between a client and a server: in both directions, out of order, late, one-way, and lost.

mod support;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use protocol::{RemotingCommand, SerializeType, frame};
use remoting::handler::NoRequests;
use remoting::{
    Channel, ChannelId, ClientConfig, CloseReason, RemotingClient, RemotingError, RemotingServer, Reply,
    RequestHandler, ServerConfig, request_code_not_supported,
};
use sim::net::TcpStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};

/// Answers at once with the request's body.
const ECHO: i32 = 1;
/// Answers when [`RELEASE`] comes.
const HOLD: i32 = 2;
/// Answers all that is held.
const RELEASE: i32 = 3;
/// Answered through the channel, from another task.
const LATE: i32 = 4;
/// Asks the client [`ECHO`] and answers with what it said.
const ASK_BACK: i32 = 5;
/// The server closes the channel.
const HANG_UP: i32 = 6;
/// Answers with how many one-way requests came.
const COUNT: i32 = 7;
/// Pushes 1 MiB one-way requests until the channel refuses.
const FLOOD: i32 = 8;
#[cfg(feature = "real")]
const PANIC: i32 = 9;

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(50);

struct Service {
    release: Arc<Notify>,
    held: AtomicU32,
    oneways: AtomicU32,
    closed: mpsc::UnboundedSender<ChannelId>,
    flooded: Arc<Mutex<Option<RemotingError>>>,
}

fn answer(body: impl Into<Bytes>) -> RemotingCommand {
    RemotingCommand::response(0).with_body(body)
}

fn request(code: i32) -> RemotingCommand {
    RemotingCommand::request(code, &())
}

impl RequestHandler for Service {
    fn handle(&self, channel: &Channel, request: RemotingCommand) -> Reply {
        if request.is_oneway() {
            self.oneways.fetch_add(1, Ordering::Relaxed);
            // Must be dropped by the connection.
            return answer("a response to a one-way request").into();
        }
        let channel = channel.clone();
        match request.code {
            ECHO => answer(request.body).into(),
            HOLD => {
                self.held.fetch_add(1, Ordering::Relaxed);
                let released = Arc::clone(&self.release).notified_owned();
                Reply::later(async move {
                    released.await;
                    Some(answer("held"))
                })
            }
            RELEASE => {
                self.release.notify_waiters();
                answer("released").into()
            }
            LATE => {
                sim::task::spawn(async move {
                    sim::time::sleep(SHORT).await;
                    channel.send(answer("late").in_reply_to(&request)).expect("the channel is open");
                });
                Reply::Elsewhere
            }
            ASK_BACK => Reply::later(async move {
                let asked = RemotingCommand::request(ECHO, &()).with_body("from the server");
                Some(answer(channel.invoke(asked, LONG).await.expect("the client answers").body))
            }),
            HANG_UP => {
                channel.close();
                Reply::Elsewhere
            }
            COUNT => answer(self.oneways.load(Ordering::Relaxed).to_string()).into(),
            FLOOD => {
                let refused = loop {
                    let push = RemotingCommand::request(ECHO, &()).with_body(vec![0; 1024 * 1024]);
                    if let Err(error) = channel.invoke_oneway(push) {
                        break error;
                    }
                };
                *self.flooded.lock().expect("not poisoned") = Some(refused);
                Reply::Elsewhere
            }
            #[cfg(feature = "real")]
            PANIC => panic!("as asked"),
            code => request_code_not_supported(code).into(),
        }
    }

    fn on_close(&self, channel: &Channel) {
        assert!(!channel.is_open());
        // The test may have ended.
        let _ = self.closed.send(channel.id());
    }
}

/// Answers the server's [`ECHO`].
struct ClientSide;

impl RequestHandler for ClientSide {
    fn handle(&self, _channel: &Channel, request: RemotingCommand) -> Reply {
        answer(request.body).into()
    }
}

struct Setup {
    server: RemotingServer,
    service: Arc<Service>,
    client: RemotingClient,
    addr: String,
    closed: mpsc::UnboundedReceiver<ChannelId>,
}

async fn set_up_with(server_config: ServerConfig, client_config: ClientConfig) -> Setup {
    let (sender, closed) = mpsc::unbounded_channel();
    let service = Arc::new(Service {
        release: Arc::default(),
        held: AtomicU32::new(0),
        oneways: AtomicU32::new(0),
        closed: sender,
        flooded: Arc::default(),
    });
    let server = RemotingServer::bind(loopback(0), Arc::clone(&service), server_config).await.expect("bound");
    let addr = server.local_addr().to_string();
    Setup { server, service, client: RemotingClient::with_handler(client_config, Arc::new(ClientSide)), addr, closed }
}

async fn set_up() -> Setup {
    set_up_with(ServerConfig::default(), ClientConfig::default()).await
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// The next frame from a raw connection; `None` at its end.
async fn read_frame(stream: &mut TcpStream, buffer: &mut BytesMut) -> Option<RemotingCommand> {
    loop {
        if let Some(command) = frame::decode(buffer).expect("a well-formed frame") {
            return Some(command);
        }
        match stream.read_buf(buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

fn encoded(command: &RemotingCommand) -> BytesMut {
    let mut bytes = BytesMut::new();
    frame::encode(command, &mut bytes).expect("it is short");
    bytes
}

#[test]
fn a_request_gets_its_response_in_its_own_encoding() {
    support::run(|| async {
        let setup = set_up().await;
        for serialize_type in [SerializeType::Json, SerializeType::RocketMq] {
            let mut request = request(ECHO).with_body("hello");
            request.serialize_type = serialize_type;
            let response = setup.client.invoke(&setup.addr, request, LONG).await.expect("answered");
            assert_eq!((response.code, &response.body[..], response.is_response()), (0, &b"hello"[..], true));
            assert_eq!(response.serialize_type, serialize_type);
        }
        let response = setup.client.invoke(&setup.addr, request(4711), LONG).await.expect("answered");
        assert_eq!((response.code, response.remark.as_deref()), (3, Some(" request type 4711 not supported")));
    });
}

#[test]
fn a_request_that_waits_does_not_hold_up_those_behind_it() {
    support::run(|| async {
        let setup = set_up().await;
        let mut held = Vec::new();
        for _ in 0..3 {
            let (client, addr) = (setup.client.clone(), setup.addr.clone());
            held.push(sim::task::spawn(async move { client.invoke(&addr, request(HOLD), LONG).await }));
        }
        while setup.service.held.load(Ordering::Relaxed) < 3 {
            setup.client.invoke(&setup.addr, request(ECHO), LONG).await.expect("answered");
        }
        setup.client.invoke(&setup.addr, request(RELEASE), LONG).await.expect("answered");
        for held in held {
            assert_eq!(&held.await.expect("no panic").expect("answered").body[..], b"held");
        }
    });
}

#[test]
fn a_response_may_come_late_and_from_another_task() {
    support::run(|| async {
        let setup = set_up().await;
        let late = setup.client.invoke(&setup.addr, request(LATE), LONG).await.expect("answered");
        assert_eq!(&late.body[..], b"late");
    });
}

#[test]
fn both_ends_may_ask() {
    support::run(|| async {
        let setup = set_up().await;
        let response = setup.client.invoke(&setup.addr, request(ASK_BACK), LONG).await.expect("answered");
        assert_eq!(&response.body[..], b"from the server");
    });
}

#[test]
fn one_way_requests_get_no_response() {
    support::run(|| async {
        let setup = set_up().await;
        for _ in 0..5 {
            setup.client.invoke_oneway(&setup.addr, request(ECHO)).await.expect("sent");
        }
        let count = setup.client.invoke(&setup.addr, request(COUNT), LONG).await.expect("answered");
        assert_eq!(&count.body[..], b"5");

        let mut stream = TcpStream::connect(setup.server.local_addr()).await.expect("connected");
        let mut oneway = request(ECHO);
        oneway.mark_oneway();
        stream.write_all(&encoded(&oneway)).await.expect("written");
        stream.write_all(&encoded(&request(COUNT).with_body("x"))).await.expect("written");
        let first = read_frame(&mut stream, &mut BytesMut::new()).await.expect("a response");
        assert_eq!(&first.body[..], b"6");
    });
}

#[test]
fn large_bodies_pass_whole_through_narrow_queues() {
    support::run(|| async {
        let server = ServerConfig { queued_bytes_high: 64 * 1024, in_flight_max: 4, ..Default::default() };
        let client = ClientConfig { queued_bytes_high: 64 * 1024, ..Default::default() };
        let setup = set_up_with(server, client).await;
        let mut tasks = Vec::new();
        for number in 0..64u8 {
            let (client, addr) = (setup.client.clone(), setup.addr.clone());
            tasks.push(sim::task::spawn(async move {
                let body = vec![number; 1024 * usize::from(number) * 4];
                let response = client.invoke(&addr, request(ECHO).with_body(body.clone()), LONG).await;
                assert!(response.expect("answered").body == body);
            }));
        }
        for task in tasks {
            task.await.expect("no panic");
        }
    });
}

#[test]
fn a_time_out_is_told_and_a_silent_connection_is_replaced() {
    support::run(|| async {
        let mut setup = set_up().await;
        setup.client.invoke(&setup.addr, request(ECHO), LONG).await.expect("answered");
        let error = setup.client.invoke(&setup.addr, request(HOLD), SHORT).await.expect_err("nobody releases it");
        assert_eq!(error, RemotingError::Timeout { addr: setup.addr.clone(), code: HOLD, timeout: SHORT });
        assert!(error.may_have_been_sent());
        assert!(setup.closed.recv().await.is_some(), "the silent connection was closed");
        setup.client.invoke(&setup.addr, request(ECHO), LONG).await.expect("answered on a new connection");
    });
}

#[test]
fn a_time_out_leaves_a_connection_that_lives() {
    support::run(|| async {
        let mut setup = set_up().await;
        let channel = setup.client.channel(&setup.addr, LONG).await.expect("connected");
        let (client, addr) = (setup.client.clone(), setup.addr.clone());
        let held = sim::task::spawn(async move { client.invoke(&addr, request(HOLD), SHORT).await });
        while !held.is_finished() {
            setup.client.invoke(&setup.addr, request(ECHO), LONG).await.expect("answered");
        }
        held.await.expect("no panic").expect_err("nobody releases it");
        assert!(channel.is_open());
        // The response that comes too late is for nobody.
        setup.client.invoke(&setup.addr, request(RELEASE), LONG).await.expect("answered");
        setup.client.invoke(&setup.addr, request(ECHO), LONG).await.expect("answered");
        assert!(setup.closed.try_recv().is_err());
    });
}

#[test]
fn a_broken_connection_fails_what_waits_at_once() {
    support::run(|| async {
        let mut setup = set_up().await;
        let (client, addr) = (setup.client.clone(), setup.addr.clone());
        let held = sim::task::spawn(async move { client.invoke(&addr, request(HOLD), LONG).await });
        let error = setup.client.invoke(&setup.addr, request(HANG_UP), LONG).await.expect_err("it hangs up");
        assert!(matches!(error, RemotingError::Closed { reason: CloseReason::Peer, .. }), "{error}");
        assert!(error.may_have_been_sent());
        held.await.expect("no panic").expect_err("the connection is gone");
        assert!(setup.closed.recv().await.is_some());
        setup.client.invoke(&setup.addr, request(ECHO), LONG).await.expect("answered on a new connection");
    });
}

/// A connection on which all of `requests` has been sent, and a FIN behind it.
async fn half_closed(setup: &Setup, requests: &[u8]) -> TcpStream {
    let mut stream =
        TcpStream::connect(setup.addr.parse::<SocketAddr>().expect("an address")).await.expect("connected");
    stream.write_all(requests).await.expect("it is read");
    stream.shutdown().await.expect("nobody has closed it");
    stream
}

#[test]
fn who_sends_nothing_more_is_answered_what_it_has_asked() {
    support::run(|| async {
        let mut setup = set_up().await;
        let mut requests = BytesMut::new();
        let large = vec![5; 3 << 20];
        for (opaque, code) in [(1, HOLD), (2, LATE), (3, ECHO), (4, HOLD)] {
            let mut asked = request(code).with_body(if code == ECHO { large.clone() } else { Vec::new() });
            asked.opaque = opaque;
            requests.extend_from_slice(&encoded(&asked));
        }
        // What is no whole request is none.
        requests.extend_from_slice(&encoded(&request(ECHO).with_body(vec![0; 100_000]))[..60_000]);
        let mut stream = half_closed(&setup, &requests).await;
        let mut buffer = BytesMut::new();
        for (opaque, body) in [(3, &large[..]), (2, b"late")] {
            let response = read_frame(&mut stream, &mut buffer).await.expect("answered");
            assert!(response.opaque == opaque && response.body == body, "{}", response.opaque);
        }
        assert!(setup.closed.try_recv().is_err(), "two are still held");
        let released = setup.client.invoke(&setup.addr, request(RELEASE), LONG).await.expect("answered");
        assert_eq!(released.body, "released");
        let mut held = Vec::new();
        for _ in 0..2 {
            let response = read_frame(&mut stream, &mut buffer).await.expect("answered");
            assert_eq!(response.body, "held");
            held.push(response.opaque);
        }
        held.sort_unstable();
        assert_eq!(held, [1, 4]);
        assert!(read_frame(&mut stream, &mut buffer).await.is_none(), "all is answered");
        setup.closed.recv().await.expect("the handler is told");
    });
}

#[test]
fn who_goes_while_it_is_answered_leaves_nothing_behind() {
    support::run(|| async {
        let mut setup = set_up().await;
        let mut requests = BytesMut::new();
        for code in [HOLD, LATE, ECHO, HOLD] {
            requests.extend_from_slice(&encoded(&request(code).with_body(vec![0; 100])));
        }
        drop(half_closed(&setup, &requests).await);
        setup.closed.recv().await.expect("it is noticed by what is written to it");
        setup.client.invoke(&setup.addr, request(RELEASE), LONG).await.expect("others are served");
    });
}

#[cfg(not(feature = "real"))]
#[test]
fn who_sends_nothing_more_is_not_kept_for_ever() {
    support::run(|| async {
        let mut setup = set_up().await;
        let _held = half_closed(&setup, &encoded(&request(HOLD))).await;
        let begin = sim::time::Instant::now();
        setup.closed.recv().await.expect("it has ended");
        assert!(begin.elapsed() < Duration::from_secs(31), "{:?}", begin.elapsed());
        assert_eq!(setup.service.held.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_closed_port_is_told_to_all_that_wait_and_nothing_was_sent() {
    support::run(|| async {
        let setup = set_up().await;
        setup.server.shutdown(SHORT).await;
        let mut tasks = Vec::new();
        for _ in 0..4 {
            let (client, addr) = (setup.client.clone(), setup.addr.clone());
            tasks.push(sim::task::spawn(async move { client.invoke(&addr, request(ECHO), LONG).await }));
        }
        for task in tasks {
            let error = task.await.expect("no panic").expect_err("nobody listens");
            assert!(
                matches!(&error, RemotingError::Connect { addr, code: ECHO, .. } if *addr == setup.addr),
                "{error}"
            );
            assert!(!error.may_have_been_sent());
        }
        let error = setup.client.invoke("no port", request(ECHO), LONG).await.expect_err("no address");
        assert!(matches!(error, RemotingError::Connect { .. }), "{error}");
        setup.client.shutdown();
        let error = setup.client.invoke(&setup.addr, request(ECHO), LONG).await.expect_err("shut down");
        assert!(matches!(error, RemotingError::Connect { .. }), "{error}");
    });
}

#[test]
fn a_malformed_frame_closes_its_channel_and_the_server_lives() {
    support::run(|| async {
        let mut setup = set_up().await;
        let malformed: [&[u8]; 4] = [
            b"GET / HTTP/1.1\r\n\r\n",
            &[0, 0, 0, 2, 0, 0],
            &[0, 0, 0, 8, 9, 0, 0, 4, b'n', b'o', b'n', b'e'],
            &[0, 0, 0, 8, 0, 0, 0, 4, b'n', b'o', b'n', b'e'],
        ];
        for bytes in malformed {
            let mut stream = TcpStream::connect(setup.server.local_addr()).await.expect("connected");
            stream.write_all(bytes).await.expect("written");
            assert!(read_frame(&mut stream, &mut BytesMut::new()).await.is_none(), "{bytes:?}");
            assert!(setup.closed.recv().await.is_some());
        }
        setup.client.invoke(&setup.addr, request(ECHO), LONG).await.expect("answered");
    });
}

#[test]
fn a_malformed_frame_from_a_server_fails_what_waits() {
    support::run(|| async {
        let listener = sim::net::TcpListener::bind(loopback(0)).await.expect("bound");
        let addr = listener.local_addr().expect("bound").to_string();
        let server = sim::task::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("accepted");
            read_frame(&mut stream, &mut BytesMut::new()).await.expect("a request");
            stream.write_all(&[0xff; 64]).await.expect("written");
            // Wait for the other end's close.
            assert!(read_frame(&mut stream, &mut BytesMut::new()).await.is_none());
        });
        let client = RemotingClient::new(ClientConfig::default());
        let error = client.invoke(&addr, request(ECHO), LONG).await.expect_err("nonsense");
        assert!(matches!(error, RemotingError::Decode { code: ECHO, .. }), "{error}");
        server.await.expect("no panic");
    });
}

#[test]
fn an_idle_channel_is_closed_by_the_server() {
    support::run(|| async {
        let config = ServerConfig { channel_idle_max: SHORT, ..Default::default() };
        let mut setup = set_up_with(config, ClientConfig::default()).await;
        setup.client.invoke(&setup.addr, request(ECHO), LONG).await.expect("answered");
        assert!(setup.closed.recv().await.is_some());
        while setup.client.is_connected(&setup.addr) {
            sim::time::sleep(SHORT).await;
        }
        setup.client.invoke(&setup.addr, request(ECHO), LONG).await.expect("answered on a new connection");
    });
}

#[test]
fn an_idle_channel_is_closed_by_the_client() {
    support::run(|| async {
        let config = ClientConfig { channel_idle_max: SHORT, ..Default::default() };
        let mut setup = set_up_with(ServerConfig::default(), config).await;
        setup.client.invoke(&setup.addr, request(ECHO), LONG).await.expect("answered");
        assert!(setup.closed.recv().await.is_some());
        assert!(!setup.client.is_connected(&setup.addr));
    });
}

#[test]
fn a_peer_that_does_not_read_is_closed() {
    support::run(|| async {
        let config = ServerConfig { queued_bytes_max: 8 * 1024 * 1024, ..Default::default() };
        let mut setup = set_up_with(config, ClientConfig::default()).await;
        let mut stream = TcpStream::connect(setup.server.local_addr()).await.expect("connected");
        stream.write_all(&encoded(&request(FLOOD))).await.expect("written");
        assert!(setup.closed.recv().await.is_some());
        let refused = setup.service.flooded.lock().expect("not poisoned").take().expect("it was refused");
        assert!(matches!(refused, RemotingError::SendRequest { .. }), "{refused}");
        assert!(refused.to_string().contains("does not read"), "{refused}");
        setup.client.invoke(&setup.addr, request(ECHO), LONG).await.expect("the server lives");
    });
}

#[test]
fn shutdown_answers_what_is_being_handled() {
    support::run(|| async {
        let mut setup = set_up().await;
        let (client, addr) = (setup.client.clone(), setup.addr.clone());
        let late = sim::task::spawn(async move { client.invoke(&addr, request(HOLD), LONG).await });
        while setup.service.held.load(Ordering::Relaxed) == 0 {
            setup.client.invoke(&setup.addr, request(ECHO), LONG).await.expect("answered");
        }
        let release = Arc::clone(&setup.service.release);
        sim::task::spawn(async move {
            sim::time::sleep(SHORT).await;
            release.notify_waiters();
        });
        setup.server.shutdown(LONG).await;
        assert_eq!(&late.await.expect("no panic").expect("answered before the close").body[..], b"held");
        assert!(setup.closed.recv().await.is_some());
        TcpStream::connect(setup.server.local_addr()).await.expect_err("nobody listens");
    });
}

#[test]
fn the_next_name_server_is_asked_when_one_fails() {
    support::run(|| async {
        let setup = set_up().await;
        let gone =
            RemotingServer::bind(loopback(0), Arc::new(NoRequests), ServerConfig::default()).await.expect("bound");
        let dead = gone.local_addr().to_string();
        gone.shutdown(SHORT).await;
        let error = setup.client.invoke_name_server(request(ECHO), LONG).await.expect_err("none is known");
        assert!(matches!(error, RemotingError::Connect { .. }), "{error}");
        setup.client.update_name_servers(vec![dead, setup.addr.clone()]);
        for _ in 0..4 {
            setup.client.invoke_name_server(request(ECHO), LONG).await.expect("one of them answers");
        }
    });
}

/// In the simulation a panic ends the run: it is a finding.
#[cfg(feature = "real")]
#[test]
fn a_handler_that_panics_costs_its_connection_only() {
    support::run(|| async {
        let mut setup = set_up().await;
        let error = setup.client.invoke(&setup.addr, request(PANIC), LONG).await.expect_err("it panics");
        assert!(matches!(error, RemotingError::Closed { .. }), "{error}");
        assert!(setup.closed.recv().await.is_some());
        setup.client.invoke(&setup.addr, request(ECHO), LONG).await.expect("answered on a new connection");
    });
}

/// Panics when it is asked, and when it is told of the end of a connection.
#[cfg(feature = "real")]
struct Fragile;

#[cfg(feature = "real")]
impl RequestHandler for Fragile {
    fn handle(&self, _channel: &Channel, _request: RemotingCommand) -> Reply {
        panic!("planted: in the handler");
    }

    fn on_close(&self, _channel: &Channel) {
        panic!("planted: in the acceptor");
    }
}

#[cfg(feature = "real")]
#[test]
fn a_server_whose_acceptor_panics_says_that_it_has_ended() {
    support::run(|| async {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = RemotingServer::bind(any, Arc::new(Fragile), ServerConfig::default()).await.expect("a free port");
        assert!(sim::time::timeout(SHORT, server.ended()).await.is_err(), "it accepts");
        let client = RemotingClient::new(ClientConfig::default());
        client.invoke(&server.local_addr().to_string(), request(ECHO), LONG).await.expect_err("it panics");
        sim::time::timeout(LONG, server.ended()).await.expect("the acceptor has ended");
    });
}
