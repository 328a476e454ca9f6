//! Plans as people write them, in TOML or JSON: reading, and finding the line that is wrong.

use crate::{Plan, PlanError, PlannedEvent};
use std::ops::Range;

/// A file in which a plan stands, or ought to.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// The file's name. JSON if it ends so, else TOML.
    pub file: &'a str,
    pub text: &'a str,
    /// Where the plan's events stand in it: `["events"]` of a plan, `["plan", "events"]` of a scenario.
    pub path: &'a [&'a str],
}

/// What is wrong with a plan file, and where. [`std::fmt::Display`] begins with the place, as compilers do: `plan.toml:17: …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct WrittenError {
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    pub message: String,
}

impl<'a> Written<'a> {
    /// A file that is a plan and nothing else.
    pub fn plan(file: &'a str, text: &'a str) -> Written<'a> {
        Written { file, text, path: &["events"] }
    }

    /// A TOML file with a scenario, of which the plan is a part.
    pub fn scenario(file: &'a str, text: &'a str) -> Written<'a> {
        Written { file, text, path: &["plan", "events"] }
    }

    fn is_json(&self) -> bool {
        self.file.ends_with(".json")
    }

    /// Reads a file that is a plan.
    ///
    /// # Errors
    /// The first line that is none.
    pub fn read(&self) -> Result<Plan, WrittenError> {
        let error = |line, message: &str| WrittenError {
            file: self.file.to_owned(),
            line,
            message: format!("not a fault plan: {}", message.trim_end()),
        };
        if !self.is_json() {
            return toml::from_str(self.text).map_err(|wrong| {
                let span = wrong.span().unwrap_or_default();
                // The span of a table is its header: what is wrong stands below it, within the same event.
                let event = self.events().into_iter().find(|event| event.contains(&span.start));
                let span = span.start..event.map_or(span.end, |event| event.end);
                error(self.line_within(span, named_in(wrong.message())), wrong.message())
            });
        }
        serde_json::from_str(self.text).map_err(|wrong| {
            // The reader knows where a value ends, not where it goes wrong: asked one by one, events tell more.
            let events = self.events().into_iter();
            let wrong_event = events.enumerate().find_map(|(index, span)| {
                let wrong = serde_json::from_str::<PlannedEvent>(&self.text[span.clone()]).err()?;
                let message = without_place(&wrong);
                let line = self.line_within(span, named_in(&message));
                Some(error(line, &format!("event {index}: {message}")))
            });
            wrong_event.unwrap_or_else(|| error(wrong.line().max(1), &without_place(&wrong)))
        })
    }

    /// Names the line of this file that a plan's error is about.
    pub fn locate(&self, error: &PlanError) -> WrittenError {
        let span = self.events().into_iter().nth(error.index()).unwrap_or_default();
        let line = self.line_within(span, error.word());
        WrittenError { file: self.file.to_owned(), line, message: error.to_string() }
    }

    /// The line of a word in a part of the text; of its beginning if it is not there.
    fn line_within(&self, span: Range<usize>, word: Option<&str>) -> usize {
        let part = self.text.get(span.clone()).unwrap_or_default();
        let at = word.and_then(|word| find_word(part, word)).unwrap_or_else(|| part.len() - part.trim_start().len());
        1 + self.text[..span.start + at].matches('\n').count()
    }

    /// Where each event stands in the text, in bytes. Empty where the text is no plan at all.
    fn events(&self) -> Vec<Range<usize>> {
        if self.is_json() { json_events(self.text) } else { self.toml_events() }
    }

    fn toml_events(&self) -> Vec<Range<usize>> {
        use toml::de::{DeTable, DeValue};
        let Ok(root) = DeTable::parse(self.text) else { return Vec::new() };
        let mut table = root.into_inner();
        let Some((last, way)) = self.path.split_last() else { return Vec::new() };
        for name in way {
            match table.remove(*name).map(|value| value.into_inner()) {
                Some(DeValue::Table(inner)) => table = inner,
                _ => return Vec::new(),
            }
        }
        let Some(DeValue::Array(events)) = table.remove(*last).map(|value| value.into_inner()) else {
            return Vec::new();
        };
        let starts = events.iter().map(|event| event.span().start).collect::<Vec<_>>();
        // The span of a `[[events]]` is its header alone: it goes on to the next one.
        let ends = starts.iter().skip(1).copied().chain([self.text.len()]);
        starts.iter().copied().zip(ends).map(|(from, to)| from..to).collect()
    }
}

/// The first word in back quotes of a message: what it is about.
fn named_in(message: &str) -> Option<&str> {
    message.split('`').nth(1)
}

/// What a JSON reader says, without the place, which is not the one in the file.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(message, _)| message.to_owned())
}

/// Where a word stands for itself: in quotes, or else as a key.
fn find_word(text: &str, word: &str) -> Option<usize> {
    let is_part = |character: Option<char>| character.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-');
    let quoted = text.find(&format!("\"{word}\""));
    quoted.or_else(|| {
        let mut places = text.match_indices(word).map(|(at, _)| at);
        places.find(|at| !is_part(text[..*at].chars().next_back()) && !is_part(text[at + word.len()..].chars().next()))
    })
}

/// The objects of the array `events` of the outermost object.
fn json_events(text: &str) -> Vec<Range<usize>> {
    let mut events = Vec::new();
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    let (mut string_from, mut last_string) = (0, "");
    let (mut is_inside, mut from) = (false, 0);
    for (at, byte) in text.bytes().enumerate() {
        if is_string {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => (is_string, last_string) = (false, &text[string_from..at]),
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => (is_string, string_from) = (true, at + 1),
            b'[' | b'{' => {
                is_inside |= depth == 1 && byte == b'[' && last_string == "events";
                if is_inside && depth == 2 {
                    from = at;
                }
                depth += 1;
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if is_inside && depth == 2 {
                    events.push(from..at + 1);
                }
                is_inside &= depth > 1;
            }
            _ => {}
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Site;

    const JSON: &str = r#"{
  "events": [
    {
      "at_ms": 1000,
      "action": { "kind": "drop-caches", "host": "a" }
    },
    {
      "at_ms": 2000,
      "action": {
        "kind": "bad-link",
        "host": "a",
        "faults": {
          "loss": 1.5
        }
      }
    }
  ]
}
"#;
    const TOML: &str = r#"# A plan.
[[events]]
at_ms = 1000
action = { kind = "drop-caches", host = "a" }

[[events]]
at_ms = 2000
[events.action]
kind = "jam"
host = "a"
peers = [
    "c",
]
direction = "both"

[[events]]
at_ms = 90000
action = { kind = "freeze-clock", host = "b" }
"#;

    /// What is said of a plan for the hosts a and b.
    fn checked(written: Written) -> String {
        let error = match written.read() {
            Ok(plan) => plan.check(&Site::of(["a", "b"]), 10_000).map_err(|error| written.locate(&error)),
            Err(error) => Err(error),
        };
        error.expect_err("something is wrong").to_string()
    }

    #[test]
    fn an_error_names_the_line_of_the_very_word() {
        let told = checked(Written::plan("plan.json", JSON));
        assert_eq!(told, "plan.json:13: event 1 of the fault plan has loss = 1.5; it must be from 0 to 1");
        let told = checked(Written::plan("plan.toml", TOML));
        assert!(told.starts_with("plan.toml:12: event 1 of the fault plan names the host `c`"), "{told}");
        let told = checked(Written::plan("plan.toml", &TOML.replace("\"c\"", "\"b\"")));
        assert!(told.starts_with("plan.toml:17: event 2 of the fault plan is at 90000 ms"), "{told}");
    }

    #[test]
    fn so_does_one_of_the_form() {
        let told = checked(Written::plan("plan.json", &JSON.replace("bad-link", "bad-lnik")));
        assert!(told.starts_with("plan.json:10: not a fault plan: event 1: unknown variant `bad-lnik`"), "{told}");
        let told = checked(Written::plan("plan.json", &JSON.replace("\"loss\"", "\"los\"")));
        assert!(told.starts_with("plan.json:13: ") && told.contains("unknown field `los`"), "{told}");
        let told = checked(Written::plan("plan.json", &JSON.replace("1000,", "1000")));
        assert!(told.starts_with("plan.json:5: "), "{told}");
        let told = checked(Written::plan("plan.toml", &TOML.replace("direction", "directoin")));
        assert!(told.starts_with("plan.toml:14: ") && told.contains("directoin"), "{told}");
        let told = checked(Written::plan("plan.toml", &TOML.replace("at_ms = 2000", "at_ms = -1")));
        assert!(told.starts_with("plan.toml:7: "), "{told}");
        let told = checked(Written::plan("plan.toml", &TOML.replace("kind = \"jam\"", "kind = \"heal\"")));
        assert!(told.starts_with("plan.toml:9: ") && told.contains("`jam`"), "a heal has no form: {told}");
    }

    #[test]
    fn a_plan_within_a_scenario_is_found_too() {
        let text = format!(
            "name = \"x\"\n\n[plan]\n{}",
            TOML.replace("[[events", "[[plan.events").replace("[events", "[plan.events")
        );
        let written = Written::scenario("scenario.toml", &text);
        let error = PlanError::UnknownHost { index: 1, host: "c".to_owned(), known: String::new() };
        assert_eq!(written.locate(&error).line, 15);
        let error = PlanError::EndsAtOnce { index: 2 };
        assert_eq!(written.locate(&error).line, 19, "the first line below its header");
    }
}
