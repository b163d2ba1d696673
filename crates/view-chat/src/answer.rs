//! What peers are sent: whatever their answer rests on, and what takes something out of it.

use crate::ask::{Ask, Lately};
use crate::index::ChatIndex;
use crate::page::PageQuery;
use crate::rows::BAD;
use crate::rows::{self, OTHERS};
use kappadb_chat::{ARCHIVES, Channel, FLAGS, Lane, StateKey, TOPICS, flags_in, members_of, profile_of};
use kappadb_core::{EntryId, FeedKey, Timestamp};
use kappadb_query::Selector;
use kappadb_view::ViewError;
use std::collections::BTreeSet;

impl ChatIndex {
    /// Of a key all versions are sent, and of messages all that are there: so of what is `without`, only limits, and the one piece of
    /// evidence for a channel, need more than being left out.
    pub(crate) fn answer(
        &self,
        selector: &Selector,
        without: &BTreeSet<FeedKey>,
    ) -> Result<Vec<EntryId>, ViewError> {
        let mut ids = match selector {
            Selector::Everything => self.everything()?,
            Selector::Window { channel, from, to } => match std::str::from_utf8(channel) {
                Ok(channel) => self.between(channel, *from, *to, &BTreeSet::new())?,
                Err(_) => Vec::new(),
            },
            Selector::Keys(keys) | Selector::Versions(keys) => {
                let entries = keys.iter().map(|key| self.state.entries(&*self.tree, key));
                entries.collect::<Result<Vec<_>, _>>()?.concat()
            }
            Selector::Prefix(prefix) => self.state.entries_of(&*self.tree, prefix)?,
            Selector::Custom(bytes) => {
                self.asked(&Ask::decode(bytes).ok_or(ViewError::Unsupported)?, without)?
            }
            _ => return Err(ViewError::Unsupported),
        };
        ids.retain(|id| !without.contains(&id.feed));
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    fn everything(&self) -> Result<Vec<EntryId>, ViewError> {
        let mut ids = self.state.entries_of(&*self.tree, &[])?;
        ids.extend(self.authored(&rows::AUTHORS)?);
        ids.extend(self.others(&OTHERS)?);
        Ok(ids)
    }

    /// Messages and deletes by author, of the rows that begin so.
    fn authored(&self, prefix: &[u8]) -> Result<Vec<EntryId>, ViewError> {
        let mut found = self.shelf.with_prefix(prefix)?;
        let mut ids = Vec::new();
        while found.advance()? {
            let (_, place, mark) = rows::read_authored(found.key()).ok_or(BAD)?;
            ids.extend(self.counting(&place, mark));
        }
        Ok(ids)
    }

    fn others(&self, prefix: &[u8]) -> Result<Vec<EntryId>, ViewError> {
        let mut found = self.shelf.with_prefix(prefix)?;
        let mut ids = Vec::new();
        while found.advance()? {
            let id = rows::read_other(found.key()).ok_or(BAD)?;
            ids.extend((!self.withdrawn.contains(&id)).then_some(id));
        }
        Ok(ids)
    }

    fn between(
        &self,
        channel: &str,
        from: i64,
        to: i64,
        except: &BTreeSet<FeedKey>,
    ) -> Result<Vec<EntryId>, ViewError> {
        let all = PageQuery::latest(channel, Timestamp(to), usize::MAX);
        let window = PageQuery { from, except, ..all };
        if except.is_empty() { self.window(&window) } else { self.window_of_others(&window) }
    }

    fn asked(&self, ask: &Ask, without: &BTreeSet<FeedKey>) -> Result<Vec<EntryId>, ViewError> {
        match ask {
            Ask::Screen { channel, from, to, limit, backwards, ahead } => {
                let query = PageQuery {
                    channel,
                    from: *from,
                    to: *to,
                    backwards: *backwards,
                    after: None,
                    limit: if *limit == 0 {
                        usize::MAX
                    } else {
                        usize::try_from(*limit).unwrap_or(usize::MAX)
                    },
                    except: without,
                };
                let mut ids = self.screen(&query)?;
                ids.extend(self.ahead(channel, Timestamp(*to), *ahead, without)?);
                Ok(ids)
            }
            Ask::Lately { channels, others, to } => self.all_lately(channels, others.as_ref(), *to, without),
            Ask::State { channel, to } => self.channel_state(channel, Timestamp(*to)),
            Ask::Channels { to } => self.all_channels(Timestamp(*to), without),
            Ask::Author(feed) => {
                let mut ids = self.authored(&rows::author(feed))?;
                ids.extend(self.others(&rows::others(feed))?);
                Ok(ids)
            }
            Ask::Flags => self.state.entries_of(&*self.tree, kappadb_chat::FLAGS),
            Ask::Profile(feed) => self.state.entries_of(&*self.tree, &profile_of(feed)),
            Ask::Correspondents { from, to } => self.correspondents(*from, *to),
            Ask::Private { lanes, from, to } => self.private(lanes, *from, *to),
        }
    }

    fn all_lately(
        &self,
        channels: &[Lately],
        others: Option<&Lately>,
        to: i64,
        except: &BTreeSet<FeedKey>,
    ) -> Result<Vec<EntryId>, ViewError> {
        let mut ids = Vec::new();
        for wanted in channels {
            ids.extend(self.lately(&wanted.channel, wanted, to, except)?);
        }
        if let Some(wanted) = others {
            let named: BTreeSet<&str> = channels.iter().map(|wanted| &wanted.channel[..]).collect();
            for name in self.posted_to()? {
                let Ok(name) = String::from_utf8(name) else { continue };
                if Channel::is_folded(&name) && !named.contains(&name[..]) {
                    ids.extend(self.lately(&name, wanted, to, except)?);
                }
            }
        }
        ids.extend(self.names_of(&ids)?);
        ids.extend(self.state.entries_of(&*self.tree, FLAGS)?);
        Ok(ids)
    }

    fn lately(
        &self,
        channel: &str,
        wanted: &Lately,
        to: i64,
        except: &BTreeSet<FeedKey>,
    ) -> Result<Vec<EntryId>, ViewError> {
        let count = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        let all = PageQuery::latest(channel, Timestamp(to), count(wanted.limit));
        let mut ids = self.messages(&PageQuery { from: wanted.from, except, ..all })?;
        ids.extend(self.came_late(channel, Timestamp(wanted.from), count(wanted.late), except)?);
        Ok(ids)
    }

    fn screen(&self, query: &PageQuery<'_>) -> Result<Vec<EntryId>, ViewError> {
        let mut ids = self.messages(query)?;
        let names = self.names_of(&ids)?;
        ids.extend(self.about(query.channel)?);
        ids.extend(names);
        Ok(ids)
    }

    /// As many messages of a window as are wanted, and all of the same time as the last, with what deletes any of them.
    fn messages(&self, query: &PageQuery<'_>) -> Result<Vec<EntryId>, ViewError> {
        let &PageQuery { channel, from, to, backwards, limit, except, .. } = query;
        let page = match limit {
            usize::MAX => Vec::new(),
            _ if backwards && !except.is_empty() => self.by_others(query)?,
            _ => self.page(query)?,
        };
        let bound = page.last().filter(|_| page.len() >= limit).map(|place| place.order.0);
        let (first, last) = match bound {
            Some(bound) if backwards => (bound, to),
            Some(bound) => (from, bound),
            None => (from, to),
        };
        self.between(channel, first, last, except)
    }

    /// What there is of the first messages of a channel after a time.
    fn ahead(
        &self,
        channel: &str,
        now: Timestamp,
        limit: u32,
        except: &BTreeSet<FeedKey>,
    ) -> Result<Vec<EntryId>, ViewError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let Some(from) = now.0.checked_add(1) else { return Ok(Vec::new()) };
        let all = PageQuery::latest(channel, Timestamp(i64::MAX), limit);
        let page = self.page(&PageQuery { from, backwards: false, except, ..all })?;
        let Some(last) = page.last() else { return Ok(Vec::new()) };
        self.between(channel, from, last.order.0, except)
    }

    fn private(&self, lanes: &[Lane], from: i64, to: i64) -> Result<Vec<EntryId>, ViewError> {
        let mut ids = Vec::new();
        for lane in lanes {
            ids.extend(self.between(&lane.channel(), from, to, &BTreeSet::new())?);
        }
        let names = self.names_of(&ids)?;
        ids.extend(self.state.entries_of(&*self.tree, &flags_in(""))?);
        ids.extend(names);
        Ok(ids)
    }

    /// What the authors of these call themselves.
    fn names_of(&self, ids: &[EntryId]) -> Result<Vec<EntryId>, ViewError> {
        let authors: BTreeSet<FeedKey> = ids.iter().map(|id| id.feed).collect();
        let nick = |feed| StateKey::Profile { feed, field: "nick" }.encode();
        let names = authors.into_iter().map(|feed| self.state.entries(&*self.tree, &nick(feed)));
        Ok(names.collect::<Result<Vec<_>, _>>()?.concat())
    }

    fn channel_state(&self, channel: &str, to: Timestamp) -> Result<Vec<EntryId>, ViewError> {
        let mut ids: Vec<EntryId> = self.posted(channel, to)?.into_iter().map(|place| place.id).collect();
        ids.extend(self.state.entries_of(&*self.tree, &members_of(channel))?);
        // Who left and wrote again is there again, by the order of its feed and not by time.
        for feed in ids.iter().map(|id| id.feed).collect::<BTreeSet<_>>() {
            let key = StateKey::Member { channel, feed }.encode();
            if !self.active(&key)?.is_empty() {
                ids.extend(self.last_written(&feed, channel)?.map(|place| place.id));
            }
        }
        ids.extend(self.about(channel)?);
        ids.extend(self.names_of(&ids)?);
        Ok(ids)
    }

    /// What it takes to list channels. Topics and archives are sent of all: the asker may know of channels that are not known here.
    fn all_channels(&self, to: Timestamp, without: &BTreeSet<FeedKey>) -> Result<Vec<EntryId>, ViewError> {
        let mut ids = self.state.entries_of(&*self.tree, TOPICS)?;
        ids.extend(self.state.entries_of(&*self.tree, ARCHIVES)?);
        for channel in self.channels()? {
            // As what was posted last spells it; that it was posted counts, whatever became of it.
            let last = self.last_posted_by_others(&channel, to, without)?;
            let said = last.map(|place| self.said_of(&channel, &place)).transpose()?.unwrap_or_default();
            if said.len() != 1 {
                // Deleted, or none: then it is there only while somebody is in it.
                ids.extend(self.state.entries_of(&*self.tree, &members_of(&channel))?);
            } else if let Some(key) = self.first_member_of_others(&channel, without)? {
                ids.extend(self.state.entries(&*self.tree, &key)?);
            }
            ids.extend(said);
        }
        Ok(ids)
    }

    /// Topic, archive, and the flags that are set there or everywhere.
    fn about(&self, channel: &str) -> Result<Vec<EntryId>, ViewError> {
        let mut ids = self.state.entries(&*self.tree, &StateKey::Topic(channel).encode())?;
        ids.extend(self.state.entries(&*self.tree, &StateKey::Archive(channel).encode())?);
        ids.extend(self.state.entries_of(&*self.tree, &flags_in(""))?);
        ids.extend(self.state.entries_of(&*self.tree, &flags_in(channel))?);
        Ok(ids)
    }
}
