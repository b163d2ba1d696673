//! What chat is made of, pure: names, contents, keys and places, order time, moderation.

mod content;
mod key;
mod moderation;
mod name;
mod private;
mod seen;

pub use content::{
    Content, Extras, Post, Prepared, code, decode, deleted, edited, order_time, prepare, prepare_with,
};
pub use key::{ARCHIVES, FLAGS, MEMBERS, PROFILES, StateKey, TOPICS, flags_in, members_of, profile_of};
pub use moderation::{Flag, FlagsEntry, Moderation, NoFlag, Ruling, Trust};
pub use name::{Channel, SayError, fold, may_mention, mentions};
pub use private::{Lane, Pair, PrivateError, PrivateText, is_private, recipient};
pub use seen::{alike, check_nick, likeness, visible, visible_json, visible_name};
