//! What a call answered, in the form in which bodies compare it.

use std::{fmt::Debug, io, net::SocketAddr};

/// The kind of an error; panics on success.
#[track_caller]
pub fn kind<T: Debug>(result: io::Result<T>) -> io::ErrorKind {
    match result {
        Ok(value) => panic!("it succeeded with {value:?}"),
        Err(error) => error.kind(),
    }
}

/// EBADF and EIO have no kind of their own: their number tells them apart.
#[track_caller]
pub fn errno<T: Debug>(result: io::Result<T>) -> Option<i32> {
    match result {
        Ok(value) => panic!("it succeeded with {value:?}"),
        Err(error) => error.raw_os_error(),
    }
}

/// Byte number `position` of a stream that never repeats itself within a page or a segment.
pub fn byte_at(position: u64) -> u8 {
    let mixed = position.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8
}

/// `len` bytes of that stream, from `position` on.
pub fn bytes_from(position: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| byte_at(position + at)).collect()
}

/// An IPv4 address with a port.
pub fn address_of(ip: [u8; 4], port: u16) -> SocketAddr {
    (ip, port).into()
}
