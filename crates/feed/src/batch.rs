//! What an index has gathered, as one batch for the store. All keys and values share one piece of memory: an append of a thousand
//! blocks makes hundreds of small rows.

use crate::index::Index;
use crate::nodes::KEPT_HEIGHT;
use crate::rows::{self, Cursor};
use crate::state::FeedState;
use bincode::Encode;
use bytes::Bytes;
use kappadb_core::codec;
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
    pub(crate) fn batch(&self, cursor: &Cursor) -> Batch {
        let mut packed = Packed::default();
        self.rows.iter().for_each(|(key, value)| packed.put(key, |out| out.extend_from_slice(value)));
        self.pack_nodes(&mut packed);
        for state in self.feeds.values() {
            packed.encode(&rows::feed_key(state.number), &state.to_row());
        }
        packed.put(&rows::cursor_key(), |out| out.extend_from_slice(&rows::cursor_row(cursor)));
        let gone = self.gone.iter().map(|key| Op::Delete(Bytes::copy_from_slice(key)));
        gone.chain(packed.ops()).collect()
    }

    /// Nodes in the order of their keys, but for those that can be computed again from the blocks below.
    fn pack_nodes(&self, packed: &mut Packed) {
        let numbers: HashMap<u32, &FeedState> =
            self.feeds.values().map(|state| (state.number, state)).collect();
        let kept = |((number, index), _): &(&(u32, u64), _)| {
            let covered = |state: &&FeedState| state.held.covers(&flat::leaf_span(*index));
            flat::height(*index) >= KEPT_HEIGHT || !numbers.get(number).is_some_and(covered)
        };
        let mut nodes: Vec<_> = self.fresh.iter().filter(kept).collect();
        nodes.sort_unstable_by_key(|(key, _)| **key);
        for ((number, index), node) in nodes {
            packed.encode(&rows::node_key(*number, *index), node);
        }
    }
}
