//! `staticfire check`: the oracles alone, on any history.

use super::{
    CliError, Exit,
    args::{self, CheckArguments},
    output,
};
use crate::{
    catalogue, history, promise,
    spec::{Flush, Mode},
    verdict::{self, Judged},
};
use faults::Fault;
use serde_json::json;
use std::{fs::File, io::BufReader};

pub fn check(arguments: &CheckArguments) -> Result<Exit, CliError> {
    let (mode, flush, fault) = parse_promise(&arguments.promise)?;
    let path = arguments.history.display();
    let file =
        File::open(&arguments.history).map_err(|error| CliError::Usage(format!("cannot read `{path}`: {error}")))?;
    let events = history::read(BufReader::new(file)).map_err(|error| CliError::Usage(format!("`{path}`: {error}")))?;
    let mut scenario = catalogue::standard(mode);
    (scenario.flush, scenario.fault) = (flush, fault);
    scenario.check_fault()?;
    let promise = promise::of_fault(&scenario);
    let judged = verdict::judge_against(&events, &promise);
    if arguments.json {
        output::print_json(&json(&judged, &promise))?;
    } else {
        output::print(&text(&judged, &promise))?;
    }
    Ok(judged.verdict.into())
}

fn parse_promise(text: &str) -> Result<(Mode, Flush, Fault), CliError> {
    let parts = text.split('/').collect::<Vec<_>>();
    let [mode, flush, fault] = parts[..] else {
        return Err(CliError::Usage(format!(
            "--promise {text}: write MODE/FLUSH/FAULT, for example single-master/sync/power-loss"
        )));
    };
    let fault = args::fault(fault).map_err(CliError::Usage)?;
    Ok((mode.parse()?, flush.parse()?, fault))
}

fn json(judged: &Judged, promise: &promise::Promise) -> serde_json::Value {
    let Judged { judgement, verdict, findings, oldest_lost_ms, unavailable_ms, availability } = judged;
    let (counts, promise) = (judgement.ledger.counts, promise.weakest());
    json!({
        "sent": counts.sent, "acked": counts.acked, "unknown": counts.unknown, "failed": counts.failed,
        "delivered": counts.delivered,
        "lost": judgement.loss.lost.len(),
        "lost_ids": judgement.loss.lost.iter().map(|lost| lost.id.to_string()).collect::<Vec<_>>(),
        "duplicates": judgement.duplicates.redelivered + judgement.duplicates.resent,
        "phantoms": judgement.phantoms.len(), "corruptions": judgement.corruptions.len(),
        "order_violations": judgement.order.len(), "offset_violations": judgement.offsets.len(),
        "divergences": judgement.replicas.divergent_places, "resurrections": judgement.resurrections.len(),
        "skipped": judgement.loss.skipped(), "availability": availability,
        "oldest_lost_ms": oldest_lost_ms, "unavailable_ms": unavailable_ms,
        "promise": promise.to_string(), "promise_loss": promise.kind(), "promise_source": promise.source,
        "verdict": verdict, "findings": findings,
    })
}

fn text(judged: &Judged, promise: &promise::Promise) -> String {
    let (counts, promise) = (judged.judgement.ledger.counts, promise.weakest());
    let mut text = format!(
        "sent {}, acknowledged {}, unknown {}, failed {}, delivered {}, lost {}\npromise   {promise}\nverdict   {}\n",
        counts.sent,
        counts.acked,
        counts.unknown,
        counts.failed,
        counts.delivered,
        judged.judgement.loss.lost.len(),
        judged.verdict
    );
    for finding in &judged.findings {
        text.push_str(&format!("          {}: {}\n", finding.oracle, finding.message));
    }
    text
}
