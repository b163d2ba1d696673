//! Single cases, said plainly.

use crate::fixture::Fixture;
use crate::histories::feed;
use kappadb_chat::{Channel, Content, Prepared, StateKey, prepare};
use kappadb_core::{EntryId, Timestamp};
use kappadb_entry::{Entry, Header};
use kappadb_view::{Arrived, Change};
use kappadb_view_chat::PageQuery;

fn say(id: EntryId, content: &Content, order: i64) -> Arrived {
    let room = Channel::new("room").unwrap();
    let Prepared { kind, key, context, places, payload } =
        prepare(&id.feed, content, Some(&room), Timestamp(order)).unwrap();
    let header = Header { key, context, places, ..Header::new(kind, Timestamp(order)) };
    Arrived { lseq: 0, id, entry: Entry { header, payload: Some(payload.into()) } }
}

fn id(writer: u8, seq: u64) -> EntryId {
    EntryId { feed: feed(writer), seq }
}

fn delete(by: EntryId, target: &Arrived) -> Arrived {
    let header = &target.entry.header;
    let order = header.places.moments.first().map_or(header.time, |moment| Timestamp(moment.from));
    say(by, &Content::Delete { target: target.id, key: header.key.clone(), order }, order.0)
}

fn shown(fixture: &Fixture) -> Vec<u64> {
    let page = fixture.index.page(&PageQuery::latest("room", Timestamp(i64::MAX), 100)).unwrap();
    page.iter().map(|place| place.id.seq).collect()
}

#[test]
fn a_delete_that_is_withdrawn_gives_its_target_back_at_once() {
    let (text, topic) =
        (say(id(0, 0), &Content::Text("tea".into()), 1), say(id(0, 1), &Content::Topic("hot".into()), 1));
    let (gone, taken) = (delete(id(0, 2), &text), delete(id(0, 3), &topic));
    let mut fixture = Fixture::of([&text, &topic, &gone, &taken]);
    let topic_now = |fixture: &Fixture| {
        let key = StateKey::Topic("room").encode();
        fixture.index.winner(&key, Timestamp(9)).unwrap().map(|version| version.id)
    };
    assert_eq!((shown(&fixture), topic_now(&fixture)), (vec![], None));
    fixture.apply(&[Change::Withdraw(&gone), Change::Withdraw(&taken)]);
    assert_eq!((shown(&fixture), topic_now(&fixture)), (vec![0], Some(topic.id)));
}

#[test]
fn a_delete_counts_also_once_its_payload_was_cleared() {
    let text = say(id(0, 0), &Content::Text("tea".into()), 1);
    let mut gone = delete(id(0, 1), &text);
    gone.entry.payload = None;
    assert_eq!(shown(&Fixture::of([&gone, &text])), Vec::<u64>::new());
}

#[test]
fn only_the_authors_delete_at_the_place_of_its_target_counts() {
    let text = say(id(0, 0), &Content::Text("tea".into()), 1);
    let mut elsewhere = delete(id(0, 1), &text);
    elsewhere.entry.header.places.moments[0].channel = b"other".to_vec();
    let mut later = delete(id(0, 2), &text);
    (later.entry.header.places.moments[0].from, later.entry.header.places.moments[0].to) = (2, 2);
    let another = delete(id(1, 0), &text);
    let mut everything = delete(id(0, 3), &text);
    everything.entry.header.context.ids.push(id(0, 9));
    assert_eq!(shown(&Fixture::of([&text, &elsewhere, &later, &another, &everything])), [0]);
}

#[test]
fn one_who_writes_very_much_does_not_hide_who_else_is_there() {
    let mut entries: Vec<Arrived> =
        (0..500).map(|n| say(id(0, n), &Content::Text("again".into()), 10 + n as i64)).collect();
    entries.push(say(id(1, 0), &Content::Text("tea".into()), 1));
    entries.push(say(id(2, 0), &Content::Text("hot".into()), 2));
    let fixture = Fixture::of(&entries);
    let except = [feed(0)].into();
    let others = PageQuery { except: &except, ..PageQuery::latest("room", Timestamp(1_000), 5) };
    let found: Vec<EntryId> =
        fixture.index.by_others(&others).unwrap().into_iter().map(|place| place.id).collect();
    assert_eq!(found, [id(2, 0), id(1, 0)]);
}
