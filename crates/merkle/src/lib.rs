//! Flat-tree arithmetic and one proof for many blocks.
