//! The two ids of a message: the place where it is stored, and the name its producer gave it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::newtypes::PhysicalOffset;

/// Why a text is no offset message id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no offset message id: 32 hexadecimal digits (IPv4) or 56 (IPv6) are expected")]
pub struct MessageIdError {
    text: String,
}

/// The offset message id (`MessageDecoder.createMessageId`): address and port of the broker and the place in its
/// CommitLog, in upper-case hexadecimal digits: 32 of them, or 56 with IPv6.
///
/// ```
/// use protocol::PhysicalOffset;
/// use protocol::message_id::offset_message_id;
/// let id = offset_message_id("127.0.0.1:10911".parse().unwrap(), PhysicalOffset(0x1A47));
/// assert_eq!(id, "7F00000100002A9F0000000000001A47");
/// ```
#[must_use]
pub fn offset_message_id(store_host: SocketAddr, offset: PhysicalOffset) -> String {
    let mut id = String::with_capacity(56);
    push_ip(&mut id, store_host.ip());
    push_hex(&mut id, &u32::from(store_host.port()).to_be_bytes());
    push_hex(&mut id, &offset.0.to_be_bytes());
    id
}

/// The broker and the place that an offset message id names (`MessageDecoder.decodeMessageId`).
///
/// # Errors
/// The text is none.
pub fn decode_offset_message_id(text: &str) -> Result<(SocketAddr, PhysicalOffset), MessageIdError> {
    let wrong = || MessageIdError { text: text.chars().take(64).collect() };
    let digits = text.as_bytes();
    let mut bytes = [0_u8; 28];
    let length = digits.len() / 2;
    if !matches!(digits.len(), 32 | 56) {
        return Err(wrong());
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
        *byte = digit(pair[0]).ok_or_else(wrong)? << 4 | digit(pair[1]).ok_or_else(wrong)?;
    }
    let (address, rest) = bytes[..length].split_at(length - 12);
    let ip = match <[u8; 4]>::try_from(address) {
        Ok(four) => IpAddr::V4(Ipv4Addr::from(four)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(address).map_err(|_| wrong())?)),
    };
    let (port, offset) = rest.split_first_chunk::<4>().ok_or_else(wrong)?;
    let port = u16::try_from(u32::from_be_bytes(*port)).map_err(|_| wrong())?;
    let offset = i64::from_be_bytes(offset.try_into().map_err(|_| wrong())?);
    Ok((SocketAddr::new(ip, port), PhysicalOffset(offset)))
}

/// The unique key that a producer gives a message (`MessageClientIDSetter.createUniqID`): UNIQ_KEY, and the id that
/// users see.
///
/// `salt` stands for the hash of Java's class loader: anything that tells two producers in one process apart.
/// `month_ms` is the time since the month began, `counter` counts the keys of the process.
#[must_use]
pub fn unique_key(ip: IpAddr, process_id: u16, salt: u32, month_ms: u32, counter: u16) -> String {
    let mut key = String::with_capacity(56);
    push_ip(&mut key, ip);
    push_hex(&mut key, &process_id.to_be_bytes());
    push_hex(&mut key, &salt.to_be_bytes());
    push_hex(&mut key, &month_ms.to_be_bytes());
    push_hex(&mut key, &counter.to_be_bytes());
    key
}

fn push_ip(text: &mut String, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => push_hex(text, &ip.octets()),
        IpAddr::V6(ip) => push_hex(text, &ip.octets()),
    }
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 0xF)]));
    }
}
