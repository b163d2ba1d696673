//! The words of this library, one for each thing. `design/model.md` has the rules behind them.
//!
//! **What is written**
//!
//! | word | means |
//! |---|---|
//! | block | the bytes at one place of a feed, 1 MiB at most |
//! | feed | one writer's log of blocks, signed, only ever appended to; named by an Ed25519 key ([`FeedKey`](crate::FeedKey)) |
//! | entry | a block decoded: a header, which says what it is about, and a payload; named by its feed and place ([`EntryId`](crate::EntryId)) |
//! | version | an entry that says something of a key, a feature, a channel: several may be held of one |
//! | head | a version that no other replaces. Several heads are a *conflict*; which one is shown is a rule that is the same everywhere |
//! | blob | bytes of any number, in blocks before the entry that names them ([`Blobs`](crate::Blobs)) |
//! | writer | a name under which this replica writes a feed ([`Database::with_writer`](crate::Database::with_writer)) |
//!
//! **Where it lies**
//!
//! | word | means |
//! |---|---|
//! | database | feeds that belong together, on any number of machines; its id is the same on all |
//! | replica | a database in one folder: *full* if it holds all that it knows of, else *sparse* |
//! | held | verified, and readable here now |
//! | arrival log | the order in which blocks came to this replica; each has a number ([`Lseq`](crate::Lseq)) |
//! | view | what is computed from the blocks held, to answer questions: keys, map, chat, blobs, or [your own](crate::view). It can be thrown away and made again |
//! | cleared | held without its payload: what it means for others stays, what it said is gone |
//! | dropped | a feed of which nothing is wanted here any more |
//!
//! **How it is asked**
//!
//! | word | means |
//! |---|---|
//! | peer | another replica of the database that this one asks, or that asks it |
//! | ticket | a text that lets another join: the database, its access key, where a peer is ([`Ticket`](crate::Ticket)) |
//! | selector | what a view can be asked: keys, a range, boxes, a channel's page ([`view::Selector`](crate::view::Selector)) |
//! | question | what a method of a handle is asked; it may need several selectors |
//! | source | where a question is answered from: what is held here, or peers too ([`Source`](crate::Source)) |
//! | complete | nothing that anybody who took part knows of is lacking ([`Completeness`](crate::Completeness)) |
//! | as of | nothing was lacking then |
//! | word | on whose word an answer is complete: theirs who were asked, and theirs on whom these rest ([`Words`](crate::Words)) |
//! | direct | on nobody's word who was not asked |
//! | fork | two histories signed under one feed's key: from there on its entries count nowhere |
