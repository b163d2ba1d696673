//! Flat-tree arithmetic and one proof for many blocks.
//!
//! A feed's blocks are the leaves of a Merkle tree; its head signs the hash over the tree's roots. This crate numbers the
//! nodes ([`flat`]), hashes them ([`leaf`], [`parent`], [`root_hash`]), grows the tree ([`Peaks`]), makes and checks
//! proofs ([`needed`], [`prove`], [`verify`]), and says when a writer contradicted itself ([`ForkEvidence`]).
//! The bytes are in `design/formats.md`, why a proof holds in `design/proofs.md`.

pub mod flat;
mod fork;
mod known;
mod node;
mod peaks;
mod plan;
mod proof;

pub use fork::{Branch, ForkError, ForkEvidence};
pub use known::Known;
pub use node::{Node, TreeError, byte_length, digests, leaf, leaves, parent, parents, root_hash};
pub use peaks::Peaks;
pub use proof::{ProofError, Verified, needed, prove, verify};
