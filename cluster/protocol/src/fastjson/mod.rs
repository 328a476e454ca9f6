//! The dialect of JSON that RocketMQ's peers and configuration files use: what fastjson 1.2 reads and writes.
//!
//! Apache's broker reads every body, and every header that is JSON, with fastjson, which forgives nearly everything. Clients
//! in other languages have come to rely on it. [`from_slice`] forgives the same; each rule stands in one place:
//!
//! | what | rule | where |
//! |---|---|---|
//! | the text | single quotes, bare names, comments, commas too many, no comma between items, `Set[…]`, invalid UTF-8 | `text` |
//! | names | exact; else without regard to case, `_` and `-`, and with an `is` before (`smartMatch`) | `names` |
//! | scalars | numbers, truth and text from one another, null and what stands for it, dates (`TypeUtils.cast…`) | `scalar` |
//! | enums | by ordinal, or by name in any case; an unknown name is null (`EnumDeserializer`) | `reader` |
//! | structs | null and unknown members are left out; of members that come twice see `names`; `{"$ref":"$.a[0]"}` | `reader` |
//! | lists | one object alone is a list of it; null items are left out | `reader` |
//! | maps | keys may be numbers, bare, or objects; null values are left out | `reader` |
//!
//! What Apache's own classes make of some five hundred spellings is kept in `tests/golden/fastjson`, and our structs are held
//! against it. Where fastjson would store a null that its users trip over later, the member keeps its default here.
//!
//! Work and memory are bounded by the length of the text: a struct's members are looked at twice, and nothing else is.
//!
//! In the other direction, [`write_object_keys`] writes the keys that are objects as fastjson does, for the few bodies whose
//! readers expect that; [`write_pretty`] lays out files. All else that this crate writes is standard JSON without spaces,
//! which every known peer reads.

mod names;
mod reader;
mod reference;
mod scalar;
mod text;
mod write;

use serde::de::DeserializeOwned;

pub(crate) use names::same_name;
pub use text::Error;
pub use write::{write_object_keys, write_pretty};

/// Reads a value from JSON in fastjson's dialect.
///
/// ```
/// use std::collections::BTreeMap;
/// use protocol::fastjson::from_slice;
/// let table: BTreeMap<i32, String> = from_slice(br"{0:'x', 1:null, /* two */ '2':3,}")?;
/// assert_eq!(table, BTreeMap::from([(0, "x".to_owned()), (2, "3".to_owned())]));
/// # Ok::<(), protocol::fastjson::Error>(())
/// ```
///
/// # Errors
/// The text is no JSON in any dialect, or not of the value's shape; or it is nested too deep.
pub fn from_slice<T: DeserializeOwned>(json: &[u8]) -> Result<T, Error> {
    from_str(&String::from_utf8_lossy(json))
}

/// As [`from_slice`], from a text.
///
/// # Errors
/// As [`from_slice`].
pub fn from_str<T: DeserializeOwned>(json: &str) -> Result<T, Error> {
    reader::read(json)
}
