//! Looking for contradictions in the index's own rows.

use crate::index::ChatIndex;
use crate::rows;
use crate::rows::BAD;
use kappadb_view::ViewError;
use std::hash::{DefaultHasher, Hash, Hasher};

/// How many there are, and a sum of hashes: the same for the same things in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally(u64, u64);

impl Tally {
    fn add(&mut self, thing: impl Hash) {
        let mut hasher = DefaultHasher::new();
        thing.hash(&mut hasher);
        *self = Tally(self.0 + 1, self.1.wrapping_add(hasher.finish()));
    }
}

impl ChatIndex {
    /// Every message and delete must be there by channel and by author, in runs as long as they say.
    pub(crate) fn audit(&self) -> Result<Vec<String>, ViewError> {
        let mut wrong = self.shelf.audit()?;
        let (mut by_author, mut by_channel) = (Tally::default(), Tally::default());
        let mut found = self.shelf.with_prefix(&rows::AUTHORS)?;
        while found.advance()? {
            by_author.add(rows::read_authored(found.key()).ok_or(BAD)?);
        }
        let mut found = self.shelf.with_prefix(&rows::MESSAGES)?;
        while found.advance()? {
            by_channel.add(rows::read_in_channel(found.key()).ok_or(BAD)?);
        }
        if by_author != by_channel {
            let (here, there) = (by_channel.0, by_author.0);
            wrong.push(format!("{here} messages and deletes by channel are not the {there} by author"));
        }
        Ok(wrong)
    }
}
