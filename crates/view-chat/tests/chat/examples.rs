//! Single cases, said plainly.

use crate::fixture::Fixture;
use crate::histories::feed;
use kappadb_chat::{Channel, Content, Prepared, StateKey, prepare};
use kappadb_core::{EntryId, Timestamp};
use kappadb_entry::{Entry, Header};
use kappadb_view::{Arrived, Change, Index};
use kappadb_view_chat::{PageQuery, Search, Terms};

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

fn found(fixture: &Fixture, word: &str) -> Vec<u64> {
    let terms = Terms::parse(word);
    let search = Search { terms: &terms, channel: None, to: Timestamp(i64::MAX), after: None, limit: 100 };
    fixture.index.search(&search).unwrap().iter().map(|row| row.place.id.seq).collect()
}

/// In a segment, in one that was merged, and where its words wait; whether the delete or the message came first.
#[test]
fn words_of_a_deleted_message_are_in_no_row_once_they_are_to_go() {
    for settled in [false, true] {
        for early in [false, true] {
            let secret = say(id(0, 0), &Content::Text("zaunkoenig and wren".into()), 1);
            let edit = say(id(0, 1), &Content::Edit { target: secret.id, text: "zaunkoeniginnen".into() }, 1);
            let gone = delete(id(0, 2), &secret);
            let kept: Vec<Arrived> = (0..40)
                .map(|n| say(id(1, n), &Content::Text(format!("wren number {n}")), 2 + n as i64))
                .collect();
            let mut fixture = Fixture::new();
            let first = if early { vec![&gone] } else { vec![&secret, &edit] };
            let second = if early { vec![&secret, &edit] } else { vec![&gone] };
            for batch in [first, kept.iter().collect(), second] {
                fixture.apply(&batch.into_iter().map(Change::Hold).collect::<Vec<_>>());
                if settled {
                    fixture.settle(true);
                }
            }
            assert!(fixture.index.forget_deleted().unwrap());
            fixture.settle(true);
            assert!(!fixture.has("zaunk") && fixture.has("wren"), "settled {settled}, early {early}");
            assert!(!fixture.index.forget_deleted().unwrap(), "nothing is left to go");
            assert_eq!((found(&fixture, "wren").len(), found(&fixture, "zaunk*").len()), (40, 0));
            assert_eq!(fixture.index.check().unwrap(), Vec::<String>::new());
            let fixture = fixture.reopen();
            assert_eq!((found(&fixture, "wren").len(), found(&fixture, "number").len()), (40, 40));
        }
    }
}

#[test]
fn what_deletes_name_is_looked_at_once_whatever_process_asks() {
    let (one, two) =
        (say(id(0, 0), &Content::Text("a".into()), 1), say(id(0, 1), &Content::Text("b".into()), 2));
    let (gone, later) = (delete(id(0, 2), &one), delete(id(0, 3), &two));
    let due = |fixture: &Fixture| fixture.index.named_by_deletes().ids().collect::<Vec<_>>();
    let mut fixture = Fixture::of([&one, &gone, &later]);
    assert_eq!(due(&fixture), [one.id, two.id]);
    let mut fixture = {
        // Nobody has seen to it: it is due in the next process too.
        fixture = fixture.reopen();
        let all = fixture.index.named_by_deletes();
        assert_eq!(all.ids().count(), 2);
        fixture.index.seen_to(&all, [two.id]);
        assert_eq!(due(&fixture), []);
        fixture.settle(true);
        fixture
    };
    // What was not held is due again once it comes.
    fixture.apply(&[Change::Hold(&two)]);
    assert_eq!(due(&fixture), [two.id]);
    let fixture = fixture.reopen();
    assert_eq!(due(&fixture), [two.id], "of the other nothing is left");
}

#[test]
fn what_is_named_again_while_it_is_seen_to_stays_due() {
    let text = say(id(0, 0), &Content::Text("a".into()), 1);
    let gone = delete(id(0, 1), &text);
    let mut fixture = Fixture::of([&text, &gone]);
    let due = fixture.index.named_by_deletes();
    fixture.apply(&[Change::Withdraw(&gone)]);
    fixture.apply(&[Change::Hold(&gone)]);
    fixture.index.seen_to(&due, []);
    assert_eq!(fixture.index.named_by_deletes().ids().count(), 1);
}
