//! The captured bytes in `tests/golden/`, and strategies that several tests share.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::net::{IpAddr, SocketAddr};

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;
use protocol::message::MessageToStore;
use protocol::{ExtFields, Language, PhysicalOffset, RemotingCommand, SerializeType};

pub const JAVA_FRAMES: &str = include_str!("../golden/java498_frames.txt");
pub const ALI_ONS_FRAMES: &str = include_str!("../golden/ali-ons_frames.txt");
pub const COMMIT_LOG: &[u8] = include_bytes!("../golden/commitlog_head.bin");

/// One captured frame; without a body if the capture had cut it short.
pub struct Captured {
    pub is_request: bool,
    pub header: &'static str,
    pub body: Option<Bytes>,
}

impl Captured {
    /// The frame's bytes; a body that was cut short is left out.
    pub fn frame(&self) -> BytesMut {
        let body = self.body.clone().unwrap_or_default();
        let mut frame = BytesMut::new();
        frame.put_u32((4 + self.header.len() + body.len()) as u32);
        frame.put_u32(self.header.len() as u32);
        frame.put_slice(self.header.as_bytes());
        frame.put_slice(&body);
        frame
    }

    pub fn command(&self) -> RemotingCommand {
        let mut frame = self.frame();
        protocol::frame::decode(&mut frame)
            .unwrap_or_else(|error| panic!("{error} in {}", self.header))
            .unwrap_or_else(|| panic!("incomplete: {}", self.header))
    }
}

pub fn captured(file: &'static str) -> Vec<Captured> {
    let lines: Vec<&str> = file.lines().collect();
    let body = |hex: &str| -> Option<Bytes> {
        let byte = |pair: usize| u8::from_str_radix(&hex[pair..pair + 2], 16).expect("two hexadecimal digits");
        (hex != "-").then(|| (0..hex.len()).step_by(2).map(byte).collect())
    };
    let frame =
        |lines: &[&'static str]| Captured { is_request: lines[0] == "REQ", header: lines[1], body: body(lines[2]) };
    lines.chunks_exact(3).map(frame).collect()
}

/// The captured request or response number `index` (from 0) of those for which `wanted` holds.
pub fn find(file: &'static str, wanted: impl Fn(&Captured, &RemotingCommand) -> bool) -> RemotingCommand {
    captured(file)
        .iter()
        .map(|frame| (frame, frame.command()))
        .find(|(frame, command)| wanted(frame, command))
        .map(|(_, command)| command)
        .expect("such a frame was captured")
}

pub fn request(file: &'static str, code: i32) -> RemotingCommand {
    find(file, |frame, command| frame.is_request && frame.body.is_some() && command.code == code)
}

/// The response whose body was captured in whole and begins like this.
pub fn response_body(file: &'static str, begins: &str) -> Bytes {
    find(file, |frame, command| !frame.is_request && command.body.starts_with(begins.as_bytes())).body
}

prop_compose! {
    /// Text that may need escapes, and is not empty.
    pub fn text()(text in "[a-zA-Z0-9%\"\\\\/\u{1}-\u{8}\n\r\t\u{7f}é世🚀 {}:,]{1,24}") -> String { text }
}

pub fn ext_fields() -> impl Strategy<Value = ExtFields> {
    prop::collection::vec((text(), text()), 0..12)
        .prop_map(|pairs| pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect())
}

prop_compose! {
    pub fn command()(
        code in i16::MIN..=i16::MAX,
        language in 0_u8..14,
        version in 0_i32..600,
        opaque in any::<i32>(),
        flag in any::<i32>(),
        remark in prop::option::of(text()),
        ext_fields in ext_fields(),
        binary in any::<bool>(),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) -> RemotingCommand {
        RemotingCommand {
            code: i32::from(code),
            language: Language::from_number(language),
            version,
            opaque,
            flag,
            remark,
            has_ext: !ext_fields.is_empty(),
            ext_fields,
            serialize_type: if binary { SerializeType::RocketMq } else { SerializeType::Json },
            body: body.into(),
        }
    }
}

prop_compose! {
    fn host()(ip in any::<IpAddr>(), port in any::<u16>()) -> SocketAddr {
        SocketAddr::new(ip.to_canonical(), port)
    }
}

prop_compose! {
    pub fn message()(
        topic in "[a-zA-Z0-9_%-]{0,200}",
        numbers in (any::<i32>(), any::<i32>(), any::<i32>(), any::<i32>(), any::<i64>(), any::<i64>()),
        born_host in host(),
        store_host in host(),
        body in prop::collection::vec(any::<u8>(), 0..300),
        properties in "[a-zA-Z0-9\u{1}\u{2}é]{0,100}",
    ) -> MessageToStore {
        let (queue_id, flag, sys_flag, reconsume_times, born_timestamp_ms, prepared) = numbers;
        MessageToStore {
            topic,
            queue_id,
            flag,
            sys_flag,
            born_timestamp_ms,
            born_host,
            store_host,
            reconsume_times,
            prepared_transaction_offset: PhysicalOffset(prepared),
            body: body.into(),
            properties,
        }
    }
}
