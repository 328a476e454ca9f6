//! How a header becomes text fields and back: the trait, the values, and the macro that declares a header.

use crate::ext_fields::ExtFields;
use crate::newtypes::{BrokerId, PhysicalOffset, QueueOffset};

/// A header that travels in a command's `extFields`.
pub trait CommandHeader: Sized {
    /// Whether a command built with this header has `extFields` at all; only "no header", `()`, has not.
    const HAS_FIELDS: bool = true;

    /// Writes the fields.
    fn write(&self, out: &mut ExtFields);

    /// Reads the fields, ignoring those it does not know.
    ///
    /// # Errors
    /// A required field is missing, or a field does not hold a value of its type.
    fn read(fields: &ExtFields) -> Result<Self, HeaderError>;
}

/// No header.
impl CommandHeader for () {
    const HAS_FIELDS: bool = false;

    fn write(&self, _out: &mut ExtFields) {}

    fn read(_fields: &ExtFields) -> Result<Self, HeaderError> {
        Ok(())
    }
}

/// Why a header cannot be read. A broker answers it with SYSTEM_ERROR and this text as remark.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A required field is absent (`@CFNotNull`); the words are RocketMQ's own, which clients may look for.
    #[error("the custom field <{field}> is null")]
    Missing {
        /// The header's Java class name.
        header: &'static str,
        /// The field's name on the wire.
        field: &'static str,
    },
    /// A field's text is no value of its type.
    #[error("the custom field <{field}> of {header} must be {expected}, but is \"{found}\"")]
    Invalid {
        /// The header's Java class name.
        header: &'static str,
        /// The field's name on the wire.
        field: &'static str,
        /// What would have been right.
        expected: &'static str,
        /// What was there, shortened.
        found: String,
    },
}

/// A type that one field of a header can have.
pub trait FieldValue: Sized {
    /// Writes the value under `field`; an absent value writes nothing.
    fn put(&self, field: &'static str, out: &mut ExtFields);

    /// Reads the value of `field`.
    ///
    /// # Errors
    /// The field is missing although it must be there, or is no value of this type.
    fn take(fields: &ExtFields, header: &'static str, field: &'static str) -> Result<Self, HeaderError>;
}

/// A value that has a text of its own; wrapped in `Option` it may be absent.
pub trait FieldText: Sized {
    /// What to say that the field must be.
    const EXPECTED: &'static str;

    /// The value of this text, if it is one.
    fn from_text(text: &str) -> Option<Self>;

    /// Writes the value under `field`.
    fn put_text(&self, field: &'static str, out: &mut ExtFields);
}

fn parse<T: FieldText>(text: &str, header: &'static str, field: &'static str) -> Result<T, HeaderError> {
    T::from_text(text).ok_or_else(|| HeaderError::Invalid {
        header,
        field,
        expected: T::EXPECTED,
        found: text.chars().take(64).collect(),
    })
}

impl<T: FieldText> FieldValue for T {
    fn put(&self, field: &'static str, out: &mut ExtFields) {
        self.put_text(field, out);
    }

    fn take(fields: &ExtFields, header: &'static str, field: &'static str) -> Result<Self, HeaderError> {
        let text = fields.get(field).ok_or(HeaderError::Missing { header, field })?;
        parse(text, header, field)
    }
}

impl<T: FieldText> FieldValue for Option<T> {
    fn put(&self, field: &'static str, out: &mut ExtFields) {
        if let Some(value) = self {
            value.put_text(field, out);
        }
    }

    fn take(fields: &ExtFields, _header: &'static str, field: &'static str) -> Result<Self, HeaderError> {
        // As `RemotingCommand.decodeCommandCustomHeader`, which leaves null what it cannot read.
        Ok(fields.get(field).and_then(T::from_text))
    }
}

impl FieldText for String {
    const EXPECTED: &'static str = "text";

    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn put_text(&self, field: &'static str, out: &mut ExtFields) {
        out.insert(field, self);
    }
}

impl FieldText for bool {
    const EXPECTED: &'static str = "true or false";

    /// As `Boolean.parseBoolean`: whatever is not "true" in some case is false.
    fn from_text(text: &str) -> Option<Self> {
        Some(text.eq_ignore_ascii_case("true"))
    }

    fn put_text(&self, field: &'static str, out: &mut ExtFields) {
        out.insert_bool(field, *self);
    }
}

macro_rules! number_text {
    ($($type:ty, $expected:literal, $wrap:expr, $unwrap:expr;)+) => {$(
        impl FieldText for $type {
            const EXPECTED: &'static str = $expected;

            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok().map($wrap)
            }

            fn put_text(&self, field: &'static str, out: &mut ExtFields) {
                out.insert_i64(field, $unwrap(*self));
            }
        }
    )+};
}

number_text! {
    i32, "a 32-bit integer", |number| number, i64::from;
    i64, "a 64-bit integer", |number| number, |number| number;
    PhysicalOffset, "a 64-bit integer", PhysicalOffset, |offset: PhysicalOffset| offset.0;
    QueueOffset, "a 64-bit integer", QueueOffset, |offset: QueueOffset| offset.0;
    BrokerId, "a 64-bit integer", BrokerId, |id: BrokerId| id.0;
}

/// Declares a header: a struct whose fields carry their wire names.
///
/// `name: Type => "wire"` is required unless the type is an `Option`; `name: Type => "wire", or default` is written
/// always and read as the default when absent.
macro_rules! command_header {
    ($(
        $(#[$doc:meta])*
        $name:ident {
            $( $(#[$field_doc:meta])* $field:ident : $type:ty => $wire:literal $(, or $default:expr)? ; )*
        }
    )+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $( $(#[$field_doc])* pub $field: $type, )*
        }

        impl $crate::header::CommandHeader for $name {
            #[allow(unused_variables, reason = "a header without fields writes nothing")]
            fn write(&self, out: &mut $crate::ext_fields::ExtFields) {
                $( $crate::header::FieldValue::put(&self.$field, $wire, out); )*
            }

            #[allow(unused_variables, reason = "a header without fields reads nothing")]
            fn read(fields: &$crate::ext_fields::ExtFields) -> Result<Self, $crate::header::HeaderError> {
                Ok(Self {
                    $( $field: command_header!(@take fields, stringify!($name), $type, $wire $(, $default)?), )*
                })
            }
        }
    )+};
    (@take $fields:ident, $header:expr, $type:ty, $wire:literal) => {
        <$type as $crate::header::FieldValue>::take($fields, $header, $wire)?
    };
    (@take $fields:ident, $header:expr, $type:ty, $wire:literal, $default:expr) => {
        <Option<$type> as $crate::header::FieldValue>::take($fields, $header, $wire)?.unwrap_or_else(|| $default)
    };
}

pub(crate) use command_header;
