//! What chat is made of, pure: names, contents, keys and places, order time, moderation.

mod content;
mod key;
mod moderation;
mod private;

pub use content::{
    Channel, Content, Post, Prepared, SayError, code, decode, deleted, mentions, order_time, prepare,
};
pub use key::{FLAGS, MEMBERS, StateKey, flags_in, members_of, profile_of};
pub use moderation::{Flag, FlagsEntry, Moderation, Trust, Verdict};
pub use private::{Pair, PrivateError};
