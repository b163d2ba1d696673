//! A program that was built for keys and values alone, on entries of chat. What a folder of a whole program is to it: `tests/keys-only`.

#![cfg(not(any(feature = "map", feature = "chat")))]
#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

mod common;

use common::{builder, copy_with_state, join, open, run, serve};
use kappadb::view::{Draft, Kind, Selector, space};
use kappadb::{Interest, NotRecovered, Source};

#[test]
fn what_is_for_a_view_that_is_not_there_is_left_for_a_program_that_has_it() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let [one, two, third] = ["a", "b", "c"].map(|name| dir.path().join(name));
        let first = builder(&one).create().await.unwrap();
        first.kv().put("before", "x").await.unwrap();
        let feed = first.writer().await.unwrap();
        assert!(first.add_follow("channel tea".parse().unwrap()).await.unwrap());
        first.close().await.unwrap();
        copy_with_state(&one, &two);

        // Both go on with the feed, and somebody asks the one and the other.
        let (a, b) = (open(&one).await, open(&two).await);
        assert_eq!(a.follows(), [Interest::Channel("tea".to_owned())]);
        let message = Draft { payload: b"said".to_vec(), ..Draft::new(Kind { space: space::CHAT, code: 1 }) };
        let said = a.write(vec![message]).await.unwrap()[0];
        a.kv().put("tea", "green").await.unwrap();
        b.kv().put("tea", "black").await.unwrap();
        let servers = [serve(&a).await, serve(&b).await];
        for server in [&servers[0], &servers[1], &servers[0], &servers[1]] {
            let c = join(&third, server).await;
            let _ = c.ask("kv", Selector::Everything).from(Source::Peers).await.unwrap();
            c.close().await.unwrap();
        }

        let recovered = a.recover_feed(feed).await.unwrap();
        assert_eq!(recovered.left_out, [(said, NotRecovered::NoView("chat"))]);
        assert_eq!(recovered.entries.len(), 1);
        assert_eq!(a.kv().get("tea").await.unwrap().one().unwrap().text(), Some("green"));
        let mut lost = a.lost_entries(feed).await.unwrap();
        assert_eq!(lost.next().await.unwrap().unwrap().id, said);
        for server in servers {
            server.stop().await;
        }
        a.close().await.unwrap();
        b.close().await.unwrap();
    });
}
