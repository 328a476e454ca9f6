//! The network model, driven by hand: no executor, no futures, time moved from event to event.

mod accepting;
mod acknowledging;
mod bad_links;
mod bench;
mod congestion;
mod connecting;
mod data;
mod failures;
mod jams;
mod liveness;
mod partitions;
mod properties;
mod shell;
mod slow;

use super::{
    super::{
        core::{Core, Event, HostId, ProcessId},
        key::Key,
        trace::Trace,
    },
    LatencyDistribution, LinkSlowdown, LinkSpec, LinkStats, Net, NetConfig, SocketError,
    segment::{EndpointId, ListenerId},
    sockets::Addresses,
};
use std::{
    io::IoSlice,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    task::{Poll, Waker},
};
use tokio::io::ReadBuf;

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;
const A: HostId = HostId(0);
const B: HostId = HostId(1);
/// A process on each host.
const PA: ProcessId = ProcessId { host: A, incarnation: 1 };
const PB: ProcessId = ProcessId { host: B, incarnation: 1 };

/// Two hosts that are up, and their time.
struct Bench {
    net: Net,
    core: Core,
    events: u64,
}

/// What a read found.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    Nothing,
    Bytes(Vec<u8>),
    End,
    Failed(SocketError),
}

/// What a write did.
#[derive(Debug, PartialEq, Eq)]
enum Write {
    Blocked,
    Took(usize),
    Failed(SocketError),
}

fn address(host: HostId, port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, host.0 as u8 + 1), port))
}

impl Bench {
    fn new(seed: u64) -> Bench {
        Bench::with_config(seed, NetConfig::default())
    }

    fn with_config(seed: u64, config: NetConfig) -> Bench {
        let mut core = Core::new(seed, Trace::new(true));
        let mut net = Net::with_config(Key::root(seed), config);
        net.add_host(A, "a", Ipv4Addr::new(10, 0, 0, 1));
        net.add_host(B, "b", Ipv4Addr::new(10, 0, 0, 2));
        net.on_host_up(&mut core, A);
        net.on_host_up(&mut core, B);
        Bench { net, core, events: 0 }
    }

    /// Moves to the next event and lets it happen. False when it lies beyond `until_ns`, or there is none.
    fn step(&mut self, until_ns: u64) -> bool {
        let Some(next_ns) = self.core.next_due_ns().filter(|&next_ns| next_ns <= until_ns) else {
            return false;
        };
        self.core.set_now_ns(next_ns.max(self.core.now_ns()));
        while let Some(event) = self.core.next_due() {
            self.events += 1;
            match event {
                Event::Net(event) => self.net.on_event(&mut self.core, event),
                other => panic!("{other:?} is not for the network"),
            }
        }
        drop(self.core.take_wakers());
        true
    }

    fn run_until(&mut self, until_ns: u64) {
        while self.step(until_ns) {}
        self.core.set_now_ns(until_ns);
    }

    fn run_for(&mut self, for_ns: u64) {
        self.run_until(self.core.now_ns() + for_ns);
    }

    fn listen(&mut self, process: ProcessId, port: u16) -> ListenerId {
        self.net.listen(process, address(process.host, port)).expect("the port is free").0
    }

    fn connect(&mut self, process: ProcessId, to: SocketAddr) -> EndpointId {
        self.net.connect(&mut self.core, process, to).expect("a port is free").0
    }

    /// The result of a connect, and how long it took.
    fn await_connect(&mut self, process: ProcessId, id: EndpointId) -> (Result<(), SocketError>, u64) {
        let begin_ns = self.core.now_ns();
        loop {
            if let Poll::Ready(result) = self.net.poll_connected(process, id, Waker::noop()) {
                return (result, self.core.now_ns() - begin_ns);
            }
            assert!(self.step(u64::MAX), "a connect must end");
        }
    }

    fn accept(&mut self, process: ProcessId, listener: ListenerId) -> Option<(EndpointId, Addresses)> {
        match self.net.accept(process, listener, true, Waker::noop()) {
            Poll::Ready(result) => Some(result.expect("the process lives")),
            Poll::Pending => None,
        }
    }

    /// A connection from A to B: its two ends.
    fn pair(&mut self) -> (EndpointId, EndpointId) {
        let listener = self.listen(PB, 9876);
        let client = self.connect(PA, address(B, 9876));
        assert_eq!(self.await_connect(PA, client).0, Ok(()));
        let (server, addresses) = loop {
            match self.accept(PB, listener) {
                Some(accepted) => break accepted,
                None => assert!(self.step(u64::MAX), "the handshake must end"),
            }
        };
        assert_eq!(SocketAddr::from(addresses.local), address(B, 9876));
        (client, server)
    }

    fn write(&mut self, process: ProcessId, id: EndpointId, bytes: &[u8]) -> Write {
        match self.net.write(&mut self.core, process, id, &[IoSlice::new(bytes)], Waker::noop()) {
            Poll::Pending => Write::Blocked,
            Poll::Ready(Ok(taken)) => Write::Took(taken),
            Poll::Ready(Err(error)) => Write::Failed(error),
        }
    }

    fn read_up_to(&mut self, process: ProcessId, id: EndpointId, len: usize) -> Read {
        let mut bytes = vec![0; len];
        let mut buffer = ReadBuf::new(&mut bytes);
        match self.net.read(&mut self.core, process, id, &mut buffer, Waker::noop()) {
            Poll::Pending => Read::Nothing,
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => Read::End,
            Poll::Ready(Ok(())) => Read::Bytes(buffer.filled().to_vec()),
            Poll::Ready(Err(error)) => Read::Failed(error),
        }
    }

    fn read(&mut self, process: ProcessId, id: EndpointId) -> Read {
        self.read_up_to(process, id, 1 << 20)
    }

    /// Steps until a read finds something; what, and when.
    fn await_read(&mut self, process: ProcessId, id: EndpointId) -> (Read, u64) {
        loop {
            match self.read(process, id) {
                Read::Nothing => assert!(self.step(u64::MAX), "nothing more will ever happen"),
                found => return (found, self.core.now_ns()),
            }
        }
    }

    /// Nothing is left of any connection or packet.
    fn assert_empty(&self) {
        assert_eq!(self.net.endpoints.len(), 0);
        assert_eq!(self.net.wire.in_flight(), 0);
        assert!(self.net.hosts.iter().all(|host| host.connections.is_empty()));
    }

    fn steps(&mut self, name: &str) -> usize {
        self.core.trace.take_kept().iter().filter(|step| step.step == name).count()
    }
}

fn remote(bench: &Bench, id: EndpointId) -> SocketAddrV4 {
    bench.net.endpoints[id.slot as usize].route.remote
}

/// Bytes that tell their own place.
fn pattern(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

fn v4(address: SocketAddr) -> SocketAddrV4 {
    match address {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(_) => panic!("{address} is no IPv4 address"),
    }
}

/// Moves `total` bytes from A to B in writes of 7,000; how long it took.
fn transfer(bench: &mut Bench, client: EndpointId, server: EndpointId, total: usize) -> u64 {
    let begin_ns = bench.core.now_ns();
    let (mut written, mut got) = (0, 0);
    while got < total {
        while written < total
            && let Write::Took(taken) = bench.write(PA, client, &pattern(written, (total - written).min(7_000)))
        {
            written += taken;
        }
        match bench.await_read(PB, server).0 {
            Read::Bytes(bytes) => {
                assert_eq!(bytes, pattern(got, bytes.len()));
                got += bytes.len();
            }
            other => panic!("{other:?}"),
        }
    }
    bench.core.now_ns() - begin_ns
}
