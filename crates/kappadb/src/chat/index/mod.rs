//! The chat view: messages of channels by order time, and what is said of channels and writers.

mod ask;
mod chat;
mod rows;

pub use ask::Ask;
pub use chat::{ChatIndex, ChatView, PageQuery, Row};
