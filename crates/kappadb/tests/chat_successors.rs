//! What chat makes of a feed that goes on in another: a backup was put back, or two copies of a folder wrote.

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

mod common;
#[path = "common/copies.rs"]
mod copies;

use common::{builder, copy, copy_with_state, join, open, run, serve};
use copies::{Copies, length, list};
use kappadb::{
    ChatFlag, Database, FeedKey, FlagChange, NotRecovered, ReadOptions, Said, Says, SearchOptions, Source,
};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

async fn shown(database: &Database) -> Vec<String> {
    let page = database.chat().read("tea", &ReadOptions::latest(10)).await.unwrap();
    page.messages.iter().map(|message| message.said.text().unwrap().to_owned()).collect()
}

async fn flag(database: &Database, of: FeedKey, flags: &[ChatFlag]) -> FeedKey {
    let change = FlagChange::Set(flags.to_vec());
    database.chat().flag(None, of, change, "noise").await.unwrap().feed
}

/// Writes on and puts the folder back to what it was before that: its writers go on in new feeds.
async fn put_back(database: Database, dir: &Path, writes: impl AsyncFnOnce(&Database)) -> Database {
    database.close().await.unwrap();
    let backup = dir.with_extension("backup");
    copy_with_state(dir, &backup);
    let database = open(dir).await;
    writes(&database).await;
    database.close().await.unwrap();
    fs::remove_dir_all(dir).unwrap();
    copy(&backup, dir);
    open(dir).await
}

#[test]
fn whom_a_reader_trusts_is_trusted_in_the_feed_that_goes_on_for_the_one_before() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let founder = builder(&home).create().await.unwrap();
        founder.chat().post("tea", "welcome").await.unwrap();
        let [troll, helper] = ["troll", "helper"].map(|name| founder.new_writer(name));
        let (troll, helper) = (troll.await.unwrap(), helper.await.unwrap());
        let before = founder.writer().await.unwrap();
        founder.with_writer("troll").await.unwrap().chat().post("tea", "buy this").await.unwrap();
        let server = serve(&founder).await;
        let address: SocketAddr = server.ticket().addresses[0].parse().unwrap();
        let reader = join(&dir.path().join("reader"), &server).await;
        assert!(reader.chat().trusted().admins.contains(&before));
        let _ = reader.chat().search("", &SearchOptions::default()).from(Source::Peers).await.unwrap();
        server.stop().await;
        let founder = put_back(founder, &home, async |db| _ = db.chat().post("tea", "lost").await).await;
        // Named by the founder's new feed: what he says counts through two feeds of which the reader never heard.
        let after = flag(&founder, helper, &[ChatFlag::Mod]).await;
        assert_ne!(after, before);
        let helping = founder.with_writer("helper").await.unwrap();
        flag(&helping, troll, &[ChatFlag::Hide]).await;
        let server = founder.serve(address).await.unwrap();
        let _ = reader.chat().read("tea", &ReadOptions::latest(10)).from(Source::Peers).await.unwrap();
        assert_eq!(shown(&reader).await, ["welcome"]);
        // Distrust follows too.
        let mut trusted = reader.chat().trusted();
        trusted.admins.clear();
        trusted.distrusted.insert(before);
        trusted.admins.insert(after);
        reader.chat().set_trusted(trusted).await.unwrap();
        assert_eq!(shown(&reader).await, ["buy this", "welcome"]);
        server.stop().await;
    });
}

#[test]
fn whom_a_reader_blocked_stays_blocked_in_the_feed_that_goes_on_for_the_one_before() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("troll");
        let troll = builder(&home).create().await.unwrap();
        let before = troll.chat().post("tea", "buy this").await.unwrap().feed;
        let server = serve(&troll).await;
        let address: SocketAddr = server.ticket().addresses[0].parse().unwrap();
        let reader = join(&dir.path().join("reader"), &server).await;
        let _ = reader.chat().read("tea", &ReadOptions::latest(10)).from(Source::Peers).await.unwrap();
        flag(&reader, before, &[ChatFlag::Block]).await;
        server.stop().await;
        let troll = put_back(troll, &home, async |db| _ = db.chat().post("tea", "lost").await).await;
        let after = troll.chat().post("tea", "buy more").await.unwrap().feed;
        assert_ne!(after, before);
        let server = troll.serve(address).await.unwrap();
        let _ = reader.chat().read("tea", &ReadOptions::latest(10)).from(Source::Peers).await.unwrap();
        assert!(shown(&reader).await.is_empty());
        // Of whom one thinks otherwise now, that is said of the new feed.
        flag(&reader, after, &[ChatFlag::Allow]).await;
        let _ = reader.chat().read("tea", &ReadOptions::latest(10)).from(Source::Peers).await.unwrap();
        assert_eq!(shown(&reader).await, ["buy more"]);
        server.stop().await;
    });
}

#[test]
fn what_was_said_in_chat_stands_where_it_stood_also_in_private() {
    run(async {
        let copies = Copies::new(async |db| {
            db.chat().post("tea", "old").await.unwrap();
            db.chat().set_profile("nick", "ann").await.unwrap();
        })
        .await;
        let Copies { a, b, feed, .. } = &copies;
        let old = a.chat().read("tea", &ReadOptions::default()).await.unwrap().messages[0].id;
        a.new_writer("bert").await.unwrap();
        let bert = a.with_writer("bert").await.unwrap();
        let to = bert.writer().await.unwrap();
        a.chat().post("Tea", "lost").await.unwrap();
        let slip = a.chat().post("tea", "a slip").await.unwrap();
        a.chat().delete(slip).await.unwrap();
        a.chat().set_profile("nick", "anna").await.unwrap();
        a.chat().set_topic("tea", "first").await.unwrap();
        let topic = a.chat().set_topic("tea", "second").await.unwrap();
        a.chat().delete(topic).await.unwrap();
        a.chat().join("tea").await.unwrap();
        a.chat().send_private(to, "for bert").await.unwrap();
        a.chat().send_private(*feed, "a note").await.unwrap();
        let delete = a.chat().delete(old).await.unwrap();
        let said = a.chat().read("tea", &ReadOptions::default()).await.unwrap().messages[0].time;
        b.chat().post("tea", "by b").await.unwrap();
        drop(copies.meet().await);
        let lost = list(a, *feed).await;
        let shown: Vec<_> = lost
            .iter()
            .map(|entry| match &entry.says {
                Says::Chat { kind, text, .. } => (kind.as_str(), text.as_deref().unwrap_or_default()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(shown[0], ("text", "lost"));
        assert_eq!(shown[3], ("nick", "anna"));
        assert_eq!(shown[8], ("private", "for bert"));
        let recovered = a.recover_feed(*feed).await.unwrap();
        assert_eq!(
            recovered.left_out,
            [(delete, NotRecovered::Withdrawal)],
            "only the old feed can take back its own"
        );
        assert_eq!(recovered.entries.len(), 6);
        let page = a.chat().read("tea", &ReadOptions::default()).await.unwrap();
        // What took the old one back counts no more; its text was erased for that, and is had again from who holds it.
        let said_now: Vec<_> = page.messages.iter().map(|m| &m.said).collect();
        assert_eq!(said_now, [&Said::Text("lost".into()), &Said::NotHeld]);
        assert_eq!((page.messages[0].time, page.messages[0].nick.as_deref()), (said, Some("anna")));
        assert_eq!(page.messages[0].channel, "Tea");
        assert_eq!(a.chat().topic("tea").await.unwrap().one().unwrap().text, "first");
        let author = page.messages[0].author;
        assert!(a.chat().members("tea").await.unwrap().items.iter().any(|member| member.feed == author));
        for (reader, texts) in [(a, &["a note", "for bert"][..]), (&bert, &["for bert"])] {
            let page = reader.chat().private(None, &ReadOptions::default()).await.unwrap();
            let open = page.messages.iter().filter_map(|m| match &m.said {
                Said::Private { text, .. } if m.author == author => Some(text.as_str()),
                _ => None,
            });
            assert_eq!(open.collect::<Vec<_>>(), texts);
        }
        let before = length(a).await;
        assert_eq!(a.recover_feed(*feed).await.unwrap().entries, []);
        assert_eq!(length(a).await, before);
    });
}

#[test]
fn what_a_lost_message_says_now_comes_back_with_it_and_an_edit_of_an_older_one_is_told_to_be_lost() {
    run(async {
        let copies = Copies::new(async |db| _ = db.chat().post("tea", "old").await.unwrap()).await;
        let Copies { a, b, feed, .. } = &copies;
        let old = a.chat().read("tea", &ReadOptions::latest(1)).await.unwrap().messages[0].id;
        let lost = a.chat().post("tea", "lsot").await.unwrap();
        a.chat().edit(lost, "lots", None).await.unwrap();
        a.chat().edit(lost, "lost", None).await.unwrap();
        let of_old = a.chat().edit(old, "older", None).await.unwrap();
        let gone = a.chat().post("tea", "a slip").await.unwrap();
        a.chat().edit(gone, "two slips", None).await.unwrap();
        a.chat().delete(gone).await.unwrap();
        b.chat().post("tea", "by b").await.unwrap();
        let c = copies.meet().await;
        assert_eq!(shown(a).await, ["old"]);
        let recovered = a.recover_feed(*feed).await.unwrap();
        assert_eq!(recovered.left_out, [(of_old, NotRecovered::Withdrawal)]);
        assert_eq!(recovered.entries.len(), 3, "the message and its edits; nothing of what was deleted");
        assert_eq!(shown(a).await, ["lost", "old"]);
        let page = a.chat().read("tea", &ReadOptions::latest(1)).await.unwrap();
        let history = a.chat().history(page.messages[0].id).await.unwrap().items;
        let said: Vec<_> = history.iter().map(|edition| edition.said.text().unwrap()).collect();
        assert_eq!(said, ["lsot", "lots", "lost"]);
        assert_eq!(a.recover_feed(*feed).await.unwrap().entries, []);
        // Others see it as its author does.
        c.close().await.unwrap();
        let server = serve(a).await;
        let c = join(&copies.dir.path().join("c"), &server).await;
        let _ = c.chat().read("tea", &ReadOptions::latest(10)).from(Source::Peers).await.unwrap();
        assert_eq!(shown(&c).await, ["lost", "old"]);
        server.stop().await;
    });
}
