//! Values from the text: a serde deserializer that forgives what fastjson forgives.
//!
//! A cast that gives null where a null cannot be stored, and an enum's name that nobody knows, leave the member at its default.
//! That becomes known only when the value is read, too late to leave the member out. So its place is noted, and the document is
//! read once more with those places as nulls. No well-formed document needs that.

use std::borrow::Cow;

use serde::de::value::{BorrowedStrDeserializer, StrDeserializer};
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::names::{self, Fit, Places};
use super::reference;
use super::scalar::{self, Cast, Scalar};
use super::text::{DEPTH_MAX, Error, Text};

/// How many references may lie on the way to a value, and how many times the text's length may be read for all of them.
const REFERENCES_DEEP_MAX: u32 = 4;
const REFERENCES_COST_MAX: usize = 4;

/// Reads the whole of `json` as one value.
pub(super) fn read<'de, T: Deserialize<'de>>(json: &'de str) -> Result<T, Error> {
    let mut reader = Reader::new(json, Vec::new());
    let first = reader.document();
    if reader.blanks.is_empty() {
        return first;
    }
    // An error may be the consequence of a blank, such as one that stands for an item of a list.
    let mut blanks = std::mem::take(&mut reader.blanks);
    blanks.sort_unstable();
    blanks.dedup();
    Reader::new(json, blanks).document()
}

struct Reader<'de> {
    text: Text<'de>,
    depth: u32,
    /// Where values are that turned out to stand for null, in this reading.
    blanks: Vec<usize>,
    /// Where they were in the first reading, sorted.
    nulls: Vec<usize>,
    /// How many more bytes may be read to follow references.
    references_budget: usize,
    references_deep: u32,
}

impl<'de> Reader<'de> {
    fn new(json: &'de str, nulls: Vec<usize>) -> Self {
        Self {
            text: Text { json, at: 0 },
            depth: 0,
            blanks: Vec::new(),
            nulls,
            references_budget: json.len().saturating_mul(REFERENCES_COST_MAX),
            references_deep: 0,
        }
    }

    fn document<T: Deserialize<'de>>(&mut self) -> Result<T, Error> {
        if self.is_null() {
            return self.text.error("nothing is there");
        }
        let value = T::deserialize(&mut *self).map_err(|error| error.or_at(self.text.at))?;
        match self.text.peek() {
            None if self.text.at == self.text.json.len() => Ok(value),
            _ => self.text.error("more follows the value"),
        }
    }

    /// Whether the next value is null, or stands for it; not consumed.
    fn is_null(&mut self) -> bool {
        let Some(next) = self.text.peek() else { return false };
        if !self.nulls.is_empty() && self.nulls.binary_search(&self.text.at).is_ok() {
            return true;
        }
        matches!(next, b'n' | b'u' | b'N') && matches!(self.text.clone().scalar(), Ok(Scalar::Null))
    }

    /// Whether the next value can be read as a boolean; not consumed.
    fn is_truth(&self) -> bool {
        self.text.clone().scalar().is_ok_and(|scalar| matches!(scalar::to_bool(&scalar), Ok(Some(_))))
    }

    /// The next scalar in the type that `cast` gives; `otherwise` if it stands for null.
    fn cast<T>(&mut self, cast: fn(&Scalar<'_>) -> Cast<T>, otherwise: T) -> Result<T, Error> {
        self.text.peek();
        let start = self.text.at;
        if self.is_null() {
            self.text.skip()?;
            return Ok(otherwise);
        }
        let scalar = match self.text.peek() {
            // AtomicInteger and AtomicLong as the beans that fastjson 1.1 took them for.
            Some(b'{') => self.atomic()?,
            _ => self.text.scalar()?,
        };
        match cast(&scalar) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => {
                self.blanks.push(start);
                Ok(otherwise)
            }
            Err(expected) => Err(Error::new(format!("{expected} is expected"), start)),
        }
    }

    fn atomic(&mut self) -> Result<Scalar<'de>, Error> {
        let start = self.text.at;
        self.text.at += 1;
        let mut value = None;
        loop {
            self.text.skip_commas();
            if self.text.take(b'}') {
                return value.ok_or_else(|| Error::new("a number is expected", start));
            }
            let name = self.text.name()?;
            if !self.text.take(b':') || !matches!(&*name, "andIncrement" | "andDecrement") {
                return Err(Error::new("a number is expected", start));
            }
            value = Some(self.text.scalar()?);
        }
    }

    /// Text, as `StringCodec` makes it of a value of any kind.
    fn string(&mut self) -> Result<Cow<'de, str>, Error> {
        if !matches!(self.text.peek(), Some(b'{' | b'[' | b'S' | b'T')) {
            return Ok(match self.text.scalar()? {
                Scalar::Null => Cow::Borrowed(""),
                Scalar::Bool(true) => Cow::Borrowed("true"),
                Scalar::Bool(false) => Cow::Borrowed("false"),
                Scalar::Number(number) => scalar::as_java_writes(number),
                Scalar::Text(text) => text,
            });
        }
        let value = serde_json::Value::deserialize(self)?;
        Ok(Cow::Owned(value.to_string()))
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth == DEPTH_MAX {
            return self.text.error("nested too deep");
        }
        self.depth += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    /// Reads the value that the reference leads to.
    fn refer<T>(&mut self, path: &str, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        let behind = self.text.at;
        if self.references_deep == REFERENCES_DEEP_MAX {
            return self.text.error("references to references");
        }
        self.text.at = reference::follow(self.text.json, path)?;
        let mut end = self.text.clone();
        end.skip()?;
        self.references_budget = match self.references_budget.checked_sub(end.at) {
            Some(budget) => budget,
            None => return self.text.error("too many references"),
        };
        self.references_deep += 1;
        let value = read(self)?;
        self.references_deep -= 1;
        self.text.at = behind;
        Ok(value)
    }

    /// Finds the members of the object that begins here. `Err` has the path of a reference.
    fn members(&mut self, fields: &[&str]) -> Result<Result<Places, Cow<'de, str>>, Error> {
        let mut places = Places::new(fields.len());
        let mut path = None;
        loop {
            self.text.skip_commas();
            if self.text.take(b'}') {
                return Ok(path.map_or(Ok(places), Err));
            }
            let name = match self.text.peek() {
                Some(b'{') => self.text.skip().map(|()| Cow::Borrowed(""))?,
                _ => self.text.name()?,
            };
            if !self.text.take(b':') {
                return self.text.error("':' is expected after a name");
            }
            if name == "$ref" && matches!(self.text.peek(), Some(b'"' | b'\'')) {
                path = Some(self.text.name()?);
                continue;
            }
            let is_null = self.is_null();
            self.text.peek();
            let member = names::find(&name, fields);
            let at = self.text.at;
            if let Some(member) = member.filter(|(_, fit)| *fit != Fit::Is || self.is_truth()) {
                places.note(member, (!is_null).then_some(at));
            }
            self.text.skip()?;
        }
    }
}

macro_rules! numbers {
    ($($method:ident, $visit:ident, $cast:expr, $zero:expr;)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let value = self.cast($cast, $zero)?;
            visitor.$visit(value)
        }
    )+};
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    numbers! {
        deserialize_bool, visit_bool, scalar::to_bool, false;
        deserialize_i8, visit_i32, scalar::to_int, 0;
        deserialize_i16, visit_i32, scalar::to_int, 0;
        deserialize_i32, visit_i32, scalar::to_int, 0;
        deserialize_u8, visit_i32, scalar::to_int, 0;
        deserialize_u16, visit_i32, scalar::to_int, 0;
        deserialize_i64, visit_i64, scalar::to_long, 0;
        deserialize_u32, visit_i64, scalar::to_long, 0;
        deserialize_u64, visit_i64, scalar::to_long, 0;
        deserialize_f32, visit_f64, scalar::to_double, 0.0;
        deserialize_f64, visit_f64, scalar::to_double, 0.0;
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.text.peek() {
            Some(b'{') => return self.deserialize_map(visitor),
            Some(b'[' | b'S' | b'T') => return self.deserialize_seq(visitor),
            _ => {}
        }
        match self.text.scalar()? {
            Scalar::Null => visitor.visit_unit(),
            Scalar::Bool(bool) => visitor.visit_bool(bool),
            Scalar::Number(number) => match (number.parse::<i64>(), number.parse::<u64>(), number.parse::<f64>()) {
                (Ok(whole), ..) => visitor.visit_i64(whole),
                (_, Ok(whole), _) => visitor.visit_u64(whole),
                (.., Ok(number)) => visitor.visit_f64(number),
                _ => self.text.error("a number is expected"),
            },
            Scalar::Text(Cow::Borrowed(text)) => visitor.visit_borrowed_str(text),
            Scalar::Text(Cow::Owned(text)) => visitor.visit_string(text),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.string()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() {
            self.text.skip()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deeper(|reader| {
            if reader.text.open_list() {
                return visitor.visit_seq(Items { reader });
            }
            if matches!(reader.text.peek(), Some(b'"' | b'\'')) {
                let start = reader.text.at;
                if reader.text.name()?.is_empty() {
                    return visitor.visit_seq(Lone { reader, is_there: false });
                }
                reader.text.at = start;
            }
            visitor.visit_seq(Lone { reader, is_there: true })
        })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deeper(|reader| {
            if !reader.text.take(b'{') {
                return reader.text.error("an object is expected");
            }
            visitor.visit_map(Entries { reader })
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deeper(|reader| {
            reader.text.peek();
            let start = reader.text.at;
            if !reader.text.take(b'{') {
                // What says nothing stands for null.
                if ["\"\"", "''", "[]"].iter().any(|nothing| reader.text.json[start..].starts_with(nothing)) {
                    reader.text.at += 2;
                    reader.blanks.push(start);
                    let (places, end) = (Places::new(0), reader.text.at);
                    return visitor.visit_map(Members { reader, fields, places, next: 0, value_at: end });
                }
                return reader.text.error("an object is expected");
            }
            let found = reader.members(fields).map_err(|error| error.or_at(start))?;
            let end = reader.text.at;
            let value = match found {
                Ok(places) => visitor.visit_map(Members { reader, fields, places, next: 0, value_at: end })?,
                Err(path) => reader.refer(&path, |reader| reader.deserialize_struct(name, fields, visitor))?,
            };
            reader.text.at = end;
            Ok(value)
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.text.peek();
        let start = self.text.at;
        let index = match self.text.scalar()? {
            Scalar::Number(ordinal) => {
                let index = ordinal.parse().ok().filter(|index: &usize| *index < variants.len());
                let expected = || Error::new(format!("{ordinal} is not one of {}", variants.join(", ")), start);
                index.ok_or_else(expected)?
            }
            Scalar::Text(name) => match variants.iter().position(|variant| variant.eq_ignore_ascii_case(&name)) {
                Some(index) => index,
                None => {
                    self.blanks.push(start);
                    0
                }
            },
            Scalar::Null => 0,
            Scalar::Bool(_) => return Err(Error::new("the name or the number of a constant is expected", start)),
        };
        visitor.visit_enum(StrDeserializer::<Error>::new(variants[index]))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.text.skip()?;
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct
    }
}

/// The items of a list whose bracket is read.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        loop {
            self.reader.text.skip_commas();
            if self.reader.text.take(b']') {
                return Ok(None);
            }
            if !self.reader.is_null() {
                return seed.deserialize(&mut *self.reader).map(Some);
            }
            self.reader.text.skip()?;
        }
    }
}

/// What stands where a list is expected, as its only item.
struct Lone<'a, 'de> {
    reader: &'a mut Reader<'de>,
    is_there: bool,
}

impl<'de> SeqAccess<'de> for Lone<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if !std::mem::take(&mut self.is_there) {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

/// The entries of a map whose brace is read.
struct Entries<'a, 'de> {
    reader: &'a mut Reader<'de>,
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        loop {
            let text = &mut self.reader.text;
            text.skip_commas();
            if text.take(b'}') {
                return Ok(None);
            }
            text.peek();
            let start = text.at;
            let key = match text.peek() {
                // An object as key is given as its text.
                Some(b'{') => {
                    text.skip()?;
                    Cow::Borrowed(&text.json[start..text.at])
                }
                _ => text.name()?,
            };
            if !text.take(b':') {
                return text.error("':' is expected after a key");
            }
            if key == "@type" || self.reader.is_null() {
                self.reader.text.skip()?;
                continue;
            }
            return seed.deserialize(Key { key }).map(Some).map_err(|error| error.or_at(start));
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(&mut *self.reader)
    }
}

/// A key, which is a text, or a number if one is wanted.
struct Key<'de> {
    key: Cow<'de, str>,
}

impl<'de> Key<'de> {
    fn number(&self) -> Result<i64, Error> {
        let whole = self.key.trim_end_matches('0').strip_suffix('.').unwrap_or(&self.key);
        scalar::to_long(&Scalar::Text(Cow::Borrowed(whole)))
            .ok()
            .flatten()
            .ok_or_else(|| de::Error::custom("a whole number is expected as key"))
    }
}

macro_rules! number_keys {
    ($($method:ident)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.visit_i64(self.number()?)
        }
    )+};
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Error;

    number_keys! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.key {
            Cow::Borrowed(key) => visitor.visit_borrowed_str(key),
            Cow::Owned(key) => visitor.visit_string(key),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i128 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple tuple_struct map struct
        enum identifier ignored_any
    }
}

/// The members of a struct, in the order of its fields.
struct Members<'a, 'de> {
    reader: &'a mut Reader<'de>,
    fields: &'static [&'static str],
    places: Places,
    next: usize,
    value_at: usize,
}

impl<'de> MapAccess<'de> for Members<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((index, at)) = self.places.next(self.next) else { return Ok(None) };
        self.next = index + 1;
        self.value_at = at;
        let name = BorrowedStrDeserializer::<Error>::new(self.fields[index]);
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        self.reader.text.at = self.value_at;
        let field = self.fields[self.next - 1];
        let value_at = self.value_at;
        seed.deserialize(&mut *self.reader).map_err(|error| error.or_at(value_at).within(field))
    }
}
