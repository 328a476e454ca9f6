//! `{"$ref":"$.a.b[0]"}`: fastjson writes an object that it has written before as the path to it.
//!
//! Paths from the root are followed. `@` and `..`, which lead back to what contains the reference, make circles that no
//! body of RocketMQ's has.

use std::borrow::Cow;

use super::text::{Error, Text};

/// One step of a path.
enum Step<'a> {
    Member(Cow<'a, str>),
    Item(usize),
}

/// Where in `json` the value is to which `path` leads.
pub(super) fn follow(json: &str, path: &str) -> Result<usize, Error> {
    let mut text = Text { json, at: 0 };
    let mut rest = path.strip_prefix('$').ok_or_else(|| unresolved(path))?;
    while !rest.is_empty() {
        let (step, after) = step(rest).ok_or_else(|| unresolved(path))?;
        rest = after;
        let found = match step {
            Step::Member(name) => enter_member(&mut text, &name)?,
            Step::Item(index) => enter_item(&mut text, index)?,
        };
        if !found {
            return Err(unresolved(path));
        }
    }
    text.peek();
    Ok(text.at)
}

fn unresolved(path: &str) -> Error {
    let path: String = path.chars().take(64).collect();
    serde::de::Error::custom(format!("the reference \"{path}\" leads nowhere"))
}

fn step(rest: &str) -> Option<(Step<'_>, &str)> {
    if let Some(rest) = rest.strip_prefix('[') {
        let (index, after) = rest.split_once(']')?;
        let name = index.strip_prefix(['"', '\'']).and_then(|name| name.strip_suffix(['"', '\'']));
        let step = match name {
            Some(name) => Step::Member(name.into()),
            None => Step::Item(index.parse().ok()?),
        };
        return Some((step, after));
    }
    let rest = rest.strip_prefix('.')?;
    // A backslash stands before what would end a name.
    let (mut name, mut characters) = (String::new(), rest.char_indices());
    while let Some((at, character)) = characters.next() {
        match character {
            '.' | '[' => return Some((Step::Member(name.into()), &rest[at..])),
            '\\' => name.push(characters.next()?.1),
            _ => name.push(character),
        }
    }
    Some((Step::Member(name.into()), ""))
}

fn enter_member(text: &mut Text<'_>, wanted: &str) -> Result<bool, Error> {
    if !text.take(b'{') {
        return Ok(false);
    }
    loop {
        text.skip_commas();
        if text.take(b'}') {
            return Ok(false);
        }
        let is_object = text.peek() == Some(b'{');
        let is_wanted = if is_object { text.skip().map(|()| false)? } else { text.name()? == wanted };
        if !text.take(b':') {
            return text.error("':' is expected after a name");
        }
        if is_wanted {
            return Ok(true);
        }
        text.skip()?;
    }
}

fn enter_item(text: &mut Text<'_>, index: usize) -> Result<bool, Error> {
    if !text.open_list() {
        return Ok(false);
    }
    for _ in 0..index {
        text.skip_commas();
        if text.peek() == Some(b']') {
            return Ok(false);
        }
        text.skip()?;
    }
    text.skip_commas();
    Ok(text.peek() != Some(b']'))
}
