//! Private messages. They are opened when they are read: nothing of what they say is in any index, here or elsewhere.

use super::correspondence::{self, Correspondence, Known};
use super::lanes::{Lanes, Span};
use super::read::{self, Shower, Spoken};
use super::{ChatError, ChatPage, Edited, MAX_AHEAD, Message, ReadOptions, Said};
use crate::engine::batch::Batch;
use crate::error::ReadError;
use crate::views::chat::ChatParts;
use kappadb_chat::{Content, Extras, Lane, Pair, Prepared, PrivateText, decode, order_time};
use kappadb_core::{EntryId, FeedKey, Timestamp};
use kappadb_entry::Entry;
use kappadb_view_chat::Place;
use std::collections::BTreeSet;

impl ChatParts {
    /// The caller has the turn.
    pub(super) fn send_private(
        &self,
        batch: &mut Batch,
        to: &FeedKey,
        says: &PrivateText,
    ) -> Result<EntryId, ChatError> {
        self.chat.ready()?;
        // Checked before the first write makes a feed.
        Pair::check(to, &says.text)?;
        says.reply_to.map(|id| self.check_between(to, id)).transpose()?;
        let own = self.writer()?;
        let pair = self.pair(&own, to)?;
        let order = self.private_order(&pair)?;
        self.chat_put(batch, pair.prepare(says, order, self.salt())?)
    }

    /// Bytes at random to seal with.
    pub(super) fn salt(&self) -> [u8; 16] {
        let mut salt = [0; 16];
        (self.random)(&mut salt);
        salt
    }

    /// Refuses what is no message between this writer and another that is held here.
    fn check_between(&self, other: &FeedKey, id: EntryId) -> Result<(), ChatError> {
        let entry = self.entry(id)?.ok_or(ChatError::NotThere(id))?;
        let found = self.chat.read(|index| index.message(&entry.header, id))??;
        let (channel, _) = found.ok_or(ChatError::NotThere(id))?;
        let lies_in = |own| {
            let pair = self.pair(&own, other)?;
            Ok::<_, ChatError>([pair.outbox(), pair.inbox()].iter().any(|lane| lane.channel() == channel))
        };
        for own in self.me() {
            if lies_in(own)? {
                return Ok(());
            }
        }
        Err(ChatError::NotThere(id))
    }

    /// Says something else in a private message of this writer. The caller has the turn.
    pub(super) fn edit_private(
        &self,
        batch: &mut Batch,
        id: EntryId,
        place: Place,
        text: &str,
    ) -> Result<EntryId, ChatError> {
        let feed = self.writer()?;
        if feed != id.feed {
            return Err(ChatError::NotYours(id));
        }
        let entry = self.entry(id)?.ok_or(ChatError::NotThere(id))?;
        let (to, _) = self.own_private(id, &entry).ok_or(ChatError::NotThere(id))?;
        let edit = self.pair(&feed, &to)?.prepare_edit(id, &text.into(), place.order, self.salt())?;
        self.chat_put_naming(batch, edit)
    }

    /// After all that either of the two has written to the other, as far as that can be read here: an answer stands after what it
    /// answers.
    fn private_order(&self, pair: &Pair) -> Result<Timestamp, ReadError> {
        let now = self.clock.now();
        let latest = |lane: Lane| self.chat.read(|index| index.latest(&lane.channel(), now));
        Ok(order_time(now, latest(pair.outbox())??.max(latest(pair.inbox())??)))
    }

    /// What an own feed shares with another.
    pub(super) fn pair(&self, own: &FeedKey, other: &FeedKey) -> Result<Pair, ChatError> {
        let pair = self.feeds.with_secret(own, |secret| Pair::new(secret, other));
        Ok(pair.ok_or(ReadError::Closed)??)
    }

    /// Whom a private message of an own feed is for, and what it says; none if it is none, or cannot be opened. The same of what one says now.
    pub(super) fn own_private(&self, id: EntryId, entry: &Entry) -> Option<(FeedKey, PrivateText)> {
        let post = decode(&entry.header, entry.payload.as_deref()).ok()?;
        let Content::Private(sealed) = post.content else { return None };
        let look = |secret: &_| kappadb_chat::recipient(secret, post.order, &sealed);
        let to = self.feeds.with_secret(&id.feed, look).flatten()?;
        let says = self.pair(&id.feed, &to).ok()?.open(&id.feed, post.order, &sealed).ok()?;
        Some((to, says))
    }

    /// Whom a private message is for, and what it says, if the two can be had by a secret that is here: by one of its author, or of this handle's writer, or of
    /// an author that an import made.
    pub(super) fn readable_private(&self, id: EntryId, entry: &Entry) -> Option<(FeedKey, PrivateText)> {
        let own = || self.own_private(id, entry);
        let post = decode(&entry.header, entry.payload.as_deref()).ok()?;
        let Content::Private(sealed) = post.content else { return None };
        let mine = |me: FeedKey| {
            let says = self.pair(&me, &id.feed).ok()?.open(&id.feed, post.order, &sealed).ok()?;
            Some((me, says))
        };
        own().or_else(|| self.me().into_iter().find_map(mine))
    }

    /// The same message by another own feed, at the same place in time.
    pub(super) fn private_again(&self, id: EntryId, entry: &Entry, by: &FeedKey) -> Option<Prepared> {
        let (to, says) = self.own_private(id, entry)?;
        // Notes to oneself are for whoever goes on.
        let to = if to == id.feed { *by } else { to };
        let order = Timestamp(entry.header.places.moments.first()?.from);
        self.pair(by, &to).ok()?.prepare(&says, order, self.salt()).ok()
    }

    /// The lanes of some correspondences, read along.
    pub(super) fn lanes<'a>(&'a self, shared: &[Correspondence], span: Span) -> Lanes<'a> {
        let lanes = shared.iter().flat_map(Correspondence::both);
        Lanes::new(self, lanes.map(|(lane, by, _)| (lane.channel(), by)), span)
    }

    pub(super) fn private(
        &self,
        with: Option<FeedKey>,
        options: &ReadOptions,
    ) -> Result<ChatPage, ChatError> {
        let now = self.clock.now();
        let mut correspondences = correspondence::correspondences(self, with, Known::Here)?;
        correspondences.extend(correspondence::imported_correspondences(self, with)?);
        let mut seen = BTreeSet::new();
        let lanes: Vec<_> = correspondences
            .iter()
            .flat_map(|c| c.both().map(move |(lane, by, to)| (c, lane, by, to)))
            .filter(|(_, lane, ..)| seen.insert(*lane))
            .collect();
        let reading =
            |span| Lanes::new(self, lanes.iter().map(|(_, lane, by, _)| (lane.channel(), *by)), span);
        let mut page = ChatPage::default();
        if let Some((from, to)) = read::window_ahead(options, now) {
            let mut ahead = reading(Span { from, to, backwards: false, after: None });
            while page.ahead < MAX_AHEAD && ahead.next()?.is_some() {
                page.ahead += 1;
            }
        }
        let Some((from, to)) = read::window(options, now) else { return Ok(page) };
        let after = options.after.map(|cursor| Place { order: cursor.time, id: cursor.id });
        let mut reading = reading(Span { from, to, backwards: !options.oldest_first, after });
        let (mut shower, most) = (Shower::new(self)?, options.limit.unwrap_or(usize::MAX));
        while let Some((lane, place)) = reading.next()? {
            let Some((correspondence, lane, author, to)) = lanes.get(lane) else { continue };
            let spoken = self.opened(&correspondence.pair, &lane.channel(), *to, place)?;
            let hidden = shower.hidden("", author);
            let message = shower.spoken("", place, spoken, hidden)?;
            if !message.is_for(options.hidden) {
                continue;
            }
            if page.messages.len() == most {
                page.next = page.messages.last().map(Message::cursor);
                break;
            }
            page.messages.push(message);
        }
        Ok(page)
    }

    /// What a message in a lane says now. What anybody can read there is no private message, whatever it says.
    pub(super) fn opened(
        &self,
        pair: &Pair,
        channel: &str,
        to: FeedKey,
        place: Place,
    ) -> Result<Spoken, ReadError> {
        let (said, reply_to) = self.sealed(pair, to, place, place.id)?;
        let extras = Extras { reply_to, ..Extras::default() };
        let spoken = Spoken { said, extras, ..Spoken::default() };
        let edit = self.chat.read(|index| index.edits(channel, &place))??.last().copied();
        let edit = edit.filter(|_| matches!(spoken.said, Said::Private { .. } | Said::NotHeld));
        let Some((edit, entry)) = edit.map(|id| Ok::<_, ReadError>((id, self.entry(id)?))).transpose()?
        else {
            return Ok(spoken);
        };
        let Some(entry) = entry else { return Ok(spoken) };
        let (said, _) = self.sealed(pair, to, place, edit)?;
        Ok(Spoken { said, edited: Some(Edited { id: edit, time: entry.header.time }), ..spoken })
    }

    /// What an entry says that was sealed for this place, and what it answers.
    fn sealed(
        &self,
        pair: &Pair,
        to: FeedKey,
        place: Place,
        id: EntryId,
    ) -> Result<(Said, Option<EntryId>), ReadError> {
        let said = match self.chat_post(id)?.map(|post| post.content) {
            Some(Content::Private(sealed)) => match pair.open(&id.feed, place.order, &sealed) {
                Ok(PrivateText { text, reply_to }) => return Ok((Said::Private { to, text }, reply_to)),
                Err(_) => Said::Unreadable,
            },
            Some(Content::Cleared { .. }) => Said::NotHeld,
            Some(Content::Unknown { code }) => Said::Unknown { code },
            _ => Said::Unreadable,
        };
        Ok((said, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::Draft;
    use crate::{ChatFlag, Database, FlagChange, Hidden};
    use kappadb_chat::{Channel, prepare};
    use kappadb_core::{Clock, RangeSet, SecretKey};
    use kappadb_entry::{Moment, Places};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    async fn read(database: &Database) -> Vec<(FeedKey, Said)> {
        let page = database.chat().private(None, &ReadOptions::default()).await.unwrap();
        page.messages.into_iter().map(|message| (message.author, message.said)).collect()
    }

    /// What a recipient or a stranger repeats, where it lies or elsewhere, says nothing.
    #[tokio::test]
    async fn nobody_writes_in_the_name_of_another() {
        let dir = tempfile::tempdir().unwrap();
        let anna = Database::builder(dir.path()).create().await.unwrap();
        anna.new_writer("bert").await.unwrap();
        anna.new_writer("carl").await.unwrap();
        let [bert, carl] = [anna.with_writer("bert").await.unwrap(), anna.with_writer("carl").await.unwrap()];
        let [me, to] = [anna.writer().await.unwrap(), bert.writer().await.unwrap()];
        let id = anna.chat().send_private(to, "genuine").await.unwrap();
        let entry = anna.parts.entry(id).unwrap().unwrap();
        let (kind, payload) = (entry.header.kind, entry.payload.unwrap().to_vec());
        let genuine = entry.header.places.moments.first().unwrap();
        for thief in [&anna, &bert, &carl] {
            for from in [genuine.from, genuine.from - 1] {
                let moment = Moment { from, to: from, ..genuine.clone() };
                let places = Places::new(Vec::new(), vec![moment]);
                let draft = Draft { places, payload: payload.clone(), ..Draft::new(kind) };
                thief.write(vec![draft]).await.unwrap();
            }
        }
        let said = (me, Said::Private { to, text: "genuine".to_owned() });
        for database in [&anna, &bert] {
            let read = read(database).await;
            // Its own author may say it again, in the same place.
            assert_eq!(read.iter().filter(|message| **message == said).count(), 2, "{read:?}");
            assert_eq!(
                read.iter().filter(|(from, said)| *from == me && *said == Said::Unreadable).count(),
                1
            );
            assert_eq!(read.len(), 3);
        }
        assert!(read(&carl).await.is_empty());
        let unreadable = anna.chat().by_author(me, 10).await.unwrap();
        assert!(unreadable.messages.iter().all(|message| message.said.text().is_none()), "{unreadable:?}");
    }

    /// A clock that stands still.
    #[derive(Clone)]
    struct Still(Arc<AtomicI64>);

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(Ordering::SeqCst))
        }
    }

    #[tokio::test]
    async fn an_answer_stands_after_what_it_answers() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Still(Arc::new(AtomicI64::new(1_000)));
        let anna = Database::builder(dir.path()).clock(clock.clone()).create().await.unwrap();
        anna.new_writer("bert").await.unwrap();
        let bert = anna.with_writer("bert").await.unwrap();
        let feeds = [anna.writer().await.unwrap(), bert.writer().await.unwrap()];
        // Either begins, in one millisecond: the order of feeds decides nothing.
        for [first, second] in [[0, 1], [1, 0]] {
            let writers = [&anna, &bert];
            for (from, to) in [(first, second), (second, first)] {
                writers[from].chat().send_private(feeds[to], "x").await.unwrap();
            }
            clock.0.fetch_add(10, Ordering::SeqCst);
            let read = read(&anna).await;
            let [answer, question] = [&read[0], &read[1]].map(|(author, _)| *author);
            assert_eq!([question, answer], [feeds[first], feeds[second]]);
        }
    }

    #[tokio::test]
    async fn what_is_in_clear_in_a_lane_is_no_private_message() {
        let dir = tempfile::tempdir().unwrap();
        let anna = Database::builder(dir.path()).create().await.unwrap();
        let bert = anna.new_writer("bert").await.unwrap();
        let id = anna.chat().send_private(bert, "genuine").await.unwrap();
        let places = anna.parts.entry(id).unwrap().unwrap().header.places;
        let moment = places.moments.first().unwrap();
        let channel =
            Channel { shown: "\0".into(), folded: String::from_utf8(moment.channel.clone()).unwrap() };
        let text = Content::Text("for all to see".into());
        let clear = prepare(&bert, &text, Some(&channel), Timestamp(moment.from)).unwrap();
        let draft = Draft { places: clear.places, payload: clear.payload, ..Draft::new(clear.kind) };
        anna.write(vec![draft]).await.unwrap();
        let said: Vec<Said> = read(&anna).await.into_iter().map(|(_, said)| said).collect();
        assert_eq!(said.len(), 2);
        assert!(said.contains(&Said::Unreadable) && !said.iter().any(|said| matches!(said, Said::Text(_))));
    }

    #[tokio::test]
    async fn whom_one_wrote_to_is_known_while_one_message_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let anna = Database::builder(dir.path()).create().await.unwrap();
        let stranger = SecretKey::from_seed(&[9; 32]).public();
        let mut ids = Vec::new();
        for text in ["first", "second", "third"] {
            ids.push(anna.chat().send_private(stranger, text).await.unwrap());
        }
        anna.chat().delete(ids.pop().unwrap()).await.unwrap();
        anna.clear_for_good(ids[0].feed, RangeSet::from_iter([ids[0].seq])).await.unwrap();
        let said: Vec<Said> = read(&anna).await.into_iter().map(|(_, said)| said).collect();
        assert_eq!(said, [Said::Private { to: stranger, text: "second".into() }, Said::NotHeld]);
    }

    #[tokio::test]
    async fn moderation_hides_what_is_private_too() {
        let dir = tempfile::tempdir().unwrap();
        let anna = Database::builder(dir.path().join("anna")).create().await.unwrap();
        let server = anna.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
        let carl = Database::builder(dir.path().join("carl")).join(&server.ticket()).await.unwrap();
        let to = carl.writer().await.unwrap();
        let by = anna.chat().send_private(to, "buy this").await.unwrap().feed;
        let _ = carl.chat().private(None, &ReadOptions::default()).from(crate::Source::Peers).await.unwrap();
        assert_eq!(read(&carl).await.len(), 1);
        // In a channel one hides what is said there, and nothing private.
        let hide = |channel| (channel, FlagChange::Set(vec![ChatFlag::Hide]));
        for ((channel, change), shown) in [(hide(Some("tea")), 1), (hide(None), 0)] {
            carl.chat().flag(channel, by, change, "noise").await.unwrap();
            assert_eq!(read(&carl).await.len(), shown);
        }
        let all = ReadOptions { hidden: true, ..ReadOptions::default() };
        let page = carl.chat().private(None, &all).await.unwrap();
        assert_eq!(
            page.messages[0].hidden,
            Some(Hidden { flag: ChatFlag::Hide, by: to, reason: "noise".into() })
        );
        server.stop().await;
    }

    #[tokio::test]
    async fn what_cannot_be_sealed_is_told_and_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::builder(dir.path()).create().await.unwrap();
        let feeds = database.status().await.unwrap().feeds.len();
        let weak = database.chat().send_private(FeedKey([0; 32]), "x").await.unwrap_err();
        assert!(weak.to_string().contains("not a valid Ed25519 key"), "{weak}");
        let me = FeedKey([3; 32]);
        for text in [String::new(), "x".repeat(4_097)] {
            assert!(database.chat().send_private(me, &text).await.is_err());
        }
        assert_eq!(database.status().await.unwrap().feeds.len(), feeds);
    }
}
