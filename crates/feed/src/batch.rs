//! What an index has gathered, as one batch for the store. All keys and values share one piece of memory: an append of a thousand
//! blocks makes hundreds of small rows.

use crate::ReadError;
use crate::index::Index;
use crate::nodes::Nodes;
use crate::pages::KEPT_HEIGHT;
use crate::rows::{self, Cursor};
use crate::state::FeedState;
use bincode::Encode;
use bytes::Bytes;
use kappadb_core::{RangeSet, codec};
use kappadb_merkle::flat;
use kappadb_store::{Batch, Op};
use std::collections::HashMap;
use std::ops::Range;

#[derive(Default)]
struct Packed {
    bytes: Vec<u8>,
    rows: Vec<(Range<usize>, Range<usize>)>,
}

impl Packed {
    fn put(&mut self, key: &[u8], value: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let middle = self.bytes.len();
        value(&mut self.bytes);
        self.rows.push((start..middle, middle..self.bytes.len()));
    }

    fn encode<T: Encode>(&mut self, key: &[u8], value: &T) {
        self.put(key, |out| codec::encode_into(value, out));
    }

    fn ops(self) -> impl Iterator<Item = Op> {
        let bytes = Bytes::from(self.bytes);
        self.rows.into_iter().map(move |(key, value)| Op::Put(bytes.slice(key), bytes.slice(value)))
    }
}

impl Index {
    /// Everything that is to be written, with the cursor.
    pub(crate) fn batch(&self, cursor: &Cursor) -> Result<Batch, ReadError> {
        let mut packed = Packed::default();
        self.rows.iter().for_each(|(key, value)| packed.put(key, |out| out.extend_from_slice(value)));
        self.pack_pages(&mut packed)?;
        for state in self.feeds.values() {
            packed.encode(&rows::feed_key(state.number), &state.to_row());
        }
        packed.put(&rows::cursor_key(), |out| out.extend_from_slice(&rows::cursor_row(cursor)));
        let gone = self.gone.iter().map(|key| Op::Delete(Bytes::copy_from_slice(key)));
        Ok(gone.chain(packed.ops()).collect())
    }

    /// Pages with new nodes, as they will be, in the order of their keys.
    fn pack_pages(&self, packed: &mut Packed) -> Result<(), ReadError> {
        let states: HashMap<u32, &FeedState> =
            self.feeds.values().map(|state| (state.number, state)).collect();
        let none = RangeSet::new();
        for (number, mut pages) in self.fresh.feeds() {
            let state = states.get(&number);
            pages.retain(|(name, _)| !state.is_some_and(|state| follows_from_blocks(state, *name)));
            let before = state.and_then(|state| self.published(&state.definition.feed));
            let before =
                before.filter(|_| !self.emptied.contains(&number)).map_or(0, |before| before.reach());
            let mut rows = Nodes::new(&self.blocks, None, number, &none);
            // Of what lies behind the longest tree there are no rows yet.
            let written = |name: u64| flat::leaf_span(name).start < before;
            let names: Vec<u64> = pages.iter().map(|(name, _)| *name).filter(|name| written(*name)).collect();
            rows.read_pages(&names)?;
            for (name, fresh) in pages {
                let row = if written(name) { rows.page(name)? } else { None };
                let mut page = row.cloned().unwrap_or_default();
                page.add(fresh);
                page.thin();
                if row != Some(&page) {
                    packed.put(&rows::page_key(number, name), |out| page.encode_into(out));
                }
            }
        }
        Ok(())
    }
}

/// True for low nodes that can be computed again from the blocks below: all there are of these are held.
fn follows_from_blocks(state: &FeedState, page: u64) -> bool {
    let span = flat::leaf_span(page);
    flat::height(page) == KEPT_HEIGHT && state.held.covers(&(span.start..span.end.min(state.reach())))
}
