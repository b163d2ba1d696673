use super::*;
use kappadb_core::{DatabaseId, SecretKey};
use kappadb_node::SessionId;
use kappadb_sync::{Coverage, Rest};

const ME: FeedKey = FeedKey([99; 32]);

fn definition(n: u8) -> FeedDefinition {
    FeedDefinition::sign(&DatabaseId([0; 32]), &SecretKey::from_seed(&[n; 32]), Timestamp(0), None)
}

fn peer(n: u8) -> FeedKey {
    FeedKey([n; 32])
}

/// What a peer says, of each feed up to where it claims it and how long it is, and on whose word beside its own.
fn stated(by: u8, of: &[(u8, Seq, u64)], words: &Words) -> Stated {
    let one = |&(n, claimed, length): &(u8, Seq, u64)| Coverage {
        definition: definition(n),
        claimed,
        length,
        at: 0,
        root: [0; 16],
    };
    let coverage = of.iter().map(one).collect();
    let words = words.told_by(peer(by), &ME);
    Stated { coverage, rest: Rest::default(), words, signed: None, peer: peer(by) }
}

/// What is here of a feed: whole, if nobody's word is needed.
fn own(n: u8, claimed: Seq, length: u64, word_of: Option<u8>) -> OwnAnswer {
    let words = word_of.map(|n| Arc::new(Words::of(peer(n))));
    let (feed, covered) = (definition(n).feed, Covered { claimed, length });
    OwnAnswer { feed, covered, words, is_gap: claimed < length, held: 1, continues: None }
}

fn named(all: Vec<Stated>, own: &[OwnAnswer], excluded: &[(u8, Seq)]) -> Option<Vec<(FeedKey, u8)>> {
    let all = (0u64..).map(SessionId).zip(all).collect();
    let excluded = excluded.iter().map(|(n, seq)| (definition(*n).feed, *seq)).collect();
    let words = on_whose_word(&all, own, &excluded)?;
    Some(words.list().iter().map(|word| (word.peer, word.hands)).collect())
}

#[test]
fn an_answer_rests_on_the_word_of_all_who_took_part_and_of_those_they_name() {
    let relayed = Words::of(peer(3));
    let said = || vec![stated(1, &[(1, 5, 5)], &Words::default()), stated(2, &[(2, 3, 3)], &relayed)];
    assert_eq!(named(said(), &[], &[]), Some(vec![(peer(1), 0), (peer(2), 0), (peer(3), 1)]));
    // Who answers itself is not believed through others.
    let mut and_three = said();
    and_three.push(stated(3, &[], &Words::default()));
    assert_eq!(named(and_three, &[], &[]), Some(vec![(peer(1), 0), (peer(2), 0), (peer(3), 0)]));
}

#[test]
fn earlier_claims_count_with_their_words_where_who_took_part_leaves_a_gap_and_nowhere_else() {
    let said = |claimed| vec![stated(1, &[(1, claimed, 5)], &Words::default())];
    let (relied, whole) = (|claimed| [own(1, claimed, 5, Some(7))], [own(1, 5, 5, None)]);
    assert_eq!(named(said(5), &relied(5), &[]), Some(vec![(peer(1), 0)]), "the claim is not needed");
    assert_eq!(named(said(4), &relied(5), &[]), Some(vec![(peer(1), 0), (peer(7), 0)]));
    assert_eq!(named(said(4), &relied(4), &[]), None, "an entry may be lacking");
    assert_eq!(named(said(4), &relied(4), &[(1, 4)]), Some(vec![(peer(1), 0)]), "it counts nowhere");
    assert_eq!(named(said(3), &relied(4), &[(1, 4)]), Some(vec![(peer(1), 0), (peer(7), 0)]));
    assert_eq!(named(said(0), &whole, &[]), Some(vec![(peer(1), 0)]), "what is held whole is known here");
    assert_eq!(named(vec![], &whole, &[]), Some(vec![]));
    assert_eq!(named(vec![], &[own(1, 5, 5, None), own(2, 1, 1, Some(7))], &[]), Some(vec![(peer(7), 0)]));
    assert_eq!(named(vec![], &[own(2, 0, 1, None)], &[]), None);
}

#[test]
fn an_answerer_names_those_on_whose_word_it_claims_what_it_does_not_hold_whole() {
    let all = [own(1, 5, 5, None), own(2, 3, 4, Some(7)), own(3, 1, 1, Some(7)), own(4, 1, 1, Some(8))];
    let listed: Vec<FeedKey> = words_of(all.iter()).list().iter().map(|word| word.peer).collect();
    assert_eq!(listed, [peer(7), peer(8)]);
    assert!(words_of(all.iter().take(1)).is_nobodys());
}

#[test]
fn what_a_live_question_shows_rests_on_the_word_of_each_statement() {
    let relayed = Words::of(peer(3));
    let mut shown = Shown::first(Completeness::Complete(Words::of(peer(1))));
    shown.add(&stated(1, &[(1, 5, 5), (2, 0, 1)], &Words::default()));
    shown.add(&stated(1, &[(2, 1, 1)], &relayed));
    assert_eq!(shown.complete, Some(relayed.told_by(peer(1), &ME)));
    let direct: Vec<bool> = shown.claims.values().map(|claim| claim.words.is_direct()).collect();
    assert_eq!(direct.iter().filter(|direct| **direct).count(), 1);
    assert!(Shown::first(Completeness::Partial).complete.is_none());
}
