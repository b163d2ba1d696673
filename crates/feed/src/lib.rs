//! Feeds over journal and Merkle trees.
