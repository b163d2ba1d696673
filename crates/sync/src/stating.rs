//! How an answerer states what its answer covers.

use crate::command::Coverage;
use crate::error::SessionError;
use crate::event::Rest;
use crate::frame::{Change, Frame, Last, Statement};
use crate::outbox::Outbox;
use crate::shared::Shared;
use crate::signed::{About, RULES, SignedStatement, claimed};
use crate::words::Words;
use kappadb_core::limits::STATEMENT_PART;
use kappadb_core::{FeedKey, RangeSet, Signature};
use std::collections::{BTreeMap, BTreeSet};

/// Which feeds are spoken of: those that are `due`, then as many of the others as there is `room` for; and how many are left of which something is
/// lacking. Of a feed without blocks there is nothing to say.
pub(crate) fn pick(coverage: Vec<Coverage>, due: &BTreeSet<FeedKey>, room: usize) -> (Vec<Coverage>, u64) {
    let something = coverage.into_iter().filter(|c| c.claimed > 0 || c.length > 0);
    let (mut picked, others): (Vec<_>, Vec<_>) = something.partition(|c| due.contains(&c.definition.feed));
    let lacking = others.iter().skip(room).filter(|c| c.claimed < c.length).count() as u64;
    picked.extend(others.into_iter().take(room));
    (picked, lacking)
}

/// The signature of a statement, if it is its answerer's own word and there is something to hold it to.
pub(crate) fn sign(
    words: &Words,
    about: Option<About>,
    shared: &Shared,
    listed: &BTreeMap<FeedKey, RangeSet>,
) -> Option<Signature> {
    let (me, about) = (shared.signer.as_ref()?, about.filter(|_| words.is_nobodys())?);
    let feeds = claimed(shared.told.stated(), &shared.ledger, listed);
    (!feeds.is_empty()).then(|| SignedStatement::sign(me, about, feeds).signature)
}

/// A statement in parts, with nothing between them: at least one, though it may have nothing new to say.
pub(crate) fn state(
    query: u32,
    changes: &[Change],
    rest: Rest,
    mut token: Option<Vec<u8>>,
    words: &Words,
    signed: Option<Signature>,
    out: &mut Outbox,
) -> Result<(), SessionError> {
    let parts = changes.len().div_ceil(STATEMENT_PART).max(1);
    (1..=parts).try_for_each(|part| {
        let is_last = part == parts;
        let changes =
            changes.iter().skip((part - 1) * STATEMENT_PART).take(STATEMENT_PART).copied().collect();
        let token = token.take_if(|_| is_last);
        let last = match is_last {
            false => Last::No,
            true if !words.is_nobodys() => Last::OnWord(words.clone()),
            true => signed.map_or(Last::Own, |signature| Last::Signed { rules: RULES, signature }),
        };
        out.send(&Frame::Statement(Statement { query, changes, rest, token, last }))
    })
}
