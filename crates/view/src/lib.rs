//! Views: deterministic functions of the entries held.
