//! The settings of the TCP stacks, and the constants of Linux that they follow (`man 7 tcp`, `include/net/tcp.h`).

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;

/// What an administrator would set by `sysctl` or a program by `setsockopt`. One for all hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetConfig {
    /// How much a sender may have written that its peer has not acknowledged (`tcp_wmem` after auto-tuning).
    pub send_buffer_bytes: usize,
    /// How much a receiver keeps for a program that does not read (`tcp_rmem` after auto-tuning).
    pub receive_buffer_bytes: usize,
    /// What programs pass to `listen`: tokio's `TcpListener::bind` asks for 128.
    pub backlog: usize,
    /// `net.core.somaxconn`: the most that `listen` grants.
    pub backlog_max: usize,
}

impl Default for NetConfig {
    fn default() -> Self {
        NetConfig { send_buffer_bytes: 256 * 1024, receive_buffer_bytes: 256 * 1024, backlog: 128, backlog_max: 4096 }
    }
}

/// The largest segment: segmentation offload hands up to 64 KiB to the network card in one piece.
pub const SEGMENT_BYTES_MAX: usize = 64 * 1024;
/// The payload of one Ethernet frame with TCP timestamps; below it a segment is "small" in the sense of Nagle.
pub const MSS_BYTES: usize = 1448;
/// Ethernet preamble and gap, Ethernet, IPv4 and TCP headers of one frame.
pub const FRAME_OVERHEAD_BYTES: u64 = 90;

/// Ephemeral ports: `ip_local_port_range`.
pub const EPHEMERAL_PORTS: std::ops::RangeInclusive<u16> = 32_768..=60_999;

/// The first retransmission time-out of a handshake: `TCP_TIMEOUT_INIT`.
pub const HANDSHAKE_RTO_NS: u64 = S;
/// `tcp_syn_retries`: sent again after 1, 3, 7, 15, 31 and 63 s, given up after 127 s.
pub const SYN_RETRIES: u32 = 6;
/// `tcp_synack_retries`: given up after 63 s.
pub const SYN_ACK_RETRIES: u32 = 5;
/// `TCP_RTO_MIN`.
pub const RTO_NS_MIN: u64 = 200 * MS;
/// `TCP_RTO_MAX`.
pub const RTO_NS_MAX: u64 = 120 * S;
/// `tcp_retries2`: with an RTO of 200 ms the connection is given up after 924.6 s.
pub const DATA_RETRIES: u32 = 15;
/// `tcp_orphan_retries`: for connections that no process holds any more.
pub const ORPHAN_RETRIES: u32 = 8;
/// `TCP_TIMEOUT_MIN_US`: added to RACK's reordering window and to the wait for the last segment's acknowledgement.
pub const REORDERING_NS_MIN: u64 = 2 * MS;
/// `TCP_DELACK_MIN`: how long an acknowledgement may wait for data to go with.
pub const DELAYED_ACK_NS: u64 = 40 * MS;
/// `TCP_MAX_QUICKACKS`: so many go out at once when data begins to come.
pub const QUICK_ACKS: u32 = 16;
/// `tcp_fin_timeout`: how long an orphan waits for its peer's FIN.
pub const FIN_WAIT_2_NS: u64 = 60 * S;
/// `TCP_TIMEWAIT_LEN`.
pub const TIME_WAIT_NS: u64 = 60 * S;
