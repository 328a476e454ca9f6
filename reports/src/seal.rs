//! The seal of a record: a digest by which it is noticed that a record was altered after it was written.
//!
//! It covers every field but itself and `wall_ms`, which two runs of the same seed differ in. It does not depend on the order of
//! keys or on white space, so that a record may be formatted anew. It is no signature: it tells mistakes, not forgeries.

use serde_json::Value;

/// Those that it does not cover.
const LEFT_OUT: [&str; 2] = ["seal", "wall_ms"];

/// The seal that belongs to a record in its JSON form: 16 hexadecimal digits.
pub fn seal_of(record: &Value) -> String {
    let mut digest = Digest(0xcbf2_9ce4_8422_2325);
    match record.as_object() {
        Some(fields) => digest.object(fields.iter().filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()))),
        None => digest.value(record),
    }
    format!("{:016x}", digest.0)
}

/// FNV-1a over a canonical form.
struct Digest(u64);

impl Digest {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn text(&mut self, kind: u8, text: &str) {
        self.bytes(&[kind]);
        self.bytes(&(text.len() as u64).to_le_bytes());
        self.bytes(text.as_bytes());
    }

    fn object<'a>(&mut self, fields: impl Iterator<Item = (&'a String, &'a Value)>) {
        let mut fields = fields.collect::<Vec<_>>();
        fields.sort_by_key(|(name, _)| *name);
        self.bytes(b"{");
        for (name, value) in fields {
            self.text(b'k', name);
            self.value(value);
        }
        self.bytes(b"}");
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.bytes(b"n"),
            Value::Bool(is_so) => self.bytes(if *is_so { b"t" } else { b"f" }),
            Value::Number(number) => self.text(b'#', &number.to_string()),
            Value::String(text) => self.text(b'"', text),
            Value::Array(values) => {
                self.bytes(b"[");
                values.iter().for_each(|value| self.value(value));
                self.bytes(b"]");
            }
            Value::Object(fields) => self.object(fields.iter()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_altered_does_not_fit_and_what_was_formatted_anew_does() {
        let seal = |text: &str| seal_of(&serde_json::from_str(text).expect("JSON"));
        let whole = seal(r#"{"seed":1,"plan":{"events":[{"at_ms":5}]},"sim_seconds":57.25,"wall_ms":9}"#);
        assert_eq!(
            whole,
            seal(r#"{ "wall_ms": 12, "sim_seconds": 57.25, "plan": {"events":[{"at_ms":5}]}, "seed": 1 }"#)
        );
        for altered in [
            r#"{"seed":2,"plan":{"events":[{"at_ms":5}]},"sim_seconds":57.25}"#,
            r#"{"seed":1,"plan":{"events":[{"at_ms":6}]},"sim_seconds":57.25}"#,
            r#"{"seed":1,"plan":{"events":[]},"sim_seconds":57.25}"#,
            r#"{"seed":1,"plan":{"events":[{"at_ms":5}]},"sim_seconds":57.25,"more":null}"#,
        ] {
            assert_ne!(whole, seal(altered), "{altered}");
        }
        assert_ne!(seal_of(&json!({ "a": "1" })), seal_of(&json!({ "a": 1 })));
        assert_ne!(seal_of(&json!({ "a": ["b", "c"] })), seal_of(&json!({ "a": ["bc"] })));
    }
}
