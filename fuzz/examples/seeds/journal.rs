//! Records and segments.

use crate::words::evidence;
use crate::{Seeds, named, out, set};
use kappadb_fuzz::Output;
use kappadb_fuzz::truths;
use kappadb_journal::fault::FaultDisk;
use kappadb_journal::{Journal, Options, Record};
use kappadb_merkle::Known;
use std::sync::Arc;

pub(crate) fn record() -> Seeds {
    records().into_iter().map(|(name, record)| (name, body(&record))).collect()
}

pub(crate) fn records() -> Vec<(String, Record)> {
    let [truth, ..] = truths();
    let bundle = truth.bundle(&set([1, 2, 7]), 12, &Known::default());
    let nodes = truth.nodes.iter().take(4).map(|(index, node)| (*index, *node)).collect();
    let feed = truth.key();
    let records = [
        ("definition", Record::Definition(truth.definition)),
        ("blocks", Record::Blocks { feed, first: 3, blocks: truth.blocks[3..6].to_vec() }),
        ("head", Record::Head { feed, head: truth.heads[6] }),
        (
            "fetched",
            Record::Fetched { feed, head: bundle.head, ranges: bundle.ranges, nodes, blocks: bundle.blocks },
        ),
        ("fork", Record::Fork(evidence())),
        ("clear", Record::Clear { feed, ranges: set([0, 4]), freed: 70 }),
    ];
    records.map(|(name, record)| (name.to_owned(), record)).to_vec()
}

pub(crate) fn body(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    record.encode_into(&mut out).expect("a record");
    out
}

pub(crate) fn segment() -> Seeds {
    let disk = FaultDisk::new();
    let options = Options { segment_bytes: 1500, open_files: 2 };
    let open = Journal::open_on(Arc::new(disk.clone()), &options, None, &mut || [5; 16], &mut |_, _| ());
    let (mut journal, _) = open.expect("an empty journal");
    for (_, record) in records().into_iter().filter(|(name, _)| name != "fork") {
        journal.append(&record).expect("a sound disk");
        journal.sync().expect("a sound disk");
    }
    journal.close().expect("a sound disk");
    let names =
        ["00000000.kj", "00000001.kj"].map(|name| disk.content(name)).into_iter().filter(|f| !f.is_empty());
    let files: Vec<Vec<u8>> = names.collect();
    let raw = |steps: Output, number: u8, file: &[u8]| steps.bytes([number, 0, 3]).chunk(file).byte(0);
    let clean = (0..).zip(&files).fold(out().byte(0), |steps, (number, file)| raw(steps, number, file));
    let torn = raw(out().byte(0), 0, &files[0][..files[0].len() - 9]);
    let lost = raw(out().byte(0), 1, files.last().expect("a segment"));
    // The same, in the target's own words: sealed anew wherever it comes to lie.
    let mut lseq = 0;
    let mut sealed = out().bytes([1, 0, 44, 0]).bytes([0, 1]).number(0);
    sealed = sealed.byte(2).number(0).chunk(&[&[8][..], &[5; 16]].concat());
    for (_, record) in records() {
        sealed = sealed.byte(2).number(lseq).chunk(&body(&record));
        lseq += record.block_count();
    }
    let unmarked = sealed.clone().bytes([1, 0, 44, 0]).number(lseq).chunk(&[9]).byte(0);
    let gap = sealed.clone().byte(2).number(lseq + 40).chunk(&[9]).byte(0);
    let bad = sealed.clone().byte(3).chunk(b"no record").byte(2).number(lseq).chunk(&[9]).byte(0);
    let backwards = sealed.byte(2).number(1).chunk(&[9]).byte(0);
    vec![
        named("clean", clean),
        named("torn", torn),
        named("lost", lost),
        named("sealed", unmarked),
        named("gap", gap),
        named("bad", bad),
        named("backwards", backwards),
    ]
}
