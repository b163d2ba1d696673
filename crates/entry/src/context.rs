//! What an entry's writer knew of the key: the names of the entries that it means to replace.

use crate::EntryError;
use crate::error::check_list;
use bincode::{Decode, Encode};
use kappadb_core::limits::{MAX_CONTEXT_FEEDS, MAX_CONTEXT_IDS};
use kappadb_core::{EntryId, FeedKey, FeedName, Seq};

/// The entries of its key that an entry names, in any of three ways. Lists ascend strictly.
///
/// Naming alone replaces nothing; see [`crate::rules`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Context {
    /// Every entry of the key in the writer's own feed up to this one. The same as an item of `vector` for that
    /// feed, 12 bytes shorter.
    pub own: Option<Seq>,
    /// Every entry of the key in the feed of that name up to that one. At most [`MAX_CONTEXT_FEEDS`].
    pub vector: Vec<(FeedName, Seq)>,
    /// These entries. Meant for data imported from elsewhere. At most [`MAX_CONTEXT_IDS`].
    pub ids: Vec<EntryId>,
}

impl Context {
    /// Names nothing: a blind write.
    pub const NOTHING: Context = Context { own: None, vector: Vec::new(), ids: Vec::new() };

    /// True if nothing is named.
    pub fn is_empty(&self) -> bool {
        self.own.is_none() && self.vector.is_empty() && self.ids.is_empty()
    }

    /// Up to where `feed` is named in the context of an entry that `writer` wrote.
    pub fn up_to(&self, writer: &FeedKey, feed: &FeedKey) -> Option<Seq> {
        let name = feed.name();
        let at = self.vector.binary_search_by_key(&name, |(listed, _)| *listed);
        let listed = at.ok().and_then(|at| self.vector.get(at)).map(|&(_, seq)| seq);
        if writer.name() == name { self.own.max(listed) } else { listed }
    }

    /// True if the context of an entry that `writer` wrote names `id`.
    pub fn names(&self, writer: &FeedKey, id: &EntryId) -> bool {
        self.up_to(writer, &id.feed).is_some_and(|seq| seq >= id.seq) || self.ids.binary_search(id).is_ok()
    }

    /// The vector of an entry that `writer` wrote, with its own feed spelled out. A feed may come twice.
    pub fn feeds(&self, writer: &FeedKey) -> impl Iterator<Item = (FeedName, Seq)> + '_ {
        let own = self.own.map(|seq| (writer.name(), seq));
        self.vector.iter().copied().chain(own)
    }

    /// True if this context, of an entry that `writer` wrote, reaches at least as far in every feed as `other`, of
    /// an entry that `other_writer` wrote, and lists all of its ids: then it names whatever `other` names.
    pub fn includes(&self, writer: &FeedKey, other: &Context, other_writer: &FeedKey) -> bool {
        other.own.is_none_or(|seq| self.up_to(writer, other_writer).is_some_and(|up_to| up_to >= seq))
            && self.reaches(writer, &other.vector)
            && other.ids.iter().all(|id| self.ids.binary_search(id).is_ok())
    }

    /// Walks both lists once, side by side: they have thousands of feeds where thousands write one key.
    fn reaches(&self, writer: &FeedKey, vector: &[(FeedName, Seq)]) -> bool {
        let (own, mut listed) = (self.own.map(|seq| (writer.name(), seq)), self.vector.iter().peekable());
        vector.iter().all(|&(feed, seq)| {
            while listed.next_if(|(listed, _)| *listed < feed).is_some() {}
            let known = listed.peek().copied().into_iter().chain(&own);
            known.filter(|(listed, _)| *listed == feed).any(|(_, up_to)| *up_to >= seq)
        })
    }

    pub(crate) fn check(&self) -> Result<(), EntryError> {
        check_list("context feeds", &self.vector, MAX_CONTEXT_FEEDS, |a, b| a.0 < b.0)?;
        check_list("context ids", &self.ids, MAX_CONTEXT_IDS, |a, b| a < b)
    }
}
