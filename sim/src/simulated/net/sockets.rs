//! The system calls: what a program can ask of the network.
//!
//! Every call names the process it is made for; sockets of a process that has ended answer [`SocketError::ProcessEnded`],
//! and closing them does nothing. Calls that wait take the waker of the task and answer [`Poll::Pending`].

use super::{
    super::core::{Core, ProcessId},
    endpoint::{Owner, Phase, Route},
    error::SocketError,
    model::{Listener, Net, get, get_listener},
    segment::{EndpointId, Kind, ListenerId},
};
use bytes::{Bytes, BytesMut};
use std::{
    io::IoSlice,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    task::{Poll, Waker},
};
use tokio::io::ReadBuf;

/// The two addresses of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    pub local: SocketAddrV4,
    pub peer: SocketAddrV4,
}

impl Net {
    fn check_alive(&self, process: ProcessId) -> Result<(), SocketError> {
        let ended = self.hosts[process.host.0 as usize].ended_incarnation >= process.incarnation;
        if ended || !self.wire.is_up(process.host) { Err(SocketError::ProcessEnded) } else { Ok(()) }
    }

    /// `bind` and `listen`. Port 0 means any free ephemeral port. The address that is listened on comes along.
    ///
    /// # Errors
    /// When the address is not the host's, or is in use.
    pub fn listen(
        &mut self,
        process: ProcessId,
        address: SocketAddr,
    ) -> Result<(ListenerId, SocketAddrV4), SocketError> {
        self.check_alive(process)?;
        let stack = &mut self.hosts[process.host.0 as usize];
        let mut local = match address {
            SocketAddr::V4(local) if stack.has_address(*local.ip()) => local,
            _ => return Err(SocketError::AddressNotAvailable { address, host: stack.address }),
        };
        if local.port() == 0 {
            // A port that connections use as their own is not free, whatever their address.
            let is_free = |stack: &super::host::HostStack, port| {
                stack.connections.keys().all(|(connected, _)| connected.port() != port)
            };
            local.set_port(stack.ephemeral_port(is_free).ok_or(SocketError::PortsExhausted(local))?);
        }
        if stack.is_bound(local) {
            return Err(SocketError::AddressInUse(local));
        }
        self.serial += 1;
        let entry = self.listeners.vacant_entry();
        let slot = u32::try_from(entry.key()).expect("fewer than 2^32 listeners");
        let id = ListenerId { slot, serial: self.serial };
        let (queue, wakers) = Default::default();
        let backlog = self.config.backlog.min(self.config.backlog_max);
        entry.insert(Listener { id, owner: process, local, queue, backlog, half_open: 0, wakers });
        stack.listeners.insert((local.port(), *local.ip()), id);
        Ok((id, local))
    }

    /// `accept`: the oldest connection that waits.
    ///
    /// # Errors
    /// When the process has ended; when a connection waits and the process may open nothing more.
    pub fn accept(
        &mut self,
        process: ProcessId,
        id: ListenerId,
        may_open: bool,
        waker: &Waker,
    ) -> Poll<Result<(EndpointId, Addresses), SocketError>> {
        let Some(listener) = get_listener(&mut self.listeners, id).filter(|listener| listener.owner == process) else {
            return Poll::Ready(Err(SocketError::ProcessEnded));
        };
        if !may_open && !listener.queue.is_empty() {
            return Poll::Ready(Err(SocketError::TooManyOpen));
        }
        let Some(accepted) = listener.queue.pop_front() else {
            if !listener.wakers.iter().any(|known| known.will_wake(waker)) {
                listener.wakers.push(waker.clone());
            }
            return Poll::Pending;
        };
        let endpoint = get(&mut self.endpoints, accepted).expect("what vanishes leaves the queue");
        endpoint.owner = Owner::Process(process);
        Poll::Ready(Ok((accepted, Addresses { local: endpoint.route.local, peer: endpoint.route.remote })))
    }

    /// How many sockets a process has open.
    pub fn open_sockets(&self, process: ProcessId) -> u64 {
        let is_its = |owner: &Owner| *owner == Owner::Process(process);
        let connections = self.endpoints.iter().filter(|(_, endpoint)| is_its(&endpoint.owner)).count();
        let listeners = self.listeners.iter().filter(|(_, listener)| listener.owner == process).count();
        (connections + listeners) as u64
    }

    /// Closes a listener: what waits to be accepted is reset.
    pub fn close_listener(&mut self, core: &mut Core, process: ProcessId, id: ListenerId) {
        if get_listener(&mut self.listeners, id).is_none_or(|listener| listener.owner != process) {
            return;
        }
        let pending = self.endpoints.iter().filter(|(_, e)| e.owner == Owner::Listener(id));
        let pending: Vec<_> = pending.map(|(_, e)| (e.id, e.phase)).collect();
        for (endpoint, phase) in pending {
            // A half-open one is forgotten; its peer is reset when it speaks.
            if phase == Phase::Open {
                self.reset(core, endpoint);
            } else {
                self.remove(core, endpoint);
            }
        }
        self.remove_listener(core, id);
    }

    /// Sends a SYN. Whether it succeeds, [`Net::poll_connected`] will know.
    ///
    /// # Errors
    /// When the address cannot be reached in principle, or no local port is free.
    pub fn connect(
        &mut self,
        core: &mut Core,
        process: ProcessId,
        remote: SocketAddr,
    ) -> Result<(EndpointId, Addresses), SocketError> {
        self.check_alive(process)?;
        let SocketAddr::V4(mut remote) = remote else {
            return Err(SocketError::Unreachable(remote));
        };
        let host = process.host;
        if remote.ip().is_unspecified() {
            // As Linux does: the unspecified address is this host.
            remote.set_ip(Ipv4Addr::LOCALHOST);
        }
        let remote_host = self.route(host, *remote.ip());
        let local_ip = if remote.ip().is_loopback() { *remote.ip() } else { self.address(host) };
        // A port whose 4-tuple this host does not know. The other end may: then it has lost this end, or waits.
        let is_free = |stack: &super::host::HostStack, port| {
            let local = SocketAddrV4::new(local_ip, port);
            local != remote && !stack.connections.contains_key(&(local, remote))
        };
        let stack = &mut self.hosts[host.0 as usize];
        let port = stack.ephemeral_port(is_free).ok_or(SocketError::PortsExhausted(remote))?;
        let local = SocketAddrV4::new(local_ip, port);
        let connection = self.wire.count_connection(host, remote_host);
        let route = Route { host, local, remote_host, remote, connection };
        let lane = self.wire.lane(host, remote_host, connection, "connect");
        let id = self.add_endpoint(route, Owner::Process(process), Phase::SynSent, lane).id;
        let Net { endpoints, wire, .. } = self;
        if let Some(endpoint) = get(endpoints, id) {
            endpoint.start_handshake(core);
            endpoint.send_bare(wire, core, Kind::Syn);
        }
        Ok((id, Addresses { local, peer: remote }))
    }

    /// Whether the handshake that [`Net::connect`] began is complete.
    ///
    /// # Errors
    /// When the peer refused, or did not answer for 127 s.
    pub fn poll_connected(
        &mut self,
        process: ProcessId,
        id: EndpointId,
        waker: &Waker,
    ) -> Poll<Result<(), SocketError>> {
        let endpoint = self.owned(process, id)?;
        match endpoint.phase {
            Phase::SynSent | Phase::SynReceived => {
                store(&mut endpoint.writer, waker);
                Poll::Pending
            }
            Phase::Open | Phase::TimeWait => Poll::Ready(Ok(())),
            Phase::Dead => match endpoint.error {
                Some(error @ (SocketError::Refused(_) | SocketError::TimedOut(_))) => {
                    endpoint.error = None;
                    Poll::Ready(Err(error))
                }
                // It was connected, and broke since.
                _ => Poll::Ready(Ok(())),
            },
        }
    }

    /// Reads what has arrived, up to the room in `buffer`. Leaves it as it is at the end of the stream.
    ///
    /// # Errors
    /// When the connection broke, after all that arrived before was read.
    pub fn read(
        &mut self,
        core: &mut Core,
        process: ProcessId,
        id: EndpointId,
        buffer: &mut ReadBuf<'_>,
        waker: &Waker,
    ) -> Poll<Result<(), SocketError>> {
        let Net { endpoints, wire, .. } = self;
        let Some(endpoint) = get(endpoints, id).filter(|endpoint| endpoint.owner == Owner::Process(process)) else {
            return Poll::Ready(Err(SocketError::ProcessEnded));
        };
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if endpoint.receive.buffered() > 0 {
            endpoint.receive.read(buffer);
            endpoint.on_read(wire, core);
            return Poll::Ready(Ok(()));
        }
        // A FIN that has come outlasts what comes after it: `tcp_recvmsg` asks SOCK_DONE before the error.
        if endpoint.receive.is_finished() {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = endpoint.error.take() {
            return Poll::Ready(Err(error));
        }
        if endpoint.phase == Phase::Dead {
            return Poll::Ready(Ok(()));
        }
        store(&mut endpoint.reader, waker);
        Poll::Pending
    }

    /// Takes as much of `slices` as the send buffer has room for; how much that was.
    ///
    /// # Errors
    /// When the connection broke or was shut down.
    pub fn write(
        &mut self,
        core: &mut Core,
        process: ProcessId,
        id: EndpointId,
        slices: &[IoSlice<'_>],
        waker: &Waker,
    ) -> Poll<Result<usize, SocketError>> {
        let Net { endpoints, wire, .. } = self;
        let Some(endpoint) = get(endpoints, id).filter(|endpoint| endpoint.owner == Owner::Process(process)) else {
            return Poll::Ready(Err(SocketError::ProcessEnded));
        };
        if let Some(error) = endpoint.error.take() {
            return Poll::Ready(Err(error));
        }
        if endpoint.phase == Phase::Dead || endpoint.send.is_finished() {
            return Poll::Ready(Err(SocketError::BrokenPipe(endpoint.route.remote)));
        }
        let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
        if wanted == 0 {
            return Poll::Ready(Ok(0));
        }
        let taken = wanted.min(endpoint.send.free());
        if taken == 0 {
            store(&mut endpoint.writer, waker);
            return Poll::Pending;
        }
        endpoint.send.push(gather(slices, taken));
        endpoint.push(wire, core);
        Poll::Ready(Ok(taken))
    }

    /// `shutdown(SHUT_WR)`: the peer sees the end of the stream after what was written.
    pub fn shutdown(&mut self, core: &mut Core, process: ProcessId, id: EndpointId) {
        let Net { endpoints, wire, .. } = self;
        if let Some(endpoint) = get(endpoints, id)
            && endpoint.owner == Owner::Process(process)
            && endpoint.phase == Phase::Open
            && !endpoint.send.is_finished()
        {
            endpoint.send.finish();
            endpoint.push(wire, core);
            core.wake_slot(&mut endpoint.writer);
        }
    }

    /// Whether the connection is over in both directions: `getpeername` does not know its peer any more.
    pub fn is_over(&mut self, process: ProcessId, id: EndpointId) -> bool {
        self.owned(process, id).is_ok_and(|endpoint| match endpoint.phase {
            Phase::Open => endpoint.send.fin_acknowledged() && endpoint.receive.is_finished(),
            Phase::TimeWait | Phase::Dead => true,
            Phase::SynSent | Phase::SynReceived => false,
        })
    }

    /// Whether small segments are sent at once (TCP_NODELAY).
    ///
    /// # Errors
    /// When the process has ended.
    pub fn set_nodelay(
        &mut self,
        core: &mut Core,
        process: ProcessId,
        id: EndpointId,
        nodelay: bool,
    ) -> Result<(), SocketError> {
        let Net { endpoints, wire, .. } = self;
        let endpoint = get(endpoints, id)
            .filter(|endpoint| endpoint.owner == Owner::Process(process))
            .ok_or(SocketError::ProcessEnded)?;
        endpoint.nodelay = nodelay;
        // As in Linux, what waited for more is sent now.
        endpoint.push(wire, core);
        Ok(())
    }

    /// `close`: what was written is still sent, then the connection ends; if something is unread, it is reset.
    pub fn close(&mut self, core: &mut Core, process: ProcessId, id: EndpointId) {
        let Ok(endpoint) = self.owned(process, id) else {
            return;
        };
        match endpoint.phase {
            Phase::Open if endpoint.receive.buffered() > 0 => self.reset(core, id),
            Phase::Open => {
                let Net { endpoints, wire, .. } = self;
                let Some(endpoint) = get(endpoints, id) else {
                    return;
                };
                endpoint.owner = Owner::Orphan;
                core.wake_slot(&mut endpoint.reader);
                core.wake_slot(&mut endpoint.writer);
                endpoint.send.finish();
                endpoint.push(wire, core);
                let outcome = endpoint.settle(core);
                self.conclude(core, id, outcome);
            }
            _ => self.remove(core, id),
        }
    }

    /// Ends a connection with a reset.
    fn reset(&mut self, core: &mut Core, id: EndpointId) {
        let Net { endpoints, wire, .. } = self;
        if let Some(endpoint) = get(endpoints, id) {
            endpoint.send_bare(wire, core, Kind::Reset);
        }
        self.remove(core, id);
    }
}

/// The first `len` bytes of these slices, in one piece.
fn gather(slices: &[IoSlice<'_>], len: usize) -> Bytes {
    if let [slice] = slices {
        return Bytes::copy_from_slice(&slice[..len]);
    }
    let mut bytes = BytesMut::with_capacity(len);
    for slice in slices {
        let take = slice.len().min(len - bytes.len());
        bytes.extend_from_slice(&slice[..take]);
    }
    bytes.freeze()
}

/// Remembers whom to wake. The waker that it replaces belongs to a task that has just polled again, or has ended: to drop it
/// here drops no future.
fn store(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(known) => known.clone_from(waker),
        None => *slot = Some(waker.clone()),
    }
}
