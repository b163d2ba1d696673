//! Taking changes in.

use crate::erased::Named;
use crate::rows::{self, ENTRIES, KEYED, Mark, PACKED, Place};
use crate::state::State;
use crate::upkeep;
use crate::view::Sizes;
use crate::words::{Lexicon, push_text};
use kappadb_chat::{Content, StateKey, code, decode, deleted, edited, may_mention};
use kappadb_core::{EntryId, FeedKey, Timestamp};
use kappadb_entry::{Entry, Header, space};
use kappadb_query::Selector;
use kappadb_store::{Overlay, Tree};
use kappadb_view::packed::{Table, Withdrawn};
use kappadb_view::{Arrived, Change, Index, KeyUpdate, Notice, Upkeep, ViewError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The chat view's index.
pub struct ChatIndex {
    pub(crate) tree: Arc<dyn Tree>,
    /// What is said of channels and writers.
    pub(crate) state: State,
    /// Messages, by channel and by author.
    pub(crate) shelf: Table,
    pub(crate) withdrawn: Withdrawn,
    /// Words of messages.
    pub(crate) lexicon: Lexicon,
    /// Which sort of upkeep had its turn last.
    pub(crate) turn: usize,
    /// What deletes name, until it is erased.
    pub(crate) named: Named,
}

/// Notices of messages have keys that begin so, the channel's folded name following. No key of a state does.
const MESSAGES: &[u8] = b"c/";

/// The channel, by folded name, whose messages a notice with this key names: heads are those that came, gone are those that were deleted or
/// withdrawn. None for what is said of channels and writers.
pub fn channel_of(key: &[u8]) -> Option<&str> {
    key.strip_prefix(MESSAGES).and_then(|channel| std::str::from_utf8(channel).ok())
}

/// Where in a channel an entry is.
pub(crate) fn moment(header: &Header) -> Option<(&[u8], Timestamp)> {
    header.places.moments.first().map(|m| (&m.channel[..], Timestamp(m.from)))
}

/// What an entry is to this view.
enum Sort<'a> {
    /// Said of a channel or a writer, under a key that this feed may write.
    State,
    /// That a version of a key is taken back.
    Taken { key: &'a [u8], target: EntryId },
    /// A message.
    Message { channel: &'a [u8], place: Place },
    /// That a message is deleted.
    Deleted { channel: &'a [u8], place: Place },
    /// What a message says now.
    Edited { channel: &'a [u8], place: Place },
    /// Anything else: kept for those who ask for everything.
    Other,
}

fn sort(arrived: &Arrived) -> Sort<'_> {
    let Arrived { id, entry, .. } = arrived;
    let header = &entry.header;
    let here = moment(header);
    if header.kind.code == code::DELETE {
        // Only the author's own counts, and only at the place that the target has.
        let Some(target) = deleted(header).filter(|target| target.feed == id.feed) else {
            return Sort::Other;
        };
        return match (&header.key, here) {
            (Some(key), _) if may_write(key, id, None) => Sort::Taken { key, target },
            (None, Some((channel, order))) => Sort::Deleted { channel, place: Place { order, id: target } },
            _ => Sort::Other,
        };
    }
    if header.kind.code == code::EDIT {
        let target = edited(header).filter(|target| target.feed == id.feed);
        return match (&header.key, here, target) {
            (None, Some((channel, order)), Some(target)) => {
                Sort::Edited { channel, place: Place { order, id: target } }
            }
            _ => Sort::Other,
        };
    }
    match (&header.key, here) {
        (Some(key), _) if may_write(key, id, Some(header.kind.code)) => Sort::State,
        (None, Some((channel, order))) => Sort::Message { channel, place: Place { order, id: *id } },
        _ => Sort::Other,
    }
}

/// True if this key is one that the feed may write, with an entry of this kind.
fn may_write(key: &[u8], id: &EntryId, code: Option<u8>) -> bool {
    let counts =
        |key: StateKey<'_>| key.may_be_written_by(&id.feed) && code.is_none_or(|code| key.is_of(code));
    StateKey::decode(key).is_some_and(counts)
}

/// What an entry says, if it has a text that words can be found in.
fn text(entry: &Entry) -> Option<String> {
    match decode(&entry.header, Some(entry.payload.as_deref()?)).ok()?.content {
        Content::Text(text) | Content::Emote(text) | Content::Edit { text, .. } => Some(text),
        _ => None,
    }
}

/// What a batch comes to.
#[derive(Default)]
struct Gathered<'a> {
    /// Keys to be packed.
    packed: Vec<Vec<u8>>,
    /// The last poster's.
    poster: Vec<u8>,
    /// Texts, written down.
    texts: Vec<u8>,
    keyed: Vec<Change<'a>>,
    notices: BTreeMap<Vec<u8>, Notice>,
}

impl Gathered<'_> {
    fn notify(&mut self, channel: &[u8], id: EntryId, here: bool) {
        let key = [MESSAGES, channel].concat();
        let empty =
            |key: &[u8]| Notice { key: key.to_vec(), heads: Vec::new(), gone: Vec::new(), changes: 0 };
        let notice = match self.notices.get_mut(&key) {
            Some(notice) => notice,
            None => self.notices.entry(key.clone()).or_insert_with(|| empty(&key)),
        };
        notice.changes += 1;
        if here { notice.heads.push(id) } else { notice.gone.push(id) }
    }

    fn mark(&mut self, channel: &[u8], place: &Place, mark: Mark) {
        self.packed.push(rows::message(channel, place, mark));
        self.packed.push(rows::authored(channel, place, mark));
        // What comes at once is mostly by one author.
        let poster = rows::poster(channel, &place.id.feed, mark);
        if self.poster != poster {
            self.poster.clone_from(&poster);
            self.packed.push(poster);
        }
    }

    fn message(&mut self, arrived: &Arrived, channel: &[u8], place: Place) {
        self.mark(channel, &place, Mark::Posted);
        let text = text(&arrived.entry);
        let calls = text.as_ref().is_some_and(|text| may_mention(text));
        self.packed.push(rows::message_came(channel, arrived.lseq, &place, calls));
        if let Some(text) = text {
            push_text(&mut self.texts, channel, &place, &text);
        }
    }

    fn edited(&mut self, arrived: &Arrived, channel: &[u8], place: Place) {
        let by = arrived.id.seq;
        self.mark(channel, &place, Mark::Edited(by));
        let text = text(&arrived.entry);
        let calls = text.as_ref().is_some_and(|text| may_mention(text));
        self.packed.push(rows::edit_came(channel, arrived.lseq, &place, by, calls));
        if let Some(text) = text {
            push_text(&mut self.texts, channel, &place, &text);
        }
    }

    fn deleted(&mut self, arrived: &Arrived, channel: &[u8], place: Place) {
        let by = arrived.id.seq;
        self.mark(channel, &place, Mark::Deleted(by));
        self.packed.push(rows::delete_came(channel, arrived.lseq, &place, by));
    }
}

impl Index for ChatIndex {
    fn apply(&mut self, changes: &[Change<'_>], rows: &mut Overlay<'_>) -> Result<Vec<Notice>, ViewError> {
        let mut gathered = Gathered::default();
        let ours = |change: &&Change<'_>| change.arrived().entry.header.kind.space == space::CHAT;
        for change in changes.iter().filter(ours) {
            let arrived = change.arrived();
            let (id, held) = (arrived.id, matches!(change, Change::Hold(_)));
            if held {
                self.named.came(&id);
            }
            match sort(arrived) {
                Sort::State => gathered.keyed.push(*change),
                Sort::Taken { key, target } => {
                    self.state.take(rows, key, &target, id.seq, held);
                    self.named.add(held.then_some(target), rows);
                    let notice =
                        Notice { key: key.to_vec(), heads: Vec::new(), gone: vec![target], changes: 1 };
                    gathered.notices.insert(key.to_vec(), notice);
                }
                Sort::Message { channel, place } => {
                    gathered.notify(channel, id, held);
                    if held {
                        gathered.message(arrived, channel, place);
                    }
                }
                Sort::Deleted { channel, place } => {
                    gathered.notify(channel, place.id, !held);
                    self.lexicon.forget(channel, &place, held, rows);
                    if held {
                        self.named.add([place.id], rows);
                        if let Ok(channel) = std::str::from_utf8(channel) {
                            self.named.add(self.edits(channel, &place)?, rows);
                        }
                        gathered.deleted(arrived, channel, place);
                    }
                }
                Sort::Edited { channel, place } => {
                    // The message is told of anew.
                    gathered.notify(channel, place.id, true);
                    if held {
                        self.named.add([id], rows);
                        gathered.edited(arrived, channel, place);
                    }
                }
                Sort::Other if held => gathered.packed.push(rows::other(&id)),
                Sort::Other => {}
            }
        }
        let fates = changes.iter().filter(ours).map(|c| (c.arrived().id, matches!(c, Change::Hold(_))));
        self.withdrawn.change(fates, rows);
        let Gathered { packed, texts, keyed, mut notices, .. } = gathered;
        packed.iter().for_each(|key| self.shelf.add(key));
        self.shelf.log(rows)?;
        self.lexicon.add(texts, rows);
        let updates = self.state.apply(rows, &keyed)?;
        notices.extend(updates.iter().filter_map(KeyUpdate::notice).map(|n| (n.key.clone(), n)));
        Ok(notices.into_values().collect())
    }

    fn matches(&self, selector: &Selector, without: &BTreeSet<FeedKey>) -> Result<Vec<EntryId>, ViewError> {
        self.answer(selector, without)
    }

    fn upkeep(&mut self, idle: bool) -> Option<Box<dyn Upkeep<Self>>> {
        upkeep::due(self, idle)
    }

    fn check(&self) -> Result<Vec<String>, ViewError> {
        self.audit()
    }
}

impl ChatIndex {
    pub(crate) fn open(tree: Arc<dyn Tree>, sizes: Sizes) -> Result<ChatIndex, ViewError> {
        let few = usize::try_from(sizes.few).unwrap_or(usize::MAX);
        Ok(ChatIndex {
            state: State::open(KEYED, &tree, few)?,
            shelf: Table::load(tree.clone(), ENTRIES, few)?,
            lexicon: Lexicon::load(tree.clone(), sizes)?,
            withdrawn: Withdrawn::load(&*tree, PACKED)?,
            turn: 0,
            named: Named::load(&*tree)?,
            tree,
        })
    }
}
