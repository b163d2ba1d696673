//! What hide, mute and block do: each cell of the table in `design/chat.md`.

use crate::common::{Db, Server};
use serde_json::Value;

/// Troll wrote in `tea`, set its topic and archived it, wrote privately to the reader, and has a nickname; so has anna, before him.
struct House {
    full: Db,
    server: Server,
    reader: Db,
    troll: String,
    founder: String,
}

fn feed_of(id: &str) -> String {
    id.split_once('/').unwrap().0.to_owned()
}

fn lines(db: &Db, args: &[&str]) -> Vec<Value> {
    let out = db.ok(&[&["--json"], args].concat());
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

impl House {
    fn new() -> House {
        let full = Db::init();
        let founder = feed_of(&full.ok(&["chat", "nick", "anna"]));
        full.ok(&["chat", "topic", "tea", "First flush"]);
        full.ok(&["chat", "post", "tea", "welcome"]);
        full.ok(&["writer", "new", "troll"]);
        let troll = feed_of(&full.ok(&["--writer", "troll", "chat", "nick", "troll"]));
        full.ok(&["--writer", "troll", "chat", "post", "tea", "buy this"]);
        full.ok(&["--writer", "troll", "chat", "topic", "tea", "Sale!"]);
        full.ok(&["--writer", "troll", "chat", "archive", "tea"]);
        let server = Server::start(&full);
        let reader = Db::join(&server.ticket);
        let me = feed_of(&reader.ok(&["chat", "nick", "rita"]));
        reader.ok(&["chat", "join", "tea"]);
        let house = House { full, server, reader, troll, founder };
        house.at_full(|full| drop(full.ok(&["--writer", "troll", "chat", "dm", "--to", &me, "cheap"])))
    }

    /// Does something with the other replica, which is served again after that.
    fn at_full(self, job: impl FnOnce(&Db)) -> House {
        let House { full, server, reader, troll, founder } = self;
        assert!(server.interrupt());
        job(&full);
        let server = Server::start(&full);
        reader.ok(&["join", &server.ticket]);
        House { full, server, reader, troll, founder }
    }

    fn read(&self, args: &[&str]) -> Vec<Value> {
        lines(&self.reader, args)
    }

    /// The cells of the table, in its order.
    fn cells(&self) -> Vec<bool> {
        let has = |lines: Vec<Value>, text: &str| lines.iter().any(|line| line["text"] == text);
        let tea =
            || self.read(&["chat", "channels"]).into_iter().find(|line| line["channel"] == "tea").unwrap();
        vec![
            has(self.read(&["chat", "read", "tea"]), "buy this"),
            has(self.read(&["chat", "read", "tea", "--hidden"]), "buy this"),
            !self.read(&["chat", "search", "buy"]).is_empty(),
            self.read(&["chat", "unread"])[0]["messages"] == 2,
            tea()["topic"] == "Sale!",
            tea()["archived"] == true,
            self.read(&["chat", "members", "tea"]).iter().any(|line| line["feed"] == self.troll),
            !self.read(&["chat", "profile", "--of", &self.troll]).is_empty(),
            has(self.read(&["chat", "dm"]), "cheap"),
            has(self.read(&["chat", "dm", "--hidden"]), "cheap"),
        ]
    }
}

#[test]
fn hide_mute_and_block_do_what_the_table_says() {
    let house = House::new();
    // read, read --hidden, search, unread, topic, archive, member, profile, dm, dm --hidden
    let table: [(&[&str], [bool; 10]); 7] = [
        (&[], [true; 10]),
        (&["hide"], [false, true, false, false, true, true, true, true, false, true]),
        (&["mute"], [false, true, false, false, false, false, false, true, false, true]),
        (&["block"], [false; 10]),
        (&["hide", "--channel", "tea"], [false, true, false, false, true, true, true, true, true, true]),
        (&["mute", "--channel", "tea"], [false, true, false, false, false, false, false, true, true, true]),
        (&["block", "--channel", "tea"], [false, false, false, false, false, false, false, true, true, true]),
    ];
    for (flags, cells) in table {
        house.reader.ok(&[&["chat", "moderate", "set", &house.troll], flags].concat());
        assert_eq!(house.cells(), cells, "{flags:?}");
        let undo: Vec<&str> = flags.iter().skip(1).copied().collect();
        house.reader.ok(&[&["chat", "moderate", "set", &house.troll], &undo[..]].concat());
    }
    assert_eq!(house.cells(), [true; 10], "and back");
    house.reader.ok(&["chat", "moderate", "set", &house.troll, "mute"]);
    let tea = house.read(&["chat", "channels"]);
    assert_eq!(
        (&tea[0]["topic"], &tea[0]["archived"]),
        (&"First flush".into(), &false.into()),
        "the one before"
    );
}

#[test]
fn a_channel_in_which_only_a_blocked_writer_is_is_not_listed() {
    let house = House::new();
    let house = house.at_full(|full| {
        full.ok(&["--writer", "troll", "chat", "post", "spam", "buy"]);
        full.ok(&["--writer", "troll", "chat", "join", "sale"]);
    });
    let listed = |house: &House| {
        let channels = house.read(&["chat", "channels"]);
        channels.iter().map(|line| line["channel"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed(&house), ["sale", "spam", "tea"]);
    house.reader.ok(&["chat", "moderate", "set", &house.troll, "mute"]);
    assert_eq!(listed(&house), ["sale", "spam", "tea"]);
    house.reader.ok(&["chat", "moderate", "set", &house.troll, "block"]);
    assert_eq!(listed(&house), ["tea"]);
}

#[test]
fn what_a_blocked_writer_goes_on_to_write_is_not_fetched_until_he_is_allowed() {
    let house = House::new();
    house.reader.ok(&["chat", "moderate", "add", &house.troll, "block"]);
    let house = house.at_full(|full| {
        for n in 0..20 {
            full.ok(&["--writer", "troll", "chat", "post", "tea", &format!("more {n}")]);
        }
        full.ok(&["chat", "post", "tea", "quiet now"]);
    });
    let read = house.reader.run(&["--json", "chat", "read", "tea", "--stats"]);
    let told = String::from_utf8(read.stderr).unwrap();
    let stats: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    assert_eq!((read.status.code(), &stats["complete"]), (Some(0), &true.into()), "{told}");
    // Two messages, who wrote them, and what the channel is about.
    assert!(stats["blocks_fetched"].as_u64().unwrap() <= 4, "{told}");
    let blocks = || {
        let feeds = lines(&house.reader, &["feed", "list"]);
        feeds.iter().find(|feed| feed["feed"] == house.troll).map_or(0, |feed| feed["held"].as_u64().unwrap())
    };
    let before = blocks();
    assert_eq!(house.read(&["chat", "read", "tea"]).len(), 2);
    house.read(&["chat", "search", "more"]);
    assert_eq!(blocks(), before, "nor by any other question");
    house.reader.ok(&["chat", "moderate", "set", &house.troll]);
    assert_eq!(house.read(&["chat", "read", "tea"]).len(), 23);
    assert!(blocks() > before);
}

#[test]
fn the_founder_moderates_for_who_joins_who_can_overrule_him() {
    let house = House::new();
    assert!(house.reader.ok(&["chat", "moderate", "trusted"]).contains(&format!("admin {}", house.founder)));
    let troll = house.troll.clone();
    let house = house.at_full(|full| drop(full.ok(&["chat", "moderate", "add", &troll, "block"])));
    assert_eq!(house.read(&["chat", "read", "tea"]).len(), 1);
    house.reader.ok(&["chat", "moderate", "add", &house.troll, "allow"]);
    assert_eq!(house.read(&["chat", "read", "tea"]).len(), 2, "what others say of him does not count");
    house.reader.ok(&["chat", "moderate", "set", &house.troll]);
    assert_eq!(house.read(&["chat", "read", "tea"]).len(), 1);
    // Whom I hide or mute moderates for me all the same.
    for flag in ["hide", "mute"] {
        house.reader.ok(&["chat", "moderate", "set", &house.founder, flag]);
        assert!(
            house.read(&["chat", "read", "tea", "--hidden"]).iter().all(|line| line["text"] != "buy this")
        );
        assert!(house.read(&["chat", "read", "tea"]).is_empty(), "{flag}");
    }
    // Whom I block does not moderate for me.
    house.reader.ok(&["chat", "moderate", "add", &house.founder, "block"]);
    let read = house.read(&["chat", "read", "tea"]);
    assert_eq!(read.iter().map(|line| &line["text"]).collect::<Vec<_>>(), ["buy this"]);
    house.reader.ok(&["chat", "moderate", "set", &house.founder]);
    house.reader.ok(&["chat", "moderate", "distrust", &house.founder]);
    assert_eq!(house.read(&["chat", "read", "tea"]).len(), 2, "nor whom I distrust, who is shown");
}

#[test]
fn joining_again_brings_new_trust() {
    let house = House::new();
    let troll = house.troll.clone();
    assert!(!house.reader.ok(&["chat", "moderate", "trusted"]).contains(&troll));
    let house = house.at_full(|full| drop(full.ok(&["chat", "moderate", "trust", &troll])));
    assert!(house.reader.ok(&["chat", "moderate", "trusted"]).contains(&format!("mod {troll}")));
    house.reader.ok(&["chat", "moderate", "distrust", &troll]);
    let house = house.at_full(|_| ());
    assert!(house.reader.ok(&["chat", "moderate", "trusted"]).contains(&format!("not {troll}")));
    assert!(house.server.interrupt());
    drop(house.full);
}
