use super::ask::Ask;
use super::rows::{self, AUTHOR, DELETE, GONE, KEYED, MESSAGE, POSTED, TAKEN, TAKERS, WORD};
use bytes::Bytes;
use kappadb_chat::{Content, code, words};
use kappadb_core::{EntryId, FeedKey, Timestamp};
use kappadb_entry::rules::{self as versions, Version};
use kappadb_entry::{Entry, Header, space};
use kappadb_query::Selector;
use kappadb_store::{Overlay, Tree, prefix_range};
use kappadb_view::{Arrived, Change, Index, KeyUpdate, Keyed, Notice, View, ViewError};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// Chat: the view named `chat`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChatView;

impl View for ChatView {
    type Index = ChatIndex;
    fn name(&self) -> &str {
        "chat"
    }
    fn version(&self) -> u32 {
        1
    }
    fn open(&self, rows: Arc<dyn Tree>) -> Result<ChatIndex, ViewError> {
        Ok(ChatIndex { keyed: Keyed::open(KEYED, space::CHAT, &*rows)?, tree: rows })
    }
}

/// The chat view's index.
pub struct ChatIndex {
    keyed: Keyed,
    tree: Arc<dyn Tree>,
}

/// A message in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Order time.
    pub order: Timestamp,
    /// The message.
    pub id: EntryId,
    /// Folded name of its channel.
    pub channel: String,
}

/// A part of a channel.
#[derive(Debug, Clone)]
pub struct PageQuery<'a> {
    pub channel: &'a str,
    pub from: i64,
    /// Included.
    pub to: i64,
    pub backwards: bool,
    pub after: Option<(Timestamp, EntryId)>,
    pub limit: usize,
}

fn moment(header: &Header) -> Option<(&[u8], i64)> {
    header.places.moments.first().map(|m| (&m.channel[..], m.from))
}

impl Index for ChatIndex {
    fn apply(&mut self, changes: &[Change<'_>], rows: &mut Overlay<'_>) -> Result<Vec<Notice>, ViewError> {
        let mut notices: BTreeMap<Vec<u8>, Notice> = BTreeMap::new();
        for change in changes {
            let arrived = change.arrived();
            let header = &arrived.entry.header;
            if header.kind.space != space::CHAT {
                continue;
            }
            let hold = matches!(change, Change::Hold(_));
            if header.kind.code == code::DELETE {
                self.delete(rows, arrived, hold, &mut notices)?;
            } else if let Some(key) = &header.key {
                let taken = !rows.range_prefix(&[&[TAKEN][..], &rows::id(&arrived.id)].concat())?.is_empty();
                if !taken && owns(key, &arrived.id.feed) {
                    let update = self.keyed.apply(rows, change)?;
                    notices.extend(update.and_then(|u: KeyUpdate| u.notice()).map(|n| (n.key.clone(), n)));
                }
            } else {
                message(rows, arrived, hold, &mut notices);
            }
        }
        Ok(notices.into_values().collect())
    }

    fn matches(&self, selector: &Selector) -> Result<Vec<EntryId>, ViewError> {
        match selector {
            Selector::Everything => {
                let mut ids: Vec<EntryId> = self.keyed.matches(&*self.tree, &Selector::Prefix(Vec::new()))?;
                for row in prefix_range(&*self.tree, &[MESSAGE]).chain(prefix_range(&*self.tree, &[GONE])) {
                    ids.extend(rows::tail(&row?.0).map(|(_, id)| id));
                }
                for row in prefix_range(&*self.tree, &[TAKERS]) {
                    let (key, _) = row?;
                    ids.extend(key.len().checked_sub(40).and_then(|at| rows::read_id(key.get(at..)?)));
                }
                Ok(ids)
            }
            Selector::Window { channel, from, to } => {
                let channel = String::from_utf8_lossy(channel);
                let query = PageQuery {
                    channel: &channel,
                    from: *from,
                    to: *to,
                    backwards: false,
                    after: None,
                    limit: usize::MAX,
                };
                let mut ids: Vec<EntryId> = self.page(&query)?.into_iter().map(|row| row.id).collect();
                ids.extend(self.gone(&channel, *from, *to)?);
                Ok(ids)
            }
            Selector::Keys(keys) => {
                let mut ids = Vec::new();
                for key in keys {
                    ids.extend(self.key_entries(key)?);
                }
                Ok(ids)
            }
            Selector::Prefix(prefix) => self.prefix(prefix),
            Selector::Custom(bytes) => self.asked(&Ask::decode(bytes).ok_or(ViewError::Unsupported)?),
            _ => Err(ViewError::Unsupported),
        }
    }
}

/// Keys of what only its subject may say end with, or begin with, that feed.
fn owns(key: &[u8], feed: &FeedKey) -> bool {
    let Ok(key) = std::str::from_utf8(key) else { return false };
    let feed = feed.to_string();
    match key.get(..2) {
        Some("m/") => key.ends_with(&feed),
        Some("p/") => key.split('/').nth(1) == Some(&feed),
        Some("f/") => key.split('/').nth(2) == Some(&feed),
        Some("t/" | "a/") => true,
        _ => false,
    }
}

fn set(rows: &mut Overlay<'_>, hold: bool, key: Vec<u8>, value: Vec<u8>) {
    if hold { rows.put(key, value) } else { rows.delete(key) }
}

fn notify(notices: &mut BTreeMap<Vec<u8>, Notice>, channel: &[u8], ids: Vec<EntryId>, gone: Vec<EntryId>) {
    let key = [b"c/", channel].concat();
    let notice = notices.entry(key.clone()).or_insert(Notice { key, heads: Vec::new(), gone: Vec::new() });
    notice.heads.extend(ids);
    notice.gone.extend(gone);
}

fn message(rows: &mut Overlay<'_>, arrived: &Arrived, hold: bool, notices: &mut BTreeMap<Vec<u8>, Notice>) {
    let Some((channel, order)) = moment(&arrived.entry.header) else { return };
    let (time, id) = (rows::time(order), rows::id(&arrived.id));
    let (feed, seq) = id.split_at(32);
    set(
        rows,
        hold,
        [&rows::channel(MESSAGE, channel)[..], &time, &id].concat(),
        vec![arrived.entry.header.kind.code],
    );
    set(rows, hold, [&rows::channel(POSTED, channel)[..], feed, &time, seq].concat(), Vec::new());
    set(rows, hold, [&[AUTHOR][..], feed, &time, seq].concat(), channel.to_vec());
    if let Some(payload) = &arrived.entry.payload
        && let Ok(post) = kappadb_chat::decode(&arrived.entry.header, Some(payload))
        && let Content::Text(text) | Content::Emote(text) = post.content
    {
        for word in words(&text).collect::<BTreeSet<_>>() {
            let newest_first = rows::time(!order);
            set(
                rows,
                hold,
                [&[WORD][..], word.as_bytes(), &[0], &newest_first, &id].concat(),
                channel.to_vec(),
            );
        }
    }
    let (here, gone) = if hold { (vec![arrived.id], vec![]) } else { (vec![], vec![arrived.id]) };
    notify(notices, channel, here, gone);
}

impl ChatIndex {
    fn delete(
        &mut self,
        rows: &mut Overlay<'_>,
        arrived: &Arrived,
        hold: bool,
        notices: &mut BTreeMap<Vec<u8>, Notice>,
    ) -> Result<(), ViewError> {
        let header = &arrived.entry.header;
        let Some(payload) = &arrived.entry.payload else { return Ok(()) };
        let Ok(post) = kappadb_chat::decode(header, Some(payload)) else { return Ok(()) };
        let Content::Delete { target, .. } = post.content else { return Ok(()) };
        if target.feed != arrived.id.feed {
            return Ok(());
        }
        let own = rows::id(&arrived.id);
        if let Some(key) = &header.key {
            set(rows, hold, [&[TAKEN][..], &rows::id(&target), &own].concat(), key.clone());
            let len = u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes();
            set(rows, hold, [&[TAKERS][..], &len, key, &own].concat(), Vec::new());
            let version = self.keyed.versions(rows, key)?.into_iter().find(|v| v.id == target);
            if let (true, Some(version)) = (hold, version) {
                let gone = withdrawn(key, version);
                let update = self.keyed.apply(rows, &Change::Withdraw(&gone))?;
                notices.extend(update.and_then(|u| u.notice()).map(|n| (n.key.clone(), n)));
            }
        } else if let Some((channel, order)) = moment(header) {
            let at = [&[DELETE][..], &rows::id(&target), channel, &[0], &rows::time(order), &own].concat();
            set(rows, hold, at, Vec::new());
            set(
                rows,
                hold,
                [&rows::channel(GONE, channel)[..], &rows::time(order), &own].concat(),
                rows::id(&target),
            );
            notify(notices, channel, Vec::new(), vec![target]);
        }
        Ok(())
    }

    fn is_deleted(&self, row: &Row) -> Result<bool, ViewError> {
        let prefix =
            [&[DELETE][..], &rows::id(&row.id), row.channel.as_bytes(), &[0], &rows::time(row.order.0)]
                .concat();
        Ok(prefix_range(&*self.tree, &prefix).next().transpose()?.is_some())
    }

    /// Messages of a channel that are not deleted, in reading order.
    pub fn page(&self, query: &PageQuery<'_>) -> Result<Vec<Row>, ViewError> {
        let head = rows::channel(MESSAGE, query.channel.as_bytes());
        let first = [&head[..], &rows::time(query.from)].concat();
        let last = [&head[..], &rows::time(query.to), &[0xff; 41]].concat();
        let after = query.after.map(|(order, id)| [&head[..], &rows::time(order.0), &rows::id(&id)].concat());
        let (mut from, mut to) = (Bound::Included(&first[..]), Bound::Included(&last[..]));
        match &after {
            Some(after) if query.backwards && after[..] <= last[..] => to = Bound::Excluded(after),
            Some(after) if !query.backwards && after[..] >= first[..] => from = Bound::Excluded(after),
            _ => {}
        }
        let range = self.tree.range(from, to);
        let range: Box<dyn Iterator<Item = _>> =
            if query.backwards { Box::new(range.rev()) } else { Box::new(range) };
        let mut found = Vec::new();
        for row in range {
            if found.len() >= query.limit {
                break;
            }
            let Some((order, id)) = rows::tail(&row?.0) else { continue };
            let row = Row { order: Timestamp(order), id, channel: query.channel.to_owned() };
            if !self.is_deleted(&row)? {
                found.push(row);
            }
        }
        Ok(found)
    }

    fn gone(&self, channel: &str, from: i64, to: i64) -> Result<Vec<EntryId>, ViewError> {
        let head = rows::channel(GONE, channel.as_bytes());
        let first = [&head[..], &rows::time(from)].concat();
        let last = [&head[..], &rows::time(to), &[0xff; 41]].concat();
        let mut ids = Vec::new();
        for row in self.tree.range(Bound::Included(&first), Bound::Included(&last)) {
            ids.extend(rows::tail(&row?.0).map(|(_, id)| id));
        }
        Ok(ids)
    }

    /// A message, if it is one that is held and not deleted.
    pub fn message(&self, header: &Header, id: EntryId) -> Result<Option<Row>, ViewError> {
        let Some((channel, order)) = moment(header) else { return Ok(None) };
        let row = Row { order: Timestamp(order), id, channel: String::from_utf8_lossy(channel).into_owned() };
        Ok(if self.is_deleted(&row)? { None } else { Some(row) })
    }

    /// The greatest order time of a channel that is not beyond a week from `now`.
    pub fn latest(&self, channel: &str, now: Timestamp) -> Result<Option<Timestamp>, ViewError> {
        let to = now.0.saturating_add(7 * 24 * 3_600_000);
        let query = PageQuery { channel, from: i64::MIN, to, backwards: true, after: None, limit: 1 };
        Ok(self.page(&query)?.first().map(|row| row.order))
    }

    /// The versions of a key that no other makes redundant.
    pub fn active(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        self.keyed.active(&*self.tree, key)
    }

    /// The winner of a key.
    pub fn winner(&self, key: &[u8], now: Timestamp) -> Result<Option<Version>, ViewError> {
        let heads = self.keyed.heads(&*self.tree, key)?;
        Ok(versions::winner(&heads.iter().collect::<Vec<_>>(), now).cloned())
    }

    /// The winners of the keys with a prefix.
    pub fn winners(&self, prefix: &[u8], now: Timestamp) -> Result<Vec<(Vec<u8>, Version)>, ViewError> {
        let mut found = Vec::new();
        for row in self.keyed.scan(&*self.tree, prefix, None) {
            let (key, active) = row?;
            let winner = versions::winner(&versions::heads(&active), now).cloned();
            found.extend(winner.map(|winner| (key, winner)));
        }
        Ok(found)
    }

    /// Who posted to a channel, with its last message.
    pub fn posted(&self, channel: &str) -> Result<Vec<Row>, ViewError> {
        let head = rows::channel(POSTED, channel.as_bytes());
        let (mut found, mut after) = (Vec::new(), head.clone());
        let end = [&head[..], &[0xff; 49]].concat();
        loop {
            let next = self.tree.range(Bound::Excluded(&after), Bound::Included(&end)).next().transpose()?;
            let Some(feed) =
                next.and_then(|(key, _)| key.get(head.len()..head.len() + 32).map(<[u8]>::to_vec))
            else {
                return Ok(found);
            };
            let from = [&head[..], &feed].concat();
            let to = [&head[..], &feed, &[0xff; 17]].concat();
            for row in self.tree.range(Bound::Included(&from), Bound::Included(&to)).rev() {
                let (key, _) = row?;
                let Some((order, seq)) = key.get(from.len()..).and_then(|rest| rest.split_first_chunk::<8>())
                else {
                    break;
                };
                let seq = seq.try_into().map(u64::from_be_bytes).unwrap_or_default();
                let feed = feed.clone().try_into().map(FeedKey).unwrap_or(FeedKey([0; 32]));
                let row = Row {
                    order: Timestamp(rows::untime(*order)),
                    id: EntryId { feed, seq },
                    channel: channel.to_owned(),
                };
                if !self.is_deleted(&row)? {
                    found.push(row);
                    break;
                }
            }
            after = to;
        }
    }

    /// Folded names of the channels that somebody posted to or joined.
    pub fn channels(&self) -> Result<BTreeSet<String>, ViewError> {
        let mut names = BTreeSet::new();
        let (mut after, end) = (vec![MESSAGE], vec![MESSAGE + 1]);
        while let Some(row) = self.tree.range(Bound::Excluded(&after), Bound::Excluded(&end)).next() {
            let (key, _) = row?;
            let name: Vec<u8> = key.iter().skip(1).take_while(|b| **b != 0).copied().collect();
            after = [&[MESSAGE], &name[..], &[1]].concat();
            let text = String::from_utf8_lossy(&name).into_owned();
            let any = PageQuery {
                channel: &text,
                from: i64::MIN,
                to: i64::MAX,
                backwards: true,
                after: None,
                limit: 1,
            };
            if !self.page(&any)?.is_empty() {
                names.insert(text);
            }
        }
        for row in self.keyed.scan(&*self.tree, b"m/", None) {
            let (key, _) = row?;
            let key = String::from_utf8_lossy(&key).into_owned();
            names
                .extend(key.get(2..).and_then(|rest| rest.rsplit_once('/')).map(|(name, _)| name.to_owned()));
        }
        Ok(names)
    }

    /// Messages with a word, or one that begins so; the latest first for a word.
    pub fn search(&self, word: &str, prefix: bool) -> Result<Vec<Row>, ViewError> {
        let head = if prefix {
            [&[WORD][..], word.as_bytes()].concat()
        } else {
            rows::channel(WORD, word.as_bytes())
        };
        let mut found = Vec::new();
        for row in prefix_range(&*self.tree, &head) {
            let (key, channel) = row?;
            let Some((order, id)) = rows::tail(&key) else { continue };
            let row =
                Row { order: Timestamp(!order), id, channel: String::from_utf8_lossy(&channel).into_owned() };
            if !self.is_deleted(&row)? {
                found.push(row);
            }
        }
        Ok(found)
    }

    /// What a feed posted, the latest first.
    pub fn by_author(&self, feed: &FeedKey, limit: usize) -> Result<Vec<Row>, ViewError> {
        let mut found = Vec::new();
        for row in prefix_range(&*self.tree, &[&[AUTHOR][..], &feed.0].concat()).rev() {
            let (key, channel) = row?;
            let Some((order, seq)) = key.get(33..).and_then(|rest| rest.split_first_chunk::<8>()) else {
                continue;
            };
            let seq = seq.try_into().map(u64::from_be_bytes).unwrap_or_default();
            let row = Row {
                order: Timestamp(rows::untime(*order)),
                id: EntryId { feed: *feed, seq },
                channel: String::from_utf8_lossy(&channel).into_owned(),
            };
            if found.len() < limit && !self.is_deleted(&row)? {
                found.push(row);
            }
        }
        Ok(found)
    }

    fn key_entries(&self, key: &[u8]) -> Result<Vec<EntryId>, ViewError> {
        let mut ids: Vec<EntryId> =
            self.keyed.versions(&*self.tree, key)?.into_iter().map(|v| v.id).collect();
        let len = u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes();
        for row in prefix_range(&*self.tree, &[&[TAKERS][..], &len, key].concat()) {
            let (key, _) = row?;
            ids.extend(key.len().checked_sub(40).and_then(|at| rows::read_id(key.get(at..)?)));
        }
        Ok(ids)
    }

    fn prefix(&self, prefix: &[u8]) -> Result<Vec<EntryId>, ViewError> {
        let mut ids = Vec::new();
        for row in self.keyed.scan(&*self.tree, prefix, None) {
            ids.extend(self.key_entries(&row?.0)?);
        }
        Ok(ids)
    }

    fn asked(&self, ask: &Ask) -> Result<Vec<EntryId>, ViewError> {
        let mut ids = Vec::new();
        match ask {
            Ask::Screen { channel, from, to, limit, backwards } => {
                let limit =
                    if *limit == 0 { usize::MAX } else { usize::try_from(*limit).unwrap_or(usize::MAX) };
                let rows = self.page(&PageQuery {
                    channel,
                    from: *from,
                    to: *to,
                    backwards: *backwards,
                    after: None,
                    limit,
                })?;
                let bound = rows.last().filter(|_| rows.len() >= limit).map(|row| row.order.0);
                let (first, last) = match (bound, backwards) {
                    (Some(bound), true) => (bound, *to),
                    (Some(bound), false) => (*from, bound),
                    (None, _) => (*from, *to),
                };
                ids.extend(self.matches(&Selector::Window {
                    channel: channel.clone().into_bytes(),
                    from: first,
                    to: last,
                })?);
                let authors: BTreeSet<FeedKey> = ids.iter().map(|id| id.feed).collect();
                ids.extend(self.about(channel)?);
                for feed in authors {
                    ids.extend(self.key_entries(format!("p/{feed}/nick").as_bytes())?);
                }
            }
            Ask::State(channel) => {
                let mut feeds: BTreeSet<FeedKey> = BTreeSet::new();
                for row in self.posted(channel)? {
                    feeds.insert(row.id.feed);
                    ids.push(row.id);
                    ids.extend(self.gone(channel, row.order.0, row.order.0)?);
                }
                let members = self.prefix(format!("m/{channel}/").as_bytes())?;
                feeds.extend(members.iter().map(|id| id.feed));
                ids.extend(members);
                ids.extend(self.about(channel)?);
                for feed in feeds {
                    ids.extend(self.prefix(format!("p/{feed}/").as_bytes())?);
                }
            }
            Ask::Channels => {
                for channel in self.channels()? {
                    let latest = PageQuery {
                        channel: &channel,
                        from: i64::MIN,
                        to: i64::MAX,
                        backwards: true,
                        after: None,
                        limit: 1,
                    };
                    ids.extend(self.page(&latest)?.into_iter().map(|row| row.id));
                    ids.extend(self.prefix(format!("m/{channel}/").as_bytes())?);
                    ids.extend(self.about(&channel)?);
                }
            }
            Ask::Author(feed) => {
                for row in self.by_author(feed, usize::MAX)? {
                    ids.extend(self.gone(&row.channel, row.order.0, row.order.0)?);
                    ids.push(row.id);
                }
            }
            Ask::Flags => ids = self.prefix(b"f/")?,
            Ask::Profile(feed) => ids = self.prefix(format!("p/{feed}/").as_bytes())?,
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// Topic, archive, flags.
    fn about(&self, channel: &str) -> Result<Vec<EntryId>, ViewError> {
        let mut ids = self.key_entries(format!("t/{channel}").as_bytes())?;
        ids.extend(self.key_entries(format!("a/{channel}").as_bytes())?);
        ids.extend(self.prefix(b"f/")?);
        Ok(ids)
    }
}

/// A version as the entry that it was.
fn withdrawn(key: &[u8], version: Version) -> Arrived {
    let Version { id, kind, time, context, depth, places, past } = version;
    let header = Header { key: Some(key.to_vec()), context, depth, places, past, ..Header::new(kind, time) };
    let entry = Entry { header, payload: None::<Bytes> };
    Arrived { lseq: 0, id, entry }
}
