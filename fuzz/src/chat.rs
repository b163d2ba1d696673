//! Entries of chat: keys, payloads, private messages.

use crate::Input;
use bytes::Bytes;
use kappadb_chat::{
    Channel, Content, Pair, Post, StateKey, decode, deleted, fold, mentions, prepare_with, recipient,
};
use kappadb_core::{FeedKey, SecretKey, StoredBlock, Timestamp};
use kappadb_entry::{Header, decode_block};

/// The two who write to each other in the seeds.
pub fn people() -> [SecretKey; 2] {
    [SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32])]
}

/// A block.
pub fn chat(data: &[u8]) {
    let Ok(entry) = decode_block(&StoredBlock::whole(Bytes::copy_from_slice(data))) else { return };
    let header = &entry.header;
    let key = header.key.as_deref().and_then(StateKey::decode);
    if let Some(key) = key {
        assert_eq!(Some(key.encode()), header.key);
    }
    let payload = entry.payload.as_deref();
    let cleared = decode(header, None).map(|post| post.content);
    let Ok(post) = decode(header, payload) else { return };
    assert_eq!(post.content == Content::Cleared { code: header.kind.code }, payload.is_none());
    match &post.content {
        // What a delete says is all in its header.
        Content::Delete { target, .. } => {
            assert_eq!((Some(*target), cleared.as_ref()), (deleted(header), Ok(&post.content)));
        }
        Content::Private(sealed) => private(sealed, post.order),
        Content::Unknown { .. } | Content::Cleared { .. } => {}
        content => again(header, payload.unwrap_or_default(), content, &post),
    }
}

/// What was understood is said in one way, where its key and place let it be said at all.
fn again(header: &Header, payload: &[u8], content: &Content, post: &Post) {
    let (spelling, order) = (&post.channel, post.order);
    let key = header.key.as_deref().and_then(StateKey::decode);
    let folded = match (key, header.places.moments.first()) {
        (
            Some(StateKey::Topic(channel) | StateKey::Archive(channel) | StateKey::Member { channel, .. }),
            _,
        ) => channel.to_owned(),
        (None, Some(moment)) => String::from_utf8_lossy(&moment.channel).into_owned(),
        _ => return,
    };
    let Ok(mut channel) = Channel::new(&folded) else { return };
    if channel.folded != folded {
        return;
    }
    if !spelling.is_empty() {
        match Channel::new(spelling) {
            Ok(spelled) if spelled.folded == folded && spelled.shown != folded => channel = spelled,
            _ => return,
        }
    }
    let author = match key {
        Some(StateKey::Member { feed, .. }) => feed,
        _ => FeedKey([7; 32]),
    };
    let prepared = prepare_with(&author, content, &post.extras, Some(&channel), order).expect("what was read can be said");
    if prepared.key == header.key && !matches!(content, Content::Join | Content::Leave) {
        assert_eq!(prepared.kind, header.kind);
        let flags = payload.last().copied().unwrap_or_default();
        assert!(prepared.payload == payload || flags != 0, "{content:?}");
    }
    if let Content::Text(text) = content {
        mentions(text, &folded);
        fold(text);
    }
}

/// Whatever the bytes, they open as what one of the two sealed, or not at all.
fn private(sealed: &[u8], order: Timestamp) {
    let [anna, bert] = people();
    let (here, there) = (Pair::new(&anna, &bert.public()), Pair::new(&bert, &anna.public()));
    let (Ok(here), Ok(there)) = (here, there) else { unreachable!("two good keys") };
    for author in [anna.public(), bert.public()] {
        assert_eq!(here.open(&author, order, sealed), there.open(&author, order, sealed));
    }
    assert_eq!(recipient(&anna, order, sealed).is_some(), sealed.len() >= 48);
}

/// Text of people, as the name of a channel.
pub fn channel(data: &[u8]) {
    let mut input = Input::new(data);
    let Ok(name) = std::str::from_utf8(input.rest()) else { return };
    if let Ok(channel) = Channel::new(name) {
        assert!(Channel::is_folded(&channel.folded));
        assert_eq!(Channel::new(&name.to_owned()), Ok(channel));
    }
}
