//! Pages read lately. Two generations: what is used moves to the young one, and when that is full the old one goes.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// Values read lately, by their keys.
pub struct Cache<K, V> {
    limit: usize,
    values: Mutex<Generations<K, V>>,
}

struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl<K: Copy + Eq + Hash, V: Clone> Cache<K, V> {
    /// Holds at most this many.
    pub fn new(values: usize) -> Self {
        let generations = Generations { young: HashMap::new(), old: HashMap::new() };
        Cache { limit: values.div_ceil(2), values: Mutex::new(generations) }
    }

    /// The value of a key, read if it is not here.
    pub fn get<E>(&self, key: K, read: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        if let Some(value) = self.find(&key) {
            return Ok(value);
        }
        let value = read()?;
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.insert(self.limit, key, value.clone());
        Ok(value)
    }

    /// The value of a key, if it is here.
    pub fn find(&self, key: &K) -> Option<V> {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = values.young.get(key) {
            return Some(value.clone());
        }
        let value = values.old.remove(key)?;
        values.insert(self.limit, *key, value.clone());
        Some(value)
    }
}

impl<K: Eq + Hash, V> Generations<K, V> {
    fn insert(&mut self, limit: usize, key: K, value: V) {
        if self.young.len() >= limit {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}
