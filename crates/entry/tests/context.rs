//! Contexts by example: what is named, up to where, and which context names all that another does.

use kappadb_core::{EntryId, FeedKey, FeedName};
use kappadb_entry::Context;

fn feed(n: u8) -> FeedKey {
    FeedKey([n; 32])
}

fn name(n: u8) -> FeedName {
    feed(n).name()
}

fn id(n: u8, seq: u64) -> EntryId {
    EntryId { feed: feed(n), seq }
}

fn own(seq: u64) -> Context {
    Context { own: Some(seq), ..Context::NOTHING }
}

fn vector(feeds: &[(u8, u64)]) -> Context {
    Context { vector: feeds.iter().map(|&(n, seq)| (name(n), seq)).collect(), ..Context::NOTHING }
}

fn ids(ids: &[EntryId]) -> Context {
    Context { ids: ids.to_vec(), ..Context::NOTHING }
}

#[test]
fn a_context_is_empty_if_it_names_in_none_of_the_three_ways() {
    assert!(Context::NOTHING.is_empty());
    for context in [own(0), vector(&[(1, 0)]), ids(&[id(1, 0)])] {
        assert!(!context.is_empty(), "{context:?}");
    }
}

#[test]
fn feeds_are_named_up_to_a_seq_and_the_own_feed_by_the_greater_of_two() {
    let context = Context { own: Some(5), vector: vec![(name(1), 3), (name(2), 7)], ids: Vec::new() };
    let up_to = |writer: u8, n: u8| context.up_to(&feed(writer), &feed(n));
    assert_eq!((up_to(1, 1), up_to(2, 2), up_to(3, 3)), (Some(5), Some(7), Some(5)));
    assert_eq!((up_to(3, 1), up_to(3, 2), up_to(1, 2), up_to(1, 3)), (Some(3), Some(7), Some(7), None));
    let spelled: Vec<_> = context.feeds(&feed(1)).collect();
    assert_eq!(spelled, [(name(1), 3), (name(2), 7), (name(1), 5)]);
    assert_eq!(Context::NOTHING.feeds(&feed(1)).count(), 0);
}

#[test]
fn an_entry_is_named_by_its_feed_or_by_its_id() {
    let context = Context { own: Some(5), vector: vec![(name(2), 7)], ids: vec![id(3, 4)] };
    let names = |n: u8, seq: u64| context.names(&feed(1), &id(n, seq));
    assert!(names(1, 5) && names(1, 0) && !names(1, 6));
    assert!(names(2, 7) && names(2, 0) && !names(2, 8));
    assert!(names(3, 4) && !names(3, 3) && !names(3, 5) && !names(4, 4));
}

#[test]
fn a_context_includes_what_reaches_no_further() {
    let includes = |wide: &Context, narrow: &Context| wide.includes(&feed(1), narrow, &feed(2));
    let wide = Context { own: Some(5), vector: vec![(name(2), 7)], ids: vec![id(3, 4), id(3, 6)] };
    assert!(includes(&wide, &Context::NOTHING));
    // The other writer's own feed is that of another number here.
    assert!(includes(&wide, &own(7)) && !includes(&wide, &own(8)));
    assert!(includes(&wide, &vector(&[(1, 5), (2, 7)])));
    assert!(!includes(&wide, &vector(&[(1, 6)])) && !includes(&wide, &vector(&[(3, 0)])));
    assert!(includes(&wide, &ids(&[id(3, 4)])) && !includes(&wide, &ids(&[id(3, 4), id(3, 5)])));
    // Both feeds and ids must be included.
    let half = Context { ids: vec![id(3, 5)], ..own(7) };
    assert!(!includes(&wide, &half) && !includes(&wide, &Context { ids: vec![id(3, 4)], ..own(8) }));
    assert!(includes(&wide, &Context { ids: vec![id(3, 4)], ..own(7) }));
}
