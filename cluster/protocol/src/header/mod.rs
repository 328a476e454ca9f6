//! The typed headers that travel in a command's `extFields` (`CommandCustomHeader` and its many subclasses).
//!
//! Each header is a plain struct declared with its wire names. A field of type `Option` may be absent; a field with a
//! default is written always and read as the default when absent; any other must be there. A text that is no value of the
//! field's type counts as absent where the field may be absent. Fields that a header does not name are left alone: they stay
//! in the command's `extFields`.
//!
//! Apache's broker refuses no header: a field that is missing, or unreadable, is null or 0 there, and the request fails where
//! that is used. So a field is required here exactly if Apache's (4.9.8) cannot do without.

mod admin;
mod client;
mod fields;
mod namesrv;
mod offset;
mod pull;
mod query;
mod send;
mod transaction;

pub use admin::*;
pub use client::*;
pub use fields::{CommandHeader, FieldText, FieldValue, HeaderError};
pub use namesrv::*;
pub use offset::*;
pub use pull::*;
pub use query::*;
pub use send::*;
pub use transaction::*;
