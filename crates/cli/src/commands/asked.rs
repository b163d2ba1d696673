//! What came of asking the peers, as every reading command tells it.

use crate::output;
use kappadb::{Asked, MAX_AHEAD};
use serde_json::{Value, json};

/// Says which peers could not be asked, and that the answer may lack something.
pub fn report_failures(asked: &Asked) {
    for failure in &asked.failures {
        output::warn(&format!("peer {:.8}: {}", failure.peer.to_string(), failure.error));
    }
    if asked.peers == 0 && !asked.failures.is_empty() {
        output::warn("no peer could be asked; this is what is held here");
    }
    if asked.missing > 0 {
        output::warn(&format!("the content of {} could not be had", output::count(asked.missing, "entry")));
    }
}

/// Says how many entries of an answer are dated after this machine's clock.
pub fn report_ahead(json: bool, ahead: usize) {
    if ahead > 0 {
        let more = if ahead < MAX_AHEAD { "" } else { "at least " };
        let are = if ahead == 1 { "is" } else { "are" };
        let entries = format!("{more}{}", output::count(ahead as u64, "entry"));
        let text = format!("{entries} {are} dated after this machine's clock, which may be wrong");
        output::note(json, &json!({ "ahead": ahead }), &format!("kappa: {text}"));
    }
}

/// The line of `--stats`. Without peers asked nothing is said of completeness.
pub fn stats(results: usize, asked: Option<&Asked>, seconds: f64) -> Value {
    let none = Asked::default();
    let a = asked.unwrap_or(&none);
    json!({
        "results": results,
        "complete": asked.map(|a| a.complete),
        "peers": a.peers,
        "blocks_fetched": a.blocks_fetched,
        "bytes_received": a.bytes_received,
        "bytes_sent": a.bytes_sent,
        "round_trips": a.round_trips,
        "seconds": seconds,
    })
}
