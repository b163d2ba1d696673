//! What chat is made of, pure: names, contents, keys and places, order time, moderation.

mod content;
mod moderation;
mod private;

pub use content::{
    Channel, Content, Post, Prepared, SayError, code, decode, membership, mentions, order_time, prepare,
    words,
};
pub use moderation::{Flag, FlagsEntry, Moderation, Trust, Verdict};
pub use private::{Pair, PrivateError};
