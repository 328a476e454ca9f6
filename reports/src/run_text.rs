//! One run, on a terminal.

use crate::{
    record::{LossPromise, RunRecord, Verdict},
    text::{count, duration_ms},
};
use std::fmt::Write;

/// How many findings and identifiers are shown before the rest is only counted.
const SHOWN: usize = 8;

/// The page of one run, for people. The same for the same record but for the wall-clock time in its last lines.
pub fn run_text(record: &RunRecord) -> String {
    run_text_with(record, &record.command())
}

/// As [`run_text`], with this as the command that runs it again.
pub fn run_text_with(record: &RunRecord, again: &str) -> String {
    let mut text = String::new();
    write_text(record, again, &mut text).expect("writing to a string cannot fail");
    text
}

fn write_text(record: &RunRecord, again: &str, out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "{}  ·  {} flush  ·  fault {}  ·  seed {}",
        record.scenario, record.flush, record.fault, record.seed
    )?;
    writeln!(out)?;
    for entry in &record.timeline {
        writeln!(out, "  {:>9}  {}", format!("{}.{:03} s", entry.at_ms / 1000, entry.at_ms % 1000), entry.what)?;
    }
    writeln!(out)?;
    let mut row = |name: &str, number: u64, note: &str| {
        let gap = if note.is_empty() { "" } else { "   " };
        writeln!(out, "  {name:<14} {:>8}{gap}{note}", count(number))
    };
    row("sent", record.sent, "")?;
    row("acknowledged", record.acked, "SEND_OK: what the cluster promised to keep")?;
    row("unknown", record.unknown, "no answer, or an answer that is no promise")?;
    row("failed", record.failed, "")?;
    row("delivered", record.delivered, "")?;
    row("duplicates", record.duplicates, &duplicates(record))?;
    row("lost", record.lost, &lost(record))?;
    for (name, number) in [
        ("phantoms", record.phantoms),
        ("corruptions", record.corruptions),
        ("out of order", record.order_violations),
        ("wrong offsets", record.offset_violations),
    ] {
        if number > 0 {
            row(name, number, "")?;
        }
    }
    writeln!(
        out,
        "  {:<14} {:>8}   longest time without a successful send",
        "unavailable",
        duration_ms(record.unavailable_ms)
    )?;
    for injection in &record.injected {
        let counts =
            injection.counts.iter().map(|(name, number)| format!("{} {}", count(*number), name.replace('_', " ")));
        let counts = counts.collect::<Vec<_>>().join(", ");
        let counts = if counts.is_empty() { "nothing was hit" } else { &counts };
        writeln!(out, "  {:<14} {counts}   ({})", "injected", injection.action)?;
    }
    if !record.lost_ids.is_empty() {
        let shown = record.lost_ids.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(" ");
        let rest = record.lost.saturating_sub(SHOWN as u64);
        let more = if rest > 0 { format!(" … and {} more", count(rest)) } else { String::new() };
        writeln!(out, "\n  lost: {shown}{more}")?;
    }
    writeln!(out, "\n  promise   {}", record.promise)?;
    writeln!(out, "  verdict   {}", verdict(record))?;
    for finding in record.findings.iter().take(SHOWN) {
        writeln!(out, "            {}: {}", finding.oracle, finding.message)?;
    }
    if record.findings.len() > SHOWN {
        writeln!(out, "            … and {} more findings, all in run.json", record.findings.len() - SHOWN)?;
    }
    if !record.fault_points.is_empty() {
        let fired = record.fault_points.iter().filter(|(_, count)| count.fired > 0);
        let shown = fired.map(|(name, at)| format!("{name} ({})", count(at.fired))).collect::<Vec<_>>().join(", ");
        writeln!(out, "\n  fired     {shown}")?;
    }
    if !record.knobs.is_empty() {
        let shown = record.knobs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
        writeln!(out, "\n  knobs     {shown}")?;
    }
    writeln!(
        out,
        "\n  trace hash {}  ({} steps, {:.1} simulated s)",
        record.trace_hash,
        count(record.trace_steps),
        record.sim_seconds
    )?;
    writeln!(out, "  again      {again}")
}

fn duplicates(record: &RunRecord) -> String {
    let causes = record.duplicates_by_cause;
    match (causes.redelivered, causes.resent) {
        (0, 0) => String::new(),
        (redelivered, 0) => format!("{} delivered again", count(redelivered)),
        (0, resent) => format!("{} sent again after an unknown outcome", count(resent)),
        (redelivered, resent) => {
            format!("{} delivered again, {} sent again after an unknown outcome", count(redelivered), count(resent))
        }
    }
}

fn lost(record: &RunRecord) -> String {
    if record.lost == 0 {
        return "acknowledged and gone".to_owned();
    }
    let mut text = format!(
        "acknowledged and gone; the oldest was acknowledged {} before the fault",
        duration_ms(record.oldest_lost_ms)
    );
    if let LossPromise::Window { bound_ms } = record.promise_loss {
        let _ = write!(text, " (bound: {})", duration_ms(bound_ms));
    }
    if record.undelivered > 0 {
        let _ = write!(text, "; {} of them are stored but were never delivered", count(record.undelivered));
    }
    text
}

fn verdict(record: &RunRecord) -> &'static str {
    match (record.verdict, record.lost) {
        (Verdict::Held, 0) => "HELD",
        (Verdict::Held, _) => "HELD — the loss is one that this mode allows",
        (Verdict::Broken, _) => "BROKEN",
        (Verdict::NotLive, _) => "NOT LIVE — everything was healed and the cluster did not come back",
    }
}
