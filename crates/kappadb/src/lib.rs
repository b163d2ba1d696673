//! A multi-writer, kappa-style database with materialized views and sparse queries.
