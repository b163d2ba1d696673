//! What replaces what, for every keyed view (`design/model.md`).
//!
//! All functions speak of versions of one key: entries of one space with one key. Sorting entries by key is the
//! caller's part.
//!
//! - `f` **replaces** `e` if f's context names e, f is deeper, and f's past places contain e's places. So a context
//!   that claims what its writer had not seen does nothing to it: it becomes a conflict that can be seen.
//! - `f` **makes `e` redundant** if f replaces e and f's context and past places include e's. Then whatever e
//!   replaces, f replaces. Depth strictly grows along both relations, so neither has cycles, and redundancy is
//!   transitive: only versions that nothing makes redundant need to be looked at, kept at hand, or sent.

use crate::naming::Naming;
use crate::{Context, Header, Kind, Places};
use bincode::{Decode, Encode};
use kappadb_core::limits::{MAX_CONTEXT_FEEDS, MAX_CONTEXT_IDS};
use kappadb_core::{EntryId, FeedKey, FeedName, Seq, Timestamp};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// What the rules read of an entry. Made from a checked header, so its lists ascend.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Version {
    /// The entry.
    pub id: EntryId,
    /// What sort of entry it is.
    pub kind: Kind,
    /// When, as its writer says.
    pub time: Timestamp,
    /// What it names.
    pub context: Context,
    /// 1 + the greatest depth that it replaces, as its writer says.
    pub depth: u32,
    /// Where it is.
    pub places: Places,
    /// A cover of where everything it replaces was.
    pub past: Places,
}

impl Version {
    /// The version that is the entry `id` with this header.
    pub fn from_header(id: EntryId, header: &Header) -> Version {
        Version {
            id,
            kind: header.kind,
            time: header.time,
            context: header.context.clone(),
            depth: header.depth,
            places: header.places.clone(),
            past: header.past.clone(),
        }
    }
}

/// True if `f` replaces `e`. Both have the same key.
pub fn replaces(f: &Version, e: &Version) -> bool {
    f.depth > e.depth && f.id != e.id && f.context.names(&f.id.feed, &e.id) && f.past.contains(&e.places)
}

/// True if `f` replaces `e` and whatever `e` replaces. Both have the same key.
pub fn makes_redundant(f: &Version, e: &Version) -> bool {
    replaces(f, e) && f.context.includes(&f.id.feed, &e.context, &e.id.feed) && f.past.contains(&e.past)
}

/// Adds `v` to `active`, the versions of a key that no other makes redundant, ascending by id. Returns those that
/// are redundant from now on; `v` itself, alone, if it is. A version that is there already changes nothing.
///
/// Whatever the order in which versions are added, `active` ends up the same, and its [`heads`] are those of all
/// versions ever added.
pub fn insert(active: &mut Vec<Version>, v: Version) -> Vec<Version> {
    if active.binary_search_by_key(&v.id, |a| a.id).is_ok() {
        return Vec::new();
    }
    if active.iter().any(|a| makes_redundant(a, &v)) {
        return vec![v];
    }
    let gone = match v.context.is_empty() {
        true => Vec::new(),
        false => active.extract_if(.., |a| makes_redundant(&v, a)).collect(),
    };
    let at = active.partition_point(|a| a.id < v.id);
    active.insert(at, v);
    gone
}

/// The versions that no other replaces, in the order given. Several are a conflict.
///
/// They are looked up by what names them and not in pairs: a member may write any number of versions, that know nothing of each other or name
/// each other and replace nothing.
pub fn heads(active: &[Version]) -> Vec<&Version> {
    let naming = Naming::of(active);
    active.iter().filter(|e| !naming.replaces(e)).collect()
}

/// How much what is dated `time` weighs at the time `now`: the greatest time that is due comes first. What is not due loses
/// only against what is, so that nothing vanishes because its writer's clock was ahead of the reader's.
pub fn standing(time: Timestamp, now: Timestamp) -> (bool, Timestamp) {
    (time <= now, time)
}

/// The head to show by default: greatest [`standing`], then feed key, then seq. Never depth, about which a writer may
/// lie. None if there are no heads.
pub fn winner<'a>(heads: &[&'a Version], now: Timestamp) -> Option<&'a Version> {
    heads.iter().copied().max_by_key(|v| (standing(v.time, now), v.id))
}

/// The depth of what is written beside a version of the greatest depth, which only a liar writes. Above all that this hides, so that what
/// is written meanwhile replaces it; and far below, so that it can be replaced itself.
const BESIDE_THE_DEEPEST: u32 = u32::MAX / 2;

/// The part of a new entry's header that says what it replaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Links {
    /// What it names.
    pub context: Context,
    /// Greater than that of everything it replaces. Nothing replaces what says the greatest number there is; then it is half of that.
    pub depth: u32,
    /// A cover of where everything it replaces was.
    pub past: Places,
}

impl Links {
    /// Writes these links into a header.
    pub fn apply_to(self, header: &mut Header) {
        (header.context, header.depth, header.past) = (self.context, self.depth, self.past);
    }

    /// Takes back what is named of the feeds of other writers and of `writer`'s own beyond what there is of them: `length` says how many
    /// entries of a feed its writer knows to exist. Who lies may name what is yet to be written; who writes after it must not pass that on,
    /// or dropping the liar does not bring back what the lie hid.
    #[must_use]
    pub fn within(mut self, writer: &FeedKey, length: impl Fn(&FeedName) -> u64) -> Links {
        let last = |feed: &FeedName| length(feed).checked_sub(1);
        let Context { own, vector, .. } = &mut self.context;
        *own = own.and_then(|seq| Some(seq.min(last(&writer.name())?)));
        vector.retain_mut(|(feed, seq)| {
            let known = last(feed);
            *seq = known.map_or(*seq, |known| known.min(*seq));
            known.is_some()
        });
        self
    }
}

/// The links of a new entry by `writer` that replaces the heads `replaced`. `versions` are the versions of the key
/// that are held: the active ones are enough. The writer's own last entry among them is always replaced, too. What all
/// of these replace is named with all that it names, so that it becomes redundant where somebody before cut that off ([`Links::within`]).
///
/// With more feeds than [`MAX_CONTEXT_FEEDS`] (or ids than [`MAX_CONTEXT_IDS`]) in its past, those of the replaced
/// heads come first and the others are dropped in the order of their keys. What is not named is not replaced: that
/// leaves a conflict to be seen and never hides anything.
pub fn succeed(versions: &[Version], replaced: &[EntryId], writer: &FeedKey) -> Links {
    let own = versions.iter().filter(|v| v.id.feed == *writer).map(|v| v.id).max();
    let mut picked = pick(versions, replaced.iter().copied().chain(own));
    picked.extend(replaced_by(&picked, versions));
    let (own, vector) = vector(&picked, writer.name());
    let ids = picked.iter().flat_map(|v| v.context.ids.iter().copied());
    linked(&picked, Context { own, vector, ids: first_ids(ids) })
}

/// The links of a new entry that names exactly the held versions `replaced`, and nothing that these replaced. Meant for
/// data imported from elsewhere, whose writers' feeds say nothing about what they knew.
///
/// More than [`MAX_CONTEXT_IDS`] are cut off as in [`succeed`].
pub fn succeed_explicit(versions: &[Version], replaced: &[EntryId]) -> Links {
    let picked = pick(versions, replaced.iter().copied());
    let ids = first_ids(picked.iter().map(|v| v.id));
    linked(&picked, Context { ids, ..Context::NOTHING })
}

/// How far `picked` and what they name reach in each feed: in `writer`, and in the others.
fn vector(picked: &[&Version], writer: FeedName) -> (Option<Seq>, Vec<(FeedName, Seq)>) {
    let mut seqs: Vec<(FeedName, Seq)> = picked.iter().flat_map(|v| v.context.feeds(&v.id.feed)).collect();
    seqs.extend(picked.iter().map(|v| (v.id.feed.name(), v.id.seq)));
    // Runs that ascend already, mostly; the greatest seq of a feed comes first.
    seqs.sort_by_key(|(feed, seq)| (*feed, Reverse(*seq)));
    seqs.dedup_by_key(|(feed, _)| *feed);
    let own = seqs.binary_search_by_key(&writer, |(feed, _)| *feed).ok().map(|at| seqs.remove(at).1);
    if seqs.len() > MAX_CONTEXT_FEEDS {
        let direct: BTreeSet<FeedName> = picked.iter().map(|v| v.id.feed.name()).collect();
        seqs.sort_by_key(|(feed, _)| !direct.contains(feed));
        seqs.truncate(MAX_CONTEXT_FEEDS);
        seqs.sort_unstable();
    }
    (own, seqs)
}

/// Those of `versions` that one of `picked` replaces and that are not among these.
fn replaced_by<'a>(picked: &[&Version], versions: &'a [Version]) -> Vec<&'a Version> {
    let ids: BTreeSet<EntryId> = picked.iter().map(|v| v.id).collect();
    let naming: Vec<&&Version> = picked.iter().filter(|f| !f.context.is_empty()).collect();
    let rest = versions.iter().filter(|e| !ids.contains(&e.id));
    rest.filter(|e| naming.iter().any(|f| replaces(f, e))).collect()
}

fn pick(versions: &[Version], wanted: impl Iterator<Item = EntryId>) -> Vec<&Version> {
    let wanted: BTreeSet<EntryId> = wanted.collect();
    versions.iter().filter(|v| wanted.contains(&v.id)).collect()
}

fn first_ids(ids: impl Iterator<Item = EntryId>) -> Vec<EntryId> {
    ids.collect::<BTreeSet<_>>().into_iter().take(MAX_CONTEXT_IDS).collect()
}

fn linked(picked: &[&Version], context: Context) -> Links {
    let depth =
        picked.iter().map(|v| v.depth.checked_add(1).unwrap_or(BESIDE_THE_DEEPEST)).max().unwrap_or(0);
    let past = Places::covering(picked.iter().flat_map(|v| [&v.places, &v.past]));
    Links { context, depth, past }
}
