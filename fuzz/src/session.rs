//! A session whose peer says anything, and whose storage answers when it likes.

use crate::Input;
use crate::peers::{DB, Replica, Shared, Truth, VIEW};
use kappadb_core::RangeSet;
use kappadb_core::limits::{ANSWERS_AT_ONCE, MAX_QUEUED_FRAMES};
use kappadb_merkle::{Branch, ForkEvidence, Known};
use kappadb_query::Selector;
use kappadb_sim::Random;
use kappadb_sync::frame::{Blocks, BlocksTop, Frame};
use kappadb_sync::{
    Agreed, Ask, Command, CommandId, Config, Event, Fetch, PutRefusal, QueryId, Reply, Session, Since,
};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

thread_local! {
    static TRUTHS: [Rc<Truth>; 3] = [(1, 5), (2, 3), (2, 4)]
        .map(|(seed, by)| Truth::new(seed, &std::array::from_fn::<u8, 12, _>(|i| i as u8 % by), 60, &mut Random::new(seed.into())));
}

/// The feeds that the conversation is about: two, and another history of the second.
pub fn truths() -> [Rc<Truth>; 3] {
    TRUTHS.with(Clone::clone)
}

/// What became of a question asked here.
#[derive(Default)]
struct Asked {
    cancelled: bool,
    /// Asked when the session was over.
    late: bool,
    ended: usize,
}

struct World {
    session: Session,
    replica: Shared,
    truths: [Rc<Truth>; 3],
    now: u64,
    jobs: Vec<(CommandId, Command)>,
    asked: BTreeMap<QueryId, Asked>,
    closed: bool,
}

/// A conversation: settings in one byte, then steps (see `World::step`).
pub fn session(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new(input.byte());
    while !input.is_empty() {
        world.step(&mut input);
        world.poll_commands();
    }
    world.end();
}

impl World {
    fn new(settings: u8) -> World {
        let truths = truths();
        let replica = Replica::new();
        if settings & 1 != 0 {
            replica.borrow_mut().hold(&truths[0], &(0..7).collect::<RangeSet>(), 9);
        }
        if settings & 2 != 0 {
            replica.borrow_mut().hold(&truths[1], &RangeSet::below(12), 12);
        }
        let mut config = Config::default();
        if settings & 4 != 0 {
            config = Config {
                agreed: Agreed { open_queries: 2, session_feeds: 2, ..Agreed::default() },
                credit: 600,
                ..Config::default()
            };
        }
        let session = Session::new(config, 0);
        World { session, replica, truths, now: 0, jobs: vec![], asked: BTreeMap::new(), closed: false }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.below(16) {
            // The most likely: the peer says something.
            0 | 1 => self.hear(input.chunk()),
            2 => self.hear(&self.honest(input).encode()),
            3 => self.settle(),
            4 => self.ask(input),
            5 => self.fetch(input),
            6 => {
                let query = QueryId(input.byte().into());
                self.session.cancel(query);
                self.asked.entry(query).and_modify(|asked| asked.cancelled = true);
            }
            7 => self.answer_one(input),
            8 => self.fail_one(input),
            9 => self.poll_frames(),
            10 => self.poll_events(),
            11 => {
                self.now += 50 * u64::from(u16::from_le_bytes(input.array()));
                if self.session.poll_timeout().is_some_and(|at| at <= self.now) {
                    self.session.handle_timeout(self.now);
                }
            }
            12 => self.session.reply(self.now, CommandId(input.byte().into()), Reply::Synced(Ok(()))),
            13 => self.replica.borrow_mut().mismatches = u64::from(input.byte() % 3),
            14 if input.byte() == 0 => self.session.close(),
            15 if input.byte() == 0 => self.session.lost(),
            _ => {}
        }
    }

    /// A driver does not read while the session does not want it to.
    fn hear(&mut self, frame: &[u8]) {
        if !self.session.wants_read() {
            self.settle();
        }
        let over = self.session.closed().is_some();
        let taken = self.session.receive(self.now, frame);
        assert_eq!(taken.is_err(), self.session.closed().is_some());
        assert!(!over || taken.is_err());
    }

    fn ask(&mut self, input: &mut Input<'_>) {
        let what = input.byte();
        let selector = match what % 4 {
            0 => Selector::Everything,
            1 => Selector::keys([[what / 16]]),
            2 => Selector::Prefix(input.chunk().to_vec()),
            _ => Selector::Custom(input.chunk().to_vec()),
        };
        let have = if what & 4 == 0 { self.replica.borrow().have() } else { vec![] };
        let ask = Ask {
            view: VIEW.to_owned(),
            selector,
            inline: what & 8 == 0,
            have,
            named: self.truths.iter().take((what >> 6).into()).map(|truth| truth.definition).collect(),
            forks: vec![],
            without: BTreeSet::new(),
            live: (what & 16 != 0).then(Since::default),
            forget: what & 32 != 0,
        };
        let query = self.session.ask(self.now, ask);
        self.note(query);
    }

    fn fetch(&mut self, input: &mut Input<'_>) {
        let feed = self.truths[input.below(3)].key();
        let known = if input.below(2) == 0 { self.replica.borrow().known(&feed) } else { Known::default() };
        let query = self.session.fetch(self.now, Fetch { feed, ranges: bits(input), known, forget: false });
        self.note(query);
    }

    fn note(&mut self, query: QueryId) {
        let late = self.session.closed().is_some();
        assert!(self.asked.insert(query, Asked { late, ..Asked::default() }).is_none());
    }

    /// A frame that a fuzzer would not come upon: signatures and proofs that hold.
    fn honest(&self, input: &mut Input<'_>) -> Frame {
        let truth = &self.truths[input.below(3)];
        let (query, feed) = (input.byte().into(), input.byte().into());
        match input.below(4) {
            0 => Frame::Feed(truth.definition),
            1 => {
                let length = input.below(13) as u64;
                let ranges = bits(input).intersection(&RangeSet::below(length));
                let how = input.byte();
                let mut known = Known::default();
                if how & 1 != 0 {
                    known = self.replica.borrow().known(&truth.key());
                }
                if known.length > length {
                    known = Known::default();
                }
                let bundle = truth.bundle(&ranges, length, &known);
                let (fresh, head) =
                    (known.is_empty() ^ (how & 4 != 0), (how & 2 == 0).then_some(bundle.head));
                let lengths = if how & 8 == 0 { vec![] } else { vec![(truth.key().name(), length)] };
                let top = BlocksTop { query, feed, head, fresh, ranges, proof: bundle.proof, lengths };
                Frame::Blocks(Blocks { top, blocks: bundle.blocks })
            }
            2 => Frame::ForkProof(Box::new(self.evidence(input.byte().into()))),
            _ => Frame::Held { query, statements: input.byte().into() },
        }
    }

    fn evidence(&self, index: u64) -> ForkEvidence {
        let index = index % 24;
        let branch = |truth: &Rc<Truth>| {
            let needed = ForkEvidence::branch_needed(index, 12).unwrap_or_default();
            let nodes = &truth.nodes;
            let node = nodes.get(&index).or(nodes.get(&0)).copied().expect("a feed has a first block");
            Branch { head: truth.heads[12], node, proof: needed.iter().map(|i| nodes[i]).collect() }
        };
        let [a, b] = [1, 2].map(|i| branch(&self.truths[i]));
        ForkEvidence { feed: self.truths[1].key(), index, a, b }
    }

    /// All commands and events, as a quick driver would.
    fn settle(&mut self) {
        loop {
            self.poll_frames();
            self.poll_events();
            self.poll_commands();
            let Some((id, command)) = self.jobs.pop() else { return };
            let reply = self.replica.borrow_mut().run(command);
            self.session.reply(self.now, id, reply);
        }
    }

    fn poll_commands(&mut self) {
        while let Some(job) = self.session.poll_command() {
            self.jobs.push(job);
        }
        // Those of a session that is over are the driver's to drop.
        if self.session.closed().is_none() {
            assert!(self.jobs.len() <= ANSWERS_AT_ONCE + 2, "{} commands at once", self.jobs.len());
        }
    }

    fn answer_one(&mut self, input: &mut Input<'_>) {
        if !self.jobs.is_empty() {
            let (id, command) = self.jobs.remove(input.below(self.jobs.len()));
            let reply = self.replica.borrow_mut().run(command);
            self.session.reply(self.now, id, reply);
        }
    }

    fn fail_one(&mut self, input: &mut Input<'_>) {
        if self.jobs.is_empty() {
            return;
        }
        let (id, command) = self.jobs.remove(input.below(self.jobs.len()));
        let why = || "it was made to fail".to_owned();
        let refusal = match input.below(3) {
            0 => PutRefusal::KnownMismatch,
            1 => PutRefusal::Bad(why()),
            _ => PutRefusal::Local(why()),
        };
        let reply = match command {
            Command::Read { .. } => Reply::Read(Err(why())),
            Command::Define(_) => Reply::Defined(Err(refusal)),
            Command::Put(..) => Reply::Put(Err(refusal)),
            Command::Fork(_) => Reply::Forked(Err(refusal)),
            Command::Sync => Reply::Synced(Err(why())),
            _ => Reply::Answer(Err(kappadb_sync::AnswerError::Unavailable(why()))),
        };
        self.session.reply(self.now, id, reply);
    }

    fn poll_frames(&mut self) {
        let mut waiting = 0;
        while let Some(frame) = self.session.poll_transmit() {
            waiting += 1;
            // Answers are made while frames are taken; each turn of theirs sends something new.
            assert!(waiting <= 16 * MAX_QUEUED_FRAMES, "frames without end");
            assert!(matches!(Frame::decode(&frame), Ok(Some(_))), "a frame that no peer can read");
        }
    }

    fn poll_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Done { query, .. } | Event::Failed { query, .. } => {
                    let asked = self.asked.get_mut(&query).expect("an event of a question asked");
                    assert!(!self.closed || asked.late, "a question ended after the last event");
                    asked.ended += 1;
                    assert!(asked.ended == 1, "a question ended twice");
                }
                Event::Ranges { query, .. } => {
                    assert!(!self.closed && self.asked.get(&query).is_some_and(|asked| asked.ended == 0));
                }
                Event::Closed { .. } => {
                    assert!(!self.closed, "the session ended twice");
                    self.closed = true;
                }
                _ => panic!("an event that this target does not know"),
            }
        }
    }

    /// However it went: every question was answered or given up, and nothing is kept that its writer did not sign.
    fn end(mut self) {
        self.settle();
        self.session.lost();
        self.settle();
        assert!(self.closed && self.session.poll_timeout().is_none());
        for (query, asked) in &self.asked {
            assert!(asked.ended == 1 || asked.cancelled, "{query:?} was never answered");
        }
        let replica = self.replica.borrow();
        let forked = self.truths[1].key();
        assert!(replica.forks.iter().all(|fork| fork.feed == forked && fork.verify(&DB).is_ok()));
        for (feed, held) in &replica.feeds {
            let truths: Vec<_> = self.truths.iter().filter(|truth| truth.key() == *feed).collect();
            for (seq, block) in &held.blocks {
                assert!(
                    truths.iter().any(|truth| truth.blocks.get(*seq as usize) == Some(block)),
                    "block {seq}"
                );
            }
            for (index, node) in &held.nodes {
                assert!(truths.iter().any(|truth| truth.nodes.get(index) == Some(node)), "node {index}");
            }
        }
    }
}

fn bits(input: &mut Input<'_>) -> RangeSet {
    let bits = u16::from_le_bytes(input.array());
    (0..16).filter(|i| bits >> i & 1 == 1).collect()
}
