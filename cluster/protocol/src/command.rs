//! One remoting command: the request or response that a frame carries (`RemotingCommand`).
//!
//! Requests and responses share one shape; bit 0 of `flag` tells them apart. `opaque` pairs a response with its request and
//! is chosen by whoever sends the request, separately in each direction of a connection: an incoming command is a
//! response only if [`is_response`](RemotingCommand::is_response) says so, whatever its number.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ext_fields::ExtFields;
use crate::header::{CommandHeader, HeaderError};
use crate::version;

/// Bit of `flag`: this command is a response.
pub const FLAG_RESPONSE: i32 = 1;
/// Bit of `flag`: no response is wanted.
pub const FLAG_ONEWAY: i32 = 1 << 1;

/// What a header's names and values take in bytes, usually: a send's are some 200.
const TYPICAL_FIELDS_BYTES: usize = 256;
/// How many fields a header has, usually: a send's are 14.
const TYPICAL_FIELDS: usize = 16;

/// The language a peer says it is written in (`LanguageCode`).
///
/// The default, and what this implementation says of itself, is Java: clients up to 4.0 close a connection on which a word
/// comes that they do not know, and they know no Rust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "&'static str")]
#[repr(u8)]
#[allow(missing_docs, reason = "each variant is the language of its name")]
pub enum Language {
    #[default]
    Java = 0,
    Cpp = 1,
    Dotnet = 2,
    Python = 3,
    Delphi = 4,
    Erlang = 5,
    Ruby = 6,
    /// Also what an unknown name or number is read as.
    Other = 7,
    Http = 8,
    Go = 9,
    Php = 10,
    Oms = 11,
    Rust = 12,
    NodeJs = 13,
}

/// Every language with its name in JSON, at the index that is its number in the binary header.
const LANGUAGES: [(Language, &str); 14] = [
    (Language::Java, "JAVA"),
    (Language::Cpp, "CPP"),
    (Language::Dotnet, "DOTNET"),
    (Language::Python, "PYTHON"),
    (Language::Delphi, "DELPHI"),
    (Language::Erlang, "ERLANG"),
    (Language::Ruby, "RUBY"),
    (Language::Other, "OTHER"),
    (Language::Http, "HTTP"),
    (Language::Go, "GO"),
    (Language::Php, "PHP"),
    (Language::Oms, "OMS"),
    (Language::Rust, "RUST"),
    (Language::NodeJs, "NODE_JS"),
];

impl Language {
    /// The name used in JSON headers and bodies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        LANGUAGES[self as usize].1
    }

    /// The language of this JSON name, in any case, or of this number; an unknown one is [`Language::Other`].
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let known = LANGUAGES.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(language, _)| *language);
        known.unwrap_or_else(|| name.parse().map_or(Self::Other, Self::from_number))
    }

    /// The number used in the binary header.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The language of this number; an unknown number is [`Language::Other`].
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        LANGUAGES.get(usize::from(number)).map_or(Self::Other, |(language, _)| *language)
    }
}

impl From<String> for Language {
    fn from(name: String) -> Self {
        Self::from_name(&name)
    }
}

impl From<Language> for &'static str {
    fn from(language: Language) -> Self {
        language.name()
    }
}

/// How a frame's header is written (`SerializeType`): the upper byte of the frame's second word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum SerializeType {
    /// A JSON object; every client understands it.
    #[default]
    Json,
    /// RocketMQ's compact binary form. It has 16 bits for the code, so the 2000xx codes cannot be sent in it.
    RocketMq,
}

impl SerializeType {
    /// The byte on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Json => 0,
            Self::RocketMq => 1,
        }
    }

    /// The type of this byte, if there is one.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Json),
            1 => Some(Self::RocketMq),
            _ => None,
        }
    }
}

/// A request or a response, decoded.
///
/// ```
/// use protocol::header::GetRouteInfoRequestHeader;
/// use protocol::{RemotingCommand, request_code};
///
/// let header = GetRouteInfoRequestHeader { topic: "TopicA".into(), accept_standard_json_only: None };
/// let command = RemotingCommand::request(request_code::GET_ROUTEINFO_BY_TOPIC, &header);
/// assert_eq!(command.header::<GetRouteInfoRequestHeader>()?, header);
/// # Ok::<(), protocol::HeaderError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemotingCommand {
    /// A [`request_code`](crate::request_code), or a [`response_code`](crate::response_code) in a response.
    pub code: i32,
    /// The sender's language.
    pub language: Language,
    /// The sender's version: see [`version`].
    pub version: i32,
    /// Pairs a response with its request. The remoting layer sets it; 0 until then.
    pub opaque: i32,
    /// [`FLAG_RESPONSE`] and [`FLAG_ONEWAY`].
    pub flag: i32,
    /// Words for people: why a request failed.
    pub remark: Option<String>,
    /// The header's fields, and whatever else was sent along.
    pub ext_fields: ExtFields,
    /// Whether `extFields` is written even when it is empty: Java does so exactly for commands built with a header class.
    pub has_ext: bool,
    /// How the header is, or was, written.
    pub serialize_type: SerializeType,
    /// The body; empty if there is none. After decoding it shares the memory of its frame.
    pub body: Bytes,
}

impl RemotingCommand {
    fn bare(code: i32, flag: i32) -> Self {
        Self {
            code,
            language: Language::default(),
            version: version::CURRENT,
            opaque: 0,
            flag,
            remark: None,
            ext_fields: ExtFields::new(),
            has_ext: false,
            serialize_type: SerializeType::default(),
            body: Bytes::new(),
        }
    }

    fn put_header<H: CommandHeader>(mut self, header: &H) -> Self {
        self.has_ext = H::HAS_FIELDS;
        if H::HAS_FIELDS {
            self.ext_fields = ExtFields::with_capacity(TYPICAL_FIELDS_BYTES, TYPICAL_FIELDS);
            header.write(&mut self.ext_fields);
        }
        self
    }

    /// A request; give `&()` as header for a request that has none.
    #[must_use]
    pub fn request<H: CommandHeader>(code: i32, header: &H) -> Self {
        Self::bare(code, 0).put_header(header)
    }

    /// A response without a header.
    #[must_use]
    pub fn response(code: i32) -> Self {
        Self::bare(code, FLAG_RESPONSE)
    }

    /// A response with a header.
    #[must_use]
    pub fn response_with<H: CommandHeader>(code: i32, header: &H) -> Self {
        Self::bare(code, FLAG_RESPONSE).put_header(header)
    }

    /// This command with a remark.
    #[must_use]
    pub fn with_remark(mut self, remark: impl Into<String>) -> Self {
        self.remark = Some(remark.into());
        self
    }

    /// This command with a body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// This command with one more field in `extFields`.
    #[must_use]
    pub fn with_field(mut self, name: &str, value: &str) -> Self {
        self.ext_fields.insert(name, value);
        self
    }

    /// This command as the response to `request`: same `opaque`, written the way the request was (as 4.9 does).
    #[must_use]
    pub fn in_reply_to(mut self, request: &Self) -> Self {
        self.opaque = request.opaque;
        self.serialize_type = request.serialize_type;
        self.flag |= FLAG_RESPONSE;
        self
    }

    /// Whether this is a response.
    #[must_use]
    pub const fn is_response(&self) -> bool {
        self.flag & FLAG_RESPONSE != 0
    }

    /// Whether the sender wants no response.
    #[must_use]
    pub const fn is_oneway(&self) -> bool {
        self.flag & FLAG_ONEWAY != 0
    }

    /// Says that no response is wanted.
    pub const fn mark_oneway(&mut self) {
        self.flag |= FLAG_ONEWAY;
    }

    /// The typed header of this command, read from `extFields`.
    ///
    /// # Errors
    /// A required field is missing, or a field does not hold a value of its type.
    pub fn header<H: CommandHeader>(&self) -> Result<H, HeaderError> {
        H::read(&self.ext_fields)
    }
}
