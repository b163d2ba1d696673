//! Searching what is held.

use crate::index::ChatIndex;
use crate::people::Row;
use crate::rows::Place;
use crate::words::Terms;
use kappadb_core::Timestamp;
use kappadb_view::ViewError;

/// What to search for, and how far.
#[derive(Debug, Clone)]
pub struct Search<'a> {
    /// Words that a message must have.
    pub terms: &'a Terms,
    /// Only in this channel, by folded name; none is all.
    pub channel: Option<&'a str>,
    /// Messages up to this order time.
    pub to: Timestamp,
    /// Go on after this message.
    pub after: Option<Place>,
    /// At most so many.
    pub limit: usize,
}

impl ChatIndex {
    /// Messages with all words, the latest first, that are held and not deleted. Words are those that the texts had when they came: who reads a
    /// text may find that it was cleared since.
    pub fn search(&self, search: &Search<'_>) -> Result<Vec<Row>, ViewError> {
        let (mut rows, mut found) = (Vec::new(), self.lexicon.find(search.terms)?);
        while rows.len() < search.limit {
            let Some(row) = found.next()? else { break };
            let here = search.channel.is_none_or(|channel| channel == row.channel);
            let wanted = row.place.order <= search.to && search.after.is_none_or(|after| row.place < after);
            if here && wanted && self.is_there(&row.channel, &row.place)? {
                rows.push(row);
            }
        }
        Ok(rows)
    }
}
