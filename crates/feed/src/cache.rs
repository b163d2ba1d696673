//! Records read lately, so that reading block after block reads and checks each record once.

use kappadb_journal::{Located, Position, Record};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Bytes of blocks kept, about.
const CAPACITY: usize = 8 << 20;

/// First in, first out: what is read in order is kept as long as it is in use.
#[derive(Default)]
pub(crate) struct Cache {
    records: HashMap<Position, Arc<Located>>,
    order: VecDeque<(Position, usize)>,
    bytes: usize,
}

impl Cache {
    pub fn get(&self, at: Position) -> Option<Arc<Located>> {
        self.records.get(&at).cloned()
    }

    pub fn insert(&mut self, located: &Arc<Located>) {
        if self.records.insert(located.at, located.clone()).is_some() {
            return;
        }
        let weight = weight(&located.record);
        self.order.push_back((located.at, weight));
        self.bytes += weight;
        while self.bytes > CAPACITY {
            let Some((oldest, weight)) = self.order.pop_front() else { break };
            self.records.remove(&oldest);
            self.bytes -= weight;
        }
    }

    pub fn clear(&mut self) {
        *self = Cache::default();
    }
}

fn weight(record: &Record) -> usize {
    let blocks = match record {
        Record::Blocks { blocks, .. } | Record::Fetched { blocks, .. } | Record::Filled { blocks, .. } => {
            blocks.as_slice()
        }
        _ => &[],
    };
    blocks.iter().map(|block| block.bytes.len() + 64).sum::<usize>() + 256
}
