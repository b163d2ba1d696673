//! What chat is made of, pure: names, contents, keys and places, order time, moderation.

mod content;
mod key;
mod moderation;
mod name;
mod private;
mod seen;

pub use content::{Content, Post, Prepared, code, decode, deleted, order_time, prepare};
pub use key::{ARCHIVES, FLAGS, MEMBERS, PROFILES, StateKey, TOPICS, flags_in, members_of, profile_of};
pub use moderation::{Flag, FlagsEntry, Moderation, NoFlag, Ruling, Trust};
pub use name::{Channel, SayError, fold, mentions};
pub use private::{Lane, Pair, PrivateError, recipient};
pub use seen::{alike, check_nick, likeness, visible, visible_json, visible_name};
