//! A small ordered byte store with atomic batches.
