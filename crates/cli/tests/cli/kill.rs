//! `kill -9` at random points of an import.
use crate::common::{Db, EXTRACT};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// What was reported durable is there after any kill, the replica verifies clean, and importing again completes it.
#[test]
fn an_import_survives_ten_kills() {
    let db = Db::init();
    let whole = Db::helsinki();
    let mut promised = 0;
    for round in 0..10 {
        let mut child = db
            .command(&["--json", "map", "import", EXTRACT])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let reports = BufReader::new(child.stderr.take().unwrap()).lines();
        // Another point each round: after some reports, and then a little later.
        for report in reports.take(1 + round % 5) {
            let line: Value = serde_json::from_str(&report.unwrap()).unwrap();
            promised = promised.max(line["durable"].as_u64().unwrap_or(0));
        }
        std::thread::sleep(std::time::Duration::from_millis((round as u64 * 7) % 23));
        child.kill().unwrap();
        child.wait().unwrap();
        let held: u64 = db.json(&["status"])["feeds"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f["held"].as_u64().unwrap())
            .sum();
        assert!(held >= promised, "round {round}: {held} held, {promised} promised");
        assert_eq!(db.run(&["verify"]).status.code(), Some(0), "round {round}");
    }
    assert!(promised > 0);
    db.ok(&["map", "import", EXTRACT]);
    assert_eq!(db.ids("-180,-90,180,90"), whole.ids("-180,-90,180,90"));
}
