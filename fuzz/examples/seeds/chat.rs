//! Entries of chat.

use crate::{Seeds, named, out};
use kappadb_chat::{Channel, Content, Flag, Pair, Prepared, prepare};
use kappadb_core::{EntryId, Timestamp};
use kappadb_entry::{Header, encode_block};
use kappadb_fuzz::people;

const AT: Timestamp = Timestamp(1_700_000_000_000);

fn block(prepared: Prepared) -> Vec<u8> {
    let Prepared { kind, key, context, places, payload } = prepared;
    let header = Header { key, context, places, ..Header::new(kind, AT) };
    encode_block(&header, &payload).expect("a block").to_vec()
}

pub(crate) fn chat() -> Seeds {
    let [anna, bert] = people();
    let (author, other) = (anna.public(), bert.public());
    let target = EntryId { feed: author, seq: 3 };
    let reason = || "because".to_owned();
    let contents = [
        ("text", Content::Text("hello @bert".to_owned())),
        ("emote", Content::Emote("waves".to_owned())),
        ("topic", Content::Topic("First flush".to_owned())),
        ("profile", Content::Profile { field: "nick".to_owned(), value: "Anna".to_owned() }),
        ("join", Content::Join),
        ("leave", Content::Leave),
        ("archive", Content::Archive { reason: reason() }),
        ("unarchive", Content::Unarchive { reason: reason() }),
        ("delete", Content::Delete { target, key: None, order: AT }),
        (
            "flags",
            Content::Flags {
                scope: None,
                target: other,
                flags: vec![Flag::Hide, Flag::Mod],
                reason: reason(),
            },
        ),
    ];
    let channel = Channel::new("Größe").expect("a name");
    let said = contents.iter().map(|(name, content)| {
        let prepared = prepare(&author, content, Some(&channel), AT).expect("what can be said");
        named(name, out().bytes(block(prepared)))
    });
    let pair = Pair::new(&anna, &other).expect("two good keys");
    let private = pair.prepare(&"between us".into(), AT, [9; 16]).expect("what can be sealed");
    said.chain([named("private", out().bytes(block(private)))]).collect()
}

pub(crate) fn channel() -> Seeds {
    ["Tea", "STRASSE", "caf\u{e9}", "\u{fb03}"]
        .iter()
        .map(|name| named(&format!("{}", name.len()), out().bytes(name.as_bytes())))
        .collect()
}
