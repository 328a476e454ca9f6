//! `staticfire meta`: the same seed gives the same run in other processes.
//!
//! Runs the scenario in two fresh processes with another environment and another working directory, and compares their
//! records and their traces byte by byte; then sweeps a few seeds with one job and with two, and compares the records. With
//! `--all-faults` it is done to many seeds under all kinds of faults at once, see `all_faults`.

mod all_faults;

use super::{CliError, Exit, args::MetaArguments, output};
use crate::spec::{Flush, Mode};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

pub fn meta(arguments: &MetaArguments) -> Result<Exit, CliError> {
    let Some(name) = &arguments.scenario else {
        return all_faults::meta(arguments);
    };
    let scenario = crate::settings::load(name)?;
    scenario.check()?;
    let flush = arguments.flush.unwrap_or(scenario.flush);
    let work = std::env::temp_dir().join(format!("staticfire-meta-{}", std::process::id()));
    output::create_dir(&work)?;
    let differences = compare(arguments, name, scenario.mode, flush, &work);
    if let Err(error) = std::fs::remove_dir_all(&work) {
        eprintln!("staticfire: cannot remove {}: {error}", work.display());
    }
    let differences = differences?;
    if arguments.json {
        output::print_json(&json!({
            "scenario": name, "seed": arguments.seed, "deterministic": differences.is_empty(),
            "differences": differences,
        }))?;
    } else if differences.is_empty() {
        output::print(&format!(
            "deterministic: {} with seed {} is the same run in two processes, by record and by trace, and under 1 and 2 jobs\n",
            name, arguments.seed
        ))?;
    } else {
        output::print(&format!("NOT DETERMINISTIC:\n{}\n", differences.join("\n")))?;
    }
    Ok(if differences.is_empty() { Exit::Held } else { Exit::NotDeterministic })
}

fn compare(
    arguments: &MetaArguments,
    scenario: &str,
    mode: Mode,
    flush: Flush,
    work: &Path,
) -> Result<Vec<String>, CliError> {
    let mut differences = Vec::new();
    let scenario = absolute(scenario)?;
    let runs = ["one", "another"].map(|name| {
        let dir = work.join(name);
        let words = [
            "run",
            &scenario,
            "--seed",
            &arguments.seed.to_string(),
            "--flush",
            flush.name(),
            "--fault",
            &arguments.fault.to_string(),
            "--trace",
            "--json",
            "--out",
            ".",
        ];
        child(&dir, name, &words.map(str::to_owned)).map(|()| dir)
    });
    let [one, another] = runs;
    let (one, another) = (one?, another?);
    for file in ["run.json", "history.jsonl", "trace.jsonl"] {
        let read = |dir: &Path| output::read_file(&dir.join(file)).map(|text| comparable(file, text));
        if let Some(line) = first_difference(&read(&one)?, &read(&another)?) {
            differences.push(format!("{file} differs between two processes, first at line {line}"));
        }
    }
    let sweeps = [("1", "one-job"), ("2", "two-jobs")].map(|(jobs, name)| {
        let dir = work.join(name);
        let seeds = format!("{}..{}", arguments.seed, arguments.seed + 4);
        let words = [
            "sweep",
            "--modes",
            mode.name(),
            "--flush",
            flush.name(),
            "--faults",
            &arguments.fault.to_string(),
            "--seeds",
            &seeds,
            "--jobs",
            jobs,
            "--json",
            "--out",
            ".",
        ];
        child(&dir, name, &words.map(str::to_owned)).map(|()| dir)
    });
    let [one, another] = sweeps;
    let read =
        |dir: PathBuf| output::read_file(&dir.join("records.jsonl")).map(|text| comparable("records.jsonl", text));
    if let Some(line) = first_difference(&read(one?)?, &read(another?)?) {
        differences.push(format!("the records of a sweep differ between 1 and 2 jobs, first in trial {line}"));
    }
    Ok(differences)
}

/// A scenario file is found from any working directory; a name of the catalogue is.
fn absolute(scenario: &str) -> Result<String, CliError> {
    if !scenario.ends_with(".toml") {
        return Ok(scenario.to_owned());
    }
    let path = std::path::absolute(scenario).map_err(|error| CliError::Usage(format!("`{scenario}`: {error}")))?;
    Ok(path.display().to_string())
}

/// Runs this program anew, in a directory and with an environment of its own.
fn child(dir: &Path, name: &str, words: &[String]) -> Result<(), CliError> {
    output::create_dir(dir)?;
    let failed = |error: &dyn std::fmt::Display| CliError::Usage(format!("cannot run this program again: {error}"));
    let program = std::env::current_exe().map_err(|error| failed(&error))?;
    let done = Command::new(program)
        .args(words)
        .current_dir(dir)
        .env("HOME", dir)
        .env("LANG", if name.len().is_multiple_of(2) { "C" } else { "de_DE.UTF-8" })
        .env("STATICFIRE_META", "x".repeat(name.len() * 100))
        .output()
        .map_err(|error| failed(&error))?;
    // 0, 10 and 11 are verdicts; anything else is no run.
    match done.status.code() {
        Some(0 | 10 | 11) => Ok(()),
        _ => Err(failed(&format!(
            "{} ended with {}: {}",
            words.join(" "),
            done.status,
            String::from_utf8_lossy(&done.stderr)
        ))),
    }
}

/// The text of a file without what may differ: the wall-clock time in records.
fn comparable(file: &str, text: String) -> String {
    let without_wall_time = |text: &str| {
        let Ok(mut value) = serde_json::from_str::<Value>(text) else { return text.to_owned() };
        if let Some(fields) = value.as_object_mut() {
            fields.remove("wall_ms");
        }
        serde_json::to_string_pretty(&value).unwrap_or_else(|_| text.to_owned())
    };
    match file {
        "run.json" => without_wall_time(&text),
        "records.jsonl" => text.lines().map(|line| without_wall_time(line).replace('\n', " ") + "\n").collect(),
        _ => text,
    }
}

/// The number of the first line in which two texts differ, from 1.
fn first_difference(one: &str, another: &str) -> Option<usize> {
    if one == another {
        return None;
    }
    let same = one.lines().zip(another.lines()).take_while(|(one, another)| one == another).count();
    Some(same + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_found_and_wall_time_is_none() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(first_difference("a\n", "a\nb\n"), Some(2));
        let record = |wall_ms| comparable("run.json", format!(r#"{{"seed":1,"wall_ms":{wall_ms}}}"#));
        assert_eq!(record(1), record(2));
    }
}
