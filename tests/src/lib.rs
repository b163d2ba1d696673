//! Whole replicas under random histories, and the plain model that they are compared with.

pub mod chat;
pub mod house;
pub mod keys;
pub mod kv;
pub mod liar;
pub mod machine;
pub mod model;
pub mod replica;
pub mod swarm;
pub mod world;
