use super::super::claim::Claim;
use super::*;
use kappadb_core::Seq;
use kappadb_store::MemoryStore;

const FOOTING: Footing = Footing { ground: None, forgotten: 0 };

fn feed(n: u64) -> FeedKey {
    FeedKey(blake2b256(&[&n.to_le_bytes()]).0)
}

fn key(n: u64) -> Question {
    Question { view: "kv".to_owned(), selector: Selector::keys([n.to_be_bytes()]) }
}

/// On the word of a peer, which another told if there are two.
fn word(peers: &[u64]) -> Words {
    let me = feed(u64::MAX);
    peers.iter().fold(Words::default(), |words, peer| words.told_by(feed(*peer), &me))
}

fn claimed_by(peers: &[u64], all: impl IntoIterator<Item = (u64, Seq)>) -> Claims {
    let words = Arc::new(word(peers));
    all.into_iter().map(|(n, length)| (feed(n), Claim { length, words: words.clone() })).collect()
}

fn claimed(all: impl IntoIterator<Item = (u64, Seq)>) -> Claims {
    claimed_by(&[900], all)
}

fn at(time: i64) -> Option<AsOf> {
    Some((Timestamp(time), word(&[900])))
}

fn rows(store: &dyn Store) -> usize {
    store.tree(CLAIMS).unwrap().range(std::ops::Bound::Unbounded, std::ops::Bound::Unbounded).count()
}

#[test]
fn what_was_shown_is_known_after_reopening_and_to_narrower_questions() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let book = Book::new(store.clone());
    let all = Question { view: "kv".to_owned(), selector: Selector::Prefix(Vec::new()) };
    book.record(all.clone(), FOOTING, claimed([(1, 5), (2, 9)]), at(70));
    book.record(key(3), FOOTING, claimed([(1, 7)]), None);
    for book in [book, Book::new(store)] {
        assert_eq!(book.claims(&key(3), &FOOTING, false), claimed([(1, 7), (2, 9)]));
        assert_eq!(book.claims(&key(4), &FOOTING, false), claimed([(1, 5), (2, 9)]));
        assert_eq!(book.complete_as_of(&key(3), &FOOTING, false), at(70));
        for footing in
            [Footing { forgotten: 1, ..FOOTING }, Footing { ground: Some(Hash([1; 32])), ..FOOTING }]
        {
            assert!(book.claims(&key(3), &footing, false).is_empty());
            assert_eq!(book.complete_as_of(&all, &footing, false), None);
        }
        let other = Question { view: "map".to_owned(), ..key(3) };
        assert!(book.claims(&other, &FOOTING, false).is_empty());
    }
}

#[test]
fn a_question_put_again_takes_the_place_of_the_one_before_and_nothing_is_lost() {
    let store = Arc::new(MemoryStore::new());
    let book = Book::new(store.clone());
    book.record(key(1), FOOTING, claimed([(1, 5), (2, 3)]), at(70));
    book.record(key(1), FOOTING, claimed([(1, 4), (3, 1)]), None);
    assert_eq!(book.claims(&key(1), &FOOTING, false), claimed([(1, 5), (2, 3), (3, 1)]));
    assert_eq!(book.complete_as_of(&key(1), &FOOTING, false), at(70));
    assert_eq!(rows(&*store), 2);
    // On another footing nothing of it holds.
    let later = Footing { forgotten: 1, ..FOOTING };
    book.record(key(1), later, claimed([(1, 2)]), None);
    assert_eq!(book.claims(&key(1), &later, false), claimed([(1, 2)]));
    assert_eq!((book.complete_as_of(&key(1), &later, false), rows(&*store)), (None, 2));
}

#[test]
fn what_is_kept_is_bounded_and_what_is_in_use_stays() {
    let all = |writers: u64, n: u64| claimed((0..writers).map(|w| (w, n + 1)));
    for (questions, writers, each) in [(2_100, 3, 20), (60, 2_000, 1)] {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let book = Book::new(store.clone());
        for n in 0..questions {
            // As many writers as an answer speaks of, now and then some further on.
            book.record(key(n), FOOTING, all(writers, n / each), at(1));
            assert_eq!(book.claims(&key(0), &FOOTING, false).len() as u64, writers, "question {n}");
        }
        is_bounded(&book, &*store);
    }
}

fn is_bounded(book: &Book, store: &dyn Store) {
    is_sound(book, store);
    let open = book.lock();
    let open = open.as_ref().unwrap();
    assert!(open.bytes <= MOST_BYTES && open.claims.len() <= MOST);
    assert!(open.bytes > MOST_BYTES / 2 || open.claims.len() == MOST, "{}", open.bytes);
}

/// What is kept is counted as it is, and read as it is kept.
fn is_sound(book: &Book, store: &dyn Store) {
    let open = book.lock();
    let open = open.as_ref().unwrap();
    let weights: usize = open.lengths.values().map(|(lengths, _)| weight(lengths)).sum();
    let bytes: usize = open.claims.values().map(|(_, bytes)| bytes + OVERHEAD).sum();
    assert_eq!(open.bytes, weights + bytes);
    assert_eq!(rows(store), open.claims.len() + open.lengths.len());
    let read = Open::read(store).unwrap();
    assert_eq!((read.bytes, read.claims.len(), read.next), (open.bytes, open.claims.len(), open.next));
    assert!(read.batch.is_empty());
}

#[test]
fn the_longer_claim_is_kept_and_of_two_as_long_the_one_through_fewer_hands() {
    let book = Book::new(Arc::new(MemoryStore::new()));
    book.record(key(1), FOOTING, claimed_by(&[7, 8], [(1, 5), (2, 5), (3, 5)]), None);
    book.record(key(1), FOOTING, claimed_by(&[9], [(1, 4), (2, 5), (3, 6)]), None);
    let words = |n: u64, direct: bool| {
        book.claims(&key(1), &FOOTING, direct).get(&feed(n)).map(|claim| (*claim.words).clone())
    };
    assert_eq!([1, 2, 3].map(|n| words(n, false).unwrap()), [word(&[7, 8]), word(&[9]), word(&[9])]);
    assert_eq!([1, 2, 3].map(|n| words(n, true)), [None, Some(word(&[9])), Some(word(&[9]))]);
}

#[test]
fn a_direct_answer_is_as_of_when_one_was_complete_on_nobodys_word_who_was_not_asked() {
    let book = Book::new(Arc::new(MemoryStore::new()));
    let all = Question { view: "kv".to_owned(), selector: Selector::Prefix(Vec::new()) };
    book.record(all, FOOTING, Claims::new(), at(5));
    let relayed = (Timestamp(9), word(&[7, 8]));
    book.record(key(1), FOOTING, Claims::new(), Some(relayed.clone()));
    assert_eq!(book.complete_as_of(&key(1), &FOOTING, false), Some(relayed));
    assert_eq!(book.complete_as_of(&key(1), &FOOTING, true), at(5));
}

#[test]
fn what_rests_on_the_word_of_who_is_forgotten_is_gone_and_the_rest_stays_also_after_reopening() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let book = Book::new(store.clone());
    let many: Vec<u64> = (20..30).collect();
    book.record(key(1), FOOTING, claimed_by(&[7, 8], [(1, 5)]), Some((Timestamp(3), word(&[9]))));
    book.record(key(1), FOOTING, claimed_by(&[9], [(2, 6)]), None);
    book.record(key(2), FOOTING, claimed_by(&[8], [(1, 5)]), Some((Timestamp(4), word(&[7, 8]))));
    book.record(key(3), FOOTING, claimed_by(&many, [(1, 9)]), Some((Timestamp(5), word(&many))));
    book.record(key(4), FOOTING, Claims::new(), Some((Timestamp(6), word(&[7]))));
    book.forget(&feed(7));
    is_sound(&book, &*store);
    for book in [book, Book::new(store)] {
        assert_eq!(book.claims(&key(1), &FOOTING, false), claimed_by(&[9], [(2, 6)]));
        assert_eq!(book.complete_as_of(&key(1), &FOOTING, false), Some((Timestamp(3), word(&[9]))));
        assert_eq!(book.claims(&key(2), &FOOTING, false), claimed_by(&[8], [(1, 5)]));
        for gone in [2, 3, 4] {
            assert_eq!(book.complete_as_of(&key(gone), &FOOTING, false), None, "{gone}");
        }
        // It is one of so many that not all are named.
        assert!(book.claims(&key(3), &FOOTING, false).is_empty());
    }
}

#[test]
fn damaged_rows_are_swept_away() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let book = Book::new(store.clone());
    book.record(key(1), FOOTING, claimed([(1, 5)]), None);
    book.record(key(2), FOOTING, claimed([(1, 6)]), None);
    let mut batch = Batch::new();
    batch.put(claim_key(0), vec![7; 9]);
    batch.put([&[LENGTHS][..], &[9; 32]].concat(), codec::encode(&Lengths::new()));
    batch.put(vec![LENGTHS], vec![]);
    store.tree(CLAIMS).unwrap().apply(&batch).unwrap();
    let book = Book::new(store.clone());
    assert!(book.claims(&key(1), &FOOTING, false).is_empty());
    assert_eq!(book.claims(&key(2), &FOOTING, false), claimed([(1, 6)]));
    assert_eq!(rows(&*store), 2);
}
