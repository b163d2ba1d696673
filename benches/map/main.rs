//! The map index on 1,000,000 points, rectangles and clustered points, beside rstar, geo-index and SQLite's R*Tree in one run.
//!
//! `cargo bench -p kappadb-benches --bench map [-- COUNT] [alone] [points|rectangles|clusters|moved]`, `alone` to leave the others out. kappadb's and SQLite's are on disk and outlive the process; the
//! others live in memory.
#![expect(clippy::indexing_slicing, reason = "a bench may fail loudly")]

mod data;
mod kappa;
mod others;

use data::{Data, QUERIES, arrived, queries};
use kappa::{Kappa, Times};
use kappadb_benches::{peak_memory_mib, timed};
use kappadb_core::{Extent, GeoBox};
use kappadb_entry::rules::{self, Version};
use kappadb_query::Selector;
use kappadb_sim::Random;
use kappadb_view::{Arrived, Index};
use kappadb_view_geo::{Order, Query};
use others::Sqlite;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

/// How long each of some questions took, in microseconds, and the number of all hits.
fn ask(boxes: &[GeoBox], mut count: impl FnMut(&GeoBox) -> usize) -> (Vec<f64>, usize) {
    let mut hits = 0;
    let micros = boxes.iter().map(|b| {
        let (found, seconds) = timed(|| count(b));
        hits += found;
        seconds * 1e6
    });
    (micros.collect(), hits)
}

/// Median and p99.
fn spread(mut micros: Vec<f64>) -> String {
    micros.sort_by(f64::total_cmp);
    let at = |share: f64| micros.get((micros.len() as f64 * share) as usize).copied().unwrap_or(0.0);
    format!("{:>7.1} us median, {:>7.1} us p99", at(0.5), at(0.99))
}

fn report(name: &str, count: usize, seconds: f64, (micros, hits): (Vec<f64>, usize)) {
    let (rate, hits) = (count as f64 / seconds / 1e6, hits as f64 / QUERIES as f64);
    println!("  {name:38} {rate:>6.2} M/s | query {}, {hits:>5.1} hits", spread(micros));
}

fn compare_others(boxes: &[GeoBox], asked: &[GeoBox]) {
    let (tree, build) = timed(|| others::rstar_bulk(boxes));
    report("rstar, in memory, bulk", boxes.len(), build, ask(asked, |b| others::rstar_count(&tree, b)));
    let (tree, build) = timed(|| others::rstar_one_by_one(boxes));
    report("rstar, in memory, one by one", boxes.len(), build, ask(asked, |b| others::rstar_count(&tree, b)));
    drop(tree);

    let dir = tempfile::tempdir().expect("temp dir");
    let mut sqlite = Sqlite::open(&dir.path().join("map.sqlite"));
    let ((), build) = timed(|| {
        (0..).step_by(1_000).zip(boxes.chunks(1_000)).for_each(|(first, batch)| sqlite.insert(batch, first));
    });
    drop(ask(asked, |b| sqlite.count(b)));
    report("SQLite R*Tree, on disk, by 1,000", boxes.len(), build, ask(asked, |b| sqlite.count(b)));
}

fn compare(data: Data, name: &str, count: u64, alone: bool) {
    println!("{count} {name}");
    let boxes = data.boxes(count);
    let (tree, build) = timed(|| others::packed(&boxes));
    let asked = queries(data, &boxes, |b| others::packed_count(&tree, b));
    let answers = ask(&asked, |b| others::packed_count(&tree, b));
    let expected = answers.1;
    report("geo-index, in memory, static", boxes.len(), build, answers);

    if !alone {
        compare_others(&boxes, &asked);
    }
    let arrivals: Vec<Arrived> = boxes.iter().zip(0..).map(|(b, n)| arrived(*b, n)).collect();
    let (kappa, while_busy) = (Kappa::new(), AtomicBool::new(true));
    let (times, busy) = std::thread::scope(|scope| {
        let questions = scope.spawn(|| {
            let mut micros = Vec::new();
            for b in asked.iter().cycle().take_while(|_| while_busy.load(Ordering::Relaxed)) {
                micros.push(timed(|| kappa.query(b, &Query::default())).1 * 1e6);
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            micros
        });
        let times = kappa.ingest(&arrivals);
        while_busy.store(false, Ordering::Relaxed);
        (times, questions.join().expect("asks"))
    });
    let count = |b: &GeoBox| kappa.query(b, &Query::default()).hits.len();
    drop(ask(&asked, count));
    let answers = ask(&asked, count);
    assert_eq!(answers.1, expected, "kappadb and geo-index disagree");
    report("kappadb map view, on disk, by 1,000", boxes.len(), times.ingest, answers);
    let Times { settle, batch_ms, install_ms, .. } = times;
    println!("  {:38} queries while ingesting {}", "", spread(busy));
    println!(
        "  {:38} longest pause: a batch {batch_ms:.0} ms, installing a merged run {install_ms:.1} ms; merged {settle:.1} s after",
        ""
    );
    println!(
        "  {:38} {:.3} s to open again; {} MiB peak memory so far",
        "",
        kappa.reopen(),
        peak_memory_mib()
    );
    low_zoom(&kappa);
}

/// A box that holds everything: the first thousand, and on from there.
fn low_zoom(kappa: &Kappa) {
    let mut query = Query { limit: Some(1_000), order: Order::LargestFirst, ..Query::default() };
    let mut millis = Vec::new();
    for _ in 0..50 {
        let (answer, seconds) = timed(|| kappa.query(&GeoBox::WORLD, &query));
        millis.push(seconds * 1e3);
        query.after = answer.next;
    }
    let first = millis[0];
    millis.sort_by(f64::total_cmp);
    let (median, most) = (millis[25], millis[49]);
    println!(
        "  {:38} the world, largest first: 1,000 in {first:.1} ms; 50 pages {median:.1} ms each, {most:.1} at most",
        ""
    );
}

/// A tenth of all features moved ten times by tens of degrees.
fn far_moved(count: u64) {
    println!("{count} points, a tenth of which moved ten times by tens of degrees");
    let boxes = Data::Points.boxes(count);
    let mut entries: Vec<Arrived> = boxes.iter().zip(0..).map(|(b, n)| arrived(*b, n)).collect();
    let mut random = Random::new(13);
    let tenth = entries.len() / 10;
    for step in 0..10 {
        let last = if step == 0 { 0 } else { entries.len() - tenth };
        for n in 0..tenth {
            let before = Version::from_header(entries[last + n].id, &entries[last + n].entry.header);
            let mut next = arrived(boxes[random.below(count) as usize], entries.len() as u64);
            next.entry.header.key = Some(format!("n{n}").into_bytes());
            rules::succeed(std::slice::from_ref(&before), &[before.id], &next.id.feed)
                .apply_to(&mut next.entry.header);
            entries.push(next);
        }
    }
    let kappa = Kappa::new();
    let times = kappa.ingest(&entries);
    println!(
        "  {:.2} M entries/s; longest pause: a batch {:.0} ms",
        entries.len() as f64 / times.ingest / 1e6,
        times.batch_ms
    );
    let tree = others::packed(&boxes);
    let asked = queries(Data::Points, &boxes, |b| others::packed_count(&tree, b));
    let count = |b: &GeoBox| kappa.query(b, &Query::default()).hits.len();
    drop(ask(&asked, count));
    let (micros, hits) = ask(&asked, count);
    println!("  query {}, {:.1} hits", spread(micros), hits as f64 / QUERIES as f64);
    let few = &asked[..100];
    let matches = |b: &GeoBox| {
        kappa
            .index
            .read()
            .expect("whole")
            .matches(&Selector::from(&Extent::from(*b)), &BTreeSet::new())
            .expect("answers")
            .len()
    };
    let (micros, sent) = ask(few, matches);
    println!("  for a peer {}, {:.1} entries sent", spread(micros), sent as f64 / few.len() as f64);
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let said = |word: &str| args.iter().any(|arg| arg == word);
    let count = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    let parts = ["points", "rectangles", "clusters", "moved"];
    let wanted = |part: &str| said(part) || !parts.into_iter().any(said);
    for (data, name) in Data::ALL.into_iter().zip(parts).filter(|(_, name)| wanted(name)) {
        compare(data, name, count, said("alone"));
    }
    if wanted("moved") {
        far_moved(count);
    }
}
