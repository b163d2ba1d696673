//! Real feeds, a replica in memory, and two sessions joined by a slow wire in virtual time.
use kappadb_core::{
    DatabaseId, FeedDefinition, FeedKey, RangeSet, SecretKey, Seq, SignedHead, StoredBlock, Timestamp,
};
use kappadb_entry::{Bundle, BundleError, Header, Kind, decode_block, encode_block, leaf_nodes, space};
use kappadb_merkle::{self as merkle, Branch, ForkEvidence, Known, Node, Peaks, ProofError};
use kappadb_query::Selector;
use kappadb_sim::Random;
use kappadb_sync::{
    Answer, AnswerError, Ask, Command, CommandId, Config, Coverage, Event, Have, PutRefusal, Reply, Session,
    Stored, Words,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

pub const DB: DatabaseId = DatabaseId([7; 32]);
pub const VIEW: &str = "keys";

/// A writer's whole feed, with a head for every length.
pub struct Truth {
    pub definition: FeedDefinition,
    pub secret: SecretKey,
    pub blocks: Vec<StoredBlock>,
    pub heads: Vec<SignedHead>,
    pub nodes: BTreeMap<u64, Node>,
}

impl Truth {
    /// Blocks whose keys are `keys`, with payloads of up to `size` bytes.
    pub fn new(seed: u8, keys: &[u8], size: u64, rng: &mut Random) -> Rc<Truth> {
        Truth::of(SecretKey::from_seed(&[seed; 32]), keys, size, rng)
    }

    /// The same for any writer.
    pub fn of(secret: SecretKey, keys: &[u8], size: u64, rng: &mut Random) -> Rc<Truth> {
        let definition = FeedDefinition::sign(&DB, &secret, Timestamp(0), None);
        let mut peaks = Peaks::new();
        let mut truth = Truth {
            definition,
            blocks: Vec::new(),
            heads: vec![peaks.head().sign(&DB, &secret)],
            nodes: BTreeMap::new(),
            secret,
        };
        for key in keys {
            let kind = Kind { space: space::KV, code: 0 };
            let header = Header { key: Some(vec![*key]), ..Header::new(kind, Timestamp(0)) };
            let payload = vec![*key; usize::try_from(rng.below(size + 1)).unwrap()];
            let block = StoredBlock::whole(encode_block(&header, &payload).unwrap());
            let node = leaf_nodes(std::slice::from_ref(&block)).unwrap()[0];
            let mut keep = |index, node| {
                truth.nodes.insert(index, node);
            };
            peaks.push(node, &mut keep).unwrap();
            truth.heads.push(peaks.head().sign(&DB, &truth.secret));
            truth.blocks.push(block);
        }
        Rc::new(truth)
    }

    pub fn key(&self) -> FeedKey {
        self.definition.feed
    }

    pub fn length(&self) -> u64 {
        self.blocks.len() as u64
    }

    pub fn bundle(&self, ranges: &RangeSet, length: u64, known: &Known) -> Bundle {
        let proof = merkle::prove::<()>(ranges, length, known, &mut |i| Ok(self.nodes[&i])).unwrap();
        let blocks = ranges.iter().map(|seq| self.blocks[seq as usize].clone()).collect();
        let head = self.heads[length as usize];
        Bundle { feed: self.key(), head, ranges: ranges.clone(), blocks, known: known.clone(), proof }
    }
}

/// Evidence from two histories of one feed, at a node of both.
pub fn evidence(one: &Truth, other: &Truth, index: u64) -> ForkEvidence {
    let branch = |truth: &Truth| Branch {
        head: truth.heads[truth.blocks.len()],
        node: truth.nodes[&index],
        proof: ForkEvidence::branch_needed(index, truth.length())
            .unwrap()
            .iter()
            .map(|i| truth.nodes[i])
            .collect(),
    };
    ForkEvidence { feed: one.key(), index, a: branch(one), b: branch(other) }
}

#[derive(Default)]
pub struct Held {
    pub blocks: BTreeMap<Seq, StoredBlock>,
    pub nodes: BTreeMap<u64, Node>,
    /// What is linked to the head of each length.
    pub linked: BTreeMap<u64, (SignedHead, RangeSet)>,
}

impl Held {
    pub fn seqs(&self) -> RangeSet {
        self.blocks.keys().copied().collect()
    }
}

/// A replica in memory, which checks what it gets as a real one would.
#[derive(Default)]
pub struct Replica {
    pub definitions: BTreeMap<FeedKey, FeedDefinition>,
    pub feeds: BTreeMap<FeedKey, Held>,
    pub forks: Vec<ForkEvidence>,
    /// On whose word its answers rest, where it may count on others.
    pub words: Words,
    /// Evidence that is not durable yet.
    pub fresh_forks: Vec<ForkEvidence>,
    /// From where on bundles that contradict what is held show a fork.
    pub split: Seq,
    /// Lengths that the peer had declared when it was last answered.
    pub declared: BTreeMap<FeedKey, u64>,
    /// Blocks and proof nodes that came though they were held.
    pub repeated: (u64, u64),
    pub syncs: u64,
    /// Puts that are refused as if nodes differed.
    pub mismatches: u64,
    /// Puts until a write fails and takes the feed with it, for each such write.
    pub setbacks: Vec<u64>,
    pub commands: Vec<&'static str>,
    /// Every block in the order in which it came.
    pub arrived: Vec<(FeedKey, Seq)>,
}

pub type Shared = Rc<RefCell<Replica>>;

impl Replica {
    pub fn new() -> Shared {
        Rc::new(RefCell::new(Replica::default()))
    }

    /// Holds these blocks under the head of `length`.
    pub fn hold(&mut self, truth: &Truth, ranges: &RangeSet, length: u64) {
        self.definitions.insert(truth.key(), truth.definition);
        if !ranges.is_empty() {
            let known = self.known(&truth.key());
            self.put(&truth.bundle(ranges, length, &known)).unwrap();
        }
    }

    pub fn held(&self, feed: &FeedKey) -> RangeSet {
        self.feeds.get(feed).map(Held::seqs).unwrap_or_default()
    }

    /// What may be declared: linked to the newest head.
    pub fn known(&self, feed: &FeedKey) -> Known {
        let newest = self.feeds.get(feed).and_then(|held| held.linked.last_key_value());
        newest.map(|(&length, (_, leaves))| Known { length, leaves: leaves.clone() }).unwrap_or_default()
    }

    pub fn have(&self) -> Vec<Have> {
        self.feeds
            .keys()
            .map(|feed| Have { definition: self.definitions[feed], known: self.known(feed) })
            .collect()
    }

    pub fn matching(&self, selector: &Selector) -> BTreeMap<FeedKey, RangeSet> {
        let matches = |block: &StoredBlock| selector.needs(&decode_block(block).unwrap().header);
        let of = |held: &Held| held.blocks.iter().filter(|(_, b)| matches(b)).map(|(seq, _)| *seq).collect();
        self.feeds.iter().map(|(feed, held)| (*feed, of(held))).collect()
    }

    /// The same without what lies at or after a fork.
    fn counting(&self, selector: &Selector) -> Vec<(FeedKey, RangeSet)> {
        let fork = |feed: &FeedKey| {
            let of = self.forks.iter().filter(|evidence| evidence.feed == *feed);
            of.filter_map(|evidence| evidence.verify(&DB).ok()).min().unwrap_or(Seq::MAX)
        };
        let matching = self.matching(selector).into_iter();
        let cut = matching.map(|(feed, ranges)| {
            let fork = fork(&feed);
            (feed, ranges.iter().filter(|seq| *seq < fork).collect())
        });
        cut.filter(|(_, ranges): &(_, RangeSet)| !ranges.is_empty()).collect()
    }

    fn coverage(&self) -> Vec<Coverage> {
        let of = |definition: &FeedDefinition| {
            let length = self.known(&definition.feed).length;
            let whole = self.held(&definition.feed).covers(&(0..length));
            Coverage {
                definition: *definition,
                claimed: if whole { length } else { 0 },
                length,
                at: length,
                root: [length.to_le_bytes()[0]; 16],
            }
        };
        self.definitions.values().map(of).collect()
    }

    pub fn run(&mut self, command: Command) -> Reply {
        self.commands.push(name(&command));
        match command {
            Command::Answer { view, .. } if view != VIEW => {
                Reply::Answer(Err(AnswerError::UnknownView(view)))
            }
            Command::Answer { selector, direct, declared, named, since, news, .. } => {
                self.declared = declared;
                let token = since.and_then(|token| Some(u64::from_le_bytes(token.try_into().ok()?)));
                let from = usize::try_from(token.unwrap_or(0)).unwrap();
                let mut late: BTreeMap<FeedKey, RangeSet> = BTreeMap::new();
                for (feed, seq) in self.arrived.get(from..).unwrap_or_default() {
                    late.entry(*feed).or_default().union_with(&set([*seq]));
                }
                let mut matches = self.counting(&selector);
                matches.iter_mut().for_each(|(feed, ranges)| {
                    *ranges = late.get(feed).map(|late| ranges.intersection(late)).unwrap_or_default();
                });
                matches.retain(|(_, ranges)| !ranges.is_empty());
                let mut coverage = self.coverage();
                coverage.retain(|c| !news || late.contains_key(&c.definition.feed));
                let all = coverage.len();
                coverage.retain(|c| {
                    let feed = &c.definition.feed;
                    named.contains(feed) || c.claimed < c.length || matches.iter().any(|(of, _)| of == feed)
                });
                let whole = (all - coverage.len()) as u64;
                let token = Some((self.arrived.len() as u64).to_le_bytes().to_vec());
                let words = if direct { Words::default() } else { self.words.clone() };
                let forks = self.forks.clone();
                Reply::Answer(Ok(Answer { matches, coverage, whole, words, forks, token }))
            }
            Command::Locate { feed, ranges } => {
                let held = self.held(&feed).intersection(&ranges);
                let coverage: Vec<_> =
                    self.coverage().into_iter().filter(|c| c.definition.feed == feed).collect();
                let matches = coverage.iter().map(|_| (feed, held.clone())).collect();
                Reply::Answer(Ok(Answer { matches, coverage, ..Answer::default() }))
            }
            Command::Read { feed, ranges, known, max_bytes } => {
                Reply::Read(self.read(&feed, &ranges, &known, max_bytes).map(|bundle| (bundle, vec![])))
            }
            Command::Define(definition) => Reply::Defined(match definition.verify(&DB) {
                Ok(()) => {
                    self.definitions.insert(definition.feed, definition);
                    Ok(())
                }
                Err(error) => Err(PutRefusal::Bad(error.to_string())),
            }),
            Command::Put(..) if self.mismatches > 0 => {
                self.mismatches -= 1;
                Reply::Put(Err(PutRefusal::KnownMismatch))
            }
            Command::Put(bundle, _) if self.is_lost(&bundle.feed) => Reply::Put(Err(PutRefusal::Forgotten)),
            Command::Put(bundle, _) => Reply::Put(self.put(&bundle)),
            Command::Fork(evidence) => Reply::Forked(match evidence.verify(&DB) {
                Ok(_) => {
                    if self.definitions.contains_key(&evidence.feed) {
                        self.fresh_forks.push(evidence);
                    }
                    Ok(())
                }
                Err(error) => Err(PutRefusal::Bad(error.to_string())),
            }),
            Command::Sync => {
                self.syncs += 1;
                self.forks.append(&mut self.fresh_forks);
                Reply::Synced(Ok(()))
            }
            _ => panic!("a command that this test does not know"),
        }
    }

    /// Whether storage knows nothing of the feed, now that a block of it is to be put.
    fn is_lost(&mut self, feed: &FeedKey) -> bool {
        if let Some(left) = self.setbacks.first_mut() {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.setbacks.remove(0);
                self.definitions.remove(feed);
                self.feeds.remove(feed);
            }
        }
        !self.definitions.contains_key(feed)
    }

    fn read(
        &mut self,
        feed: &FeedKey,
        ranges: &RangeSet,
        known: &Known,
        max_bytes: usize,
    ) -> Result<Bundle, String> {
        let held = self.feeds.get(feed).ok_or("no such feed")?;
        let first = ranges.iter().next().ok_or("nothing to read")?;
        // The newest head under which the first block is linked, and what else is linked under it.
        let linked = held.linked.iter().rev().find(|(_, (_, leaves))| leaves.contains(first));
        let (&length, (head, leaves)) = linked.ok_or("not held")?;
        let (mut taken, mut bytes, mut blocks) = (Vec::new(), 0, Vec::new());
        for seq in ranges.intersection(leaves).iter() {
            let block = held.blocks[&seq].clone();
            bytes += block.bytes.len();
            if !blocks.is_empty() && bytes > max_bytes {
                break;
            }
            taken.push(seq);
            blocks.push(block);
        }
        let ranges: RangeSet = taken.into_iter().collect();
        let known = if known.length <= length { known.clone() } else { Known::default() };
        let mut lookup = |index: u64| held.nodes.get(&index).copied().ok_or(format!("node {index}"));
        let proof = merkle::prove(&ranges, length, &known, &mut lookup)?;
        Ok(Bundle { feed: *feed, head: *head, ranges, blocks, known, proof })
    }

    pub fn put(&mut self, bundle: &Bundle) -> Result<Stored, PutRefusal> {
        let held = self.feeds.entry(bundle.feed).or_default();
        let verified =
            bundle.verify(&DB, &mut |index| held.nodes.get(&index).copied()).map_err(
                |error| match error {
                    BundleError::Proof(
                        ProofError::KnownMismatch { .. }
                        | ProofError::MissingKnown { .. }
                        | ProofError::RootHash,
                    ) if !bundle.known.is_empty() => PutRefusal::KnownMismatch,
                    other => PutRefusal::Bad(other.to_string()),
                },
            )?;
        let differs = |(i, node): &(u64, Node)| held.nodes.get(i).is_some_and(|held| held != node);
        if verified.nodes.iter().any(differs) {
            if !bundle.known.is_empty() {
                return Err(PutRefusal::KnownMismatch);
            }
            let below =
                bundle.ranges.iter().filter(|seq| *seq < self.split && !held.blocks.contains_key(seq));
            let contradicted = below.count() as u64;
            return Ok(Stored { fork: Some(self.split), contradicted, ..Stored::default() });
        }
        self.repeated.1 +=
            verified.supplied.iter().filter(|(i, _)| held.nodes.contains_key(i)).count() as u64;
        held.nodes.extend(verified.nodes.iter().copied());
        held.nodes.extend(verified.supplied.iter().copied());
        held.nodes.extend(verified.roots.iter().copied());
        let length = bundle.head.head.length;
        let below = if bundle.known.length > 0 { held.linked.remove(&bundle.known.length) } else { None };
        let linked = held.linked.entry(length).or_insert((bundle.head, RangeSet::new()));
        linked.1.union_with(&bundle.ranges);
        linked.1.union_with(&below.map(|(_, leaves)| leaves).unwrap_or_default());
        let mut stored = Stored::default();
        for (seq, block) in bundle.ranges.iter().zip(&bundle.blocks) {
            self.arrived.push((bundle.feed, seq));
            match held.blocks.insert(seq, block.clone()) {
                Some(_) => self.repeated.0 += 1,
                None => {
                    stored.blocks += 1;
                    stored.bytes += block.bytes.len() as u64;
                }
            }
        }
        Ok(stored)
    }
}

fn name(command: &Command) -> &'static str {
    match command {
        Command::Answer { .. } => "answer",
        Command::Locate { .. } => "locate",
        Command::Read { .. } => "read",
        Command::Define(_) => "define",
        Command::Put(..) => "put",
        Command::Fork(_) => "fork",
        _ => "sync",
    }
}

/// By whom the sides of a pair sign what they state.
pub fn identity(side: usize) -> SecretKey {
    SecretKey::from_seed(&[200 + side as u8; 32])
}

/// A question for all there is, by somebody who holds nothing.
pub fn everything(inline: bool) -> Ask {
    let (view, selector) = (VIEW.to_owned(), Selector::Everything);
    let (have, named, forks, without) = (vec![], vec![], vec![], BTreeSet::new());
    Ask { view, selector, inline, direct: false, have, named, forks, without, live: None, forget: false }
}

/// One end of a wire.
pub struct Side {
    pub session: Session,
    pub replica: Shared,
    /// What the other side sent, with when it arrives.
    pub wire: VecDeque<(u64, Vec<u8>)>,
    jobs: Vec<(u64, CommandId, Command)>,
    pub events: Vec<Event>,
    /// All frames that this side received.
    pub received: Vec<Vec<u8>>,
    /// Events are left in the session.
    pub deaf: bool,
    /// What is sent to it is lost.
    pub cut: bool,
}

impl Side {
    pub fn new(replica: &Shared, config: Config) -> Side {
        Side {
            session: Session::new(config, 0),
            replica: Rc::clone(replica),
            wire: VecDeque::new(),
            jobs: Vec::new(),
            events: Vec::new(),
            received: Vec::new(),
            deaf: false,
            cut: false,
        }
    }

    /// Carries out all commands at once and collects events. Gives what is to be sent.
    pub fn settle(&mut self, now: u64) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        loop {
            let before = (sent.len(), self.events.len());
            sent.extend(std::iter::from_fn(|| self.session.poll_transmit()));
            let mut worked = false;
            while let Some((id, command)) = self.session.poll_command() {
                worked = true;
                let reply = self.replica.borrow_mut().run(command);
                self.session.reply(now, id, reply);
            }
            if !self.deaf {
                self.events.extend(std::iter::from_fn(|| self.session.poll_event()));
            }
            if !worked && before == (sent.len(), self.events.len()) {
                return sent;
            }
        }
    }

    pub fn done(&self) -> Vec<&Event> {
        self.events.iter().filter(|e| matches!(e, Event::Done { .. })).collect()
    }
}

/// Two sessions over a wire with delays, on virtual time.
pub struct Pair {
    pub now: u64,
    pub sides: [Side; 2],
    pub rng: Random,
    /// Greatest delay of a frame and of a command, milliseconds.
    pub delay: u64,
}

impl Pair {
    pub fn new(replicas: [&Shared; 2], config: Config, seed: u64) -> Pair {
        let mut sides = replicas.map(|r| Side::new(r, config));
        for (n, side) in sides.iter_mut().enumerate() {
            side.session = Session::new(config, 0).between(identity(n), identity(1 - n).public());
        }
        Pair { now: 0, sides, rng: Random::new(seed), delay: 20 }
    }

    pub fn ask(&mut self, side: usize, selector: Selector, inline: bool) -> kappadb_sync::QueryId {
        let have = self.sides[side].replica.borrow().have();
        let ask = Ask { selector, have, ..everything(inline) };
        self.sides[side].session.ask(self.now, ask)
    }

    /// Takes out of both sessions all that is there.
    pub fn poll(&mut self) {
        while self.poll_side(0) | self.poll_side(1) {}
    }

    /// True if anything was there.
    fn poll_side(&mut self, from: usize) -> bool {
        let mut any = false;
        while let Some(frame) = self.sides[from].session.poll_transmit() {
            any = true;
            let at = self.now + self.rng.below(self.delay + 1);
            let to = &mut self.sides[1 - from];
            let at = to.wire.back().map_or(at, |(last, _)| at.max(*last));
            if !to.cut {
                to.wire.push_back((at, frame));
            }
        }
        while let Some((id, command)) = self.sides[from].session.poll_command() {
            any = true;
            let at = self.now + self.rng.below(self.delay + 1);
            self.sides[from].jobs.push((at, id, command));
        }
        while let Some(event) =
            (!self.sides[from].deaf).then(|| self.sides[from].session.poll_event()).flatten()
        {
            any = true;
            self.sides[from].events.push(event);
        }
        any
    }

    /// When something happens next, timeouts aside.
    pub fn next(&self) -> Option<u64> {
        let arrival = |side: &Side| {
            let reads = side.session.wants_read() && side.session.closed().is_none();
            side.wire.front().filter(|_| reads).map(|(at, _)| *at)
        };
        let job = |side: &Side| side.jobs.iter().map(|(at, ..)| *at).min();
        self.sides.iter().flat_map(|side| [arrival(side), job(side)]).flatten().min()
    }

    /// Lets one thing happen. False if nothing can, but for timeouts.
    pub fn step(&mut self) -> bool {
        self.poll();
        let Some(at) = self.next() else { return false };
        self.now = self.now.max(at);
        for side in &mut self.sides {
            if let Some(at) = side.jobs.iter().position(|(at, ..)| *at <= self.now) {
                let (_, id, command) = side.jobs.remove(at);
                let reply = side.replica.borrow_mut().run(command);
                side.session.reply(self.now, id, reply);
            }
            let open = side.session.closed().is_none() && side.session.wants_read();
            if open && side.wire.front().is_some_and(|(at, _)| *at <= self.now) {
                let (_, frame) = side.wire.pop_front().unwrap();
                let _ = side.session.receive(self.now, &frame);
                side.received.push(frame);
            }
        }
        self.poll();
        true
    }

    pub fn run(&mut self) {
        let mut steps = 0;
        while self.step() {
            steps += 1;
            assert!(steps < 1_000_000, "a conversation that does not end");
        }
    }

    /// Lets time pass to the next timeout of either side.
    pub fn wait(&mut self) {
        let at = self.sides.iter().filter_map(|side| side.session.poll_timeout()).min();
        self.now = self.now.max(at.unwrap());
        let now = self.now;
        self.sides.iter_mut().for_each(|side| side.session.handle_timeout(now));
        self.run();
    }
}

/// Every block that a replica holds is the writer's own.
pub fn assert_all_true(replica: &Shared, truths: &[Rc<Truth>]) {
    for (feed, held) in &replica.borrow().feeds {
        let truth = truths.iter().find(|t| t.key() == *feed).unwrap();
        for (seq, block) in &held.blocks {
            assert_eq!(Some(block), truth.blocks.get(*seq as usize));
        }
        assert!(held.nodes.iter().all(|(index, node)| truth.nodes.get(index) == Some(node)));
    }
}

pub fn set(numbers: impl IntoIterator<Item = u64>) -> RangeSet {
    numbers.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}
