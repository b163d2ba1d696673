//! Whose word counts, and what it says. All of it is worked out when something is read: changing whom one trusts changes what is
//! shown, and nothing else.

use crate::error::ReadError;
use crate::views::chat::ChatParts;
use kappadb_chat::{Content, FLAGS, FlagsEntry, Moderation, Trust};
use kappadb_core::FeedKey;
use serde::{Serialize, Serializer};
use std::collections::BTreeSet;

pub use kappadb_chat::Flag as ChatFlag;

/// A change of the flags that this writer has set on another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlagChange {
    /// These and no others.
    Set(Vec<ChatFlag>),
    /// These, too.
    Add(Vec<ChatFlag>),
    /// These no more.
    Remove(Vec<ChatFlag>),
}

impl FlagChange {
    pub(super) fn apply(self, now: &mut BTreeSet<ChatFlag>) {
        match self {
            FlagChange::Set(flags) => *now = flags.into_iter().collect(),
            FlagChange::Add(flags) => now.extend(flags),
            FlagChange::Remove(flags) => now.retain(|flag| !flags.contains(flag)),
        }
    }
}

/// Flags that somebody has set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlagsSet {
    /// On whom.
    pub target: FeedKey,
    /// Who set them.
    pub by: FeedKey,
    /// Where; none is everywhere.
    pub channel: Option<String>,
    /// Which; not empty.
    #[serde(serialize_with = "flags")]
    pub flags: Vec<ChatFlag>,
    /// Why; may be empty.
    pub reason: String,
    /// True if they count for this replica: it trusts who set them.
    pub counts: bool,
}

/// A flag by its name.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
pub(super) fn flag<S: Serializer>(flag: &ChatFlag, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(flag.name())
}

fn flags<S: Serializer>(flags: &[ChatFlag], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(flags.iter().map(|flag| flag.name()))
}

impl ChatParts {
    pub(super) fn chat_flags(&self) -> Result<Vec<FlagsEntry>, ReadError> {
        let mut all = Vec::new();
        for (_, version) in self.chat.read(|index| index.winners(FLAGS, self.clock.now()))?? {
            let Some(post) = self.chat_post(version.id)? else { continue };
            if let Content::Flags { scope, target, flags, reason } = post.content {
                let scope = scope.map(|scope| scope.folded);
                all.push(FlagsEntry { by: version.id.feed, target, scope, flags, reason });
            }
        }
        Ok(all)
    }

    /// Of whom nothing is wanted.
    pub(crate) fn blocked(&self) -> Result<BTreeSet<FeedKey>, ReadError> {
        self.chat.ready()?;
        Ok(self.moderation()?.blocked())
    }

    /// What is to be thought of messages, as things stand.
    pub(super) fn moderation(&self) -> Result<Moderation, ReadError> {
        let trusted = self.trust.get();
        let [admins, mods, distrusted] =
            [trusted.admins, trusted.mods, trusted.distrusted].map(|feeds| self.feeds.with_heirs(feeds));
        let flags = self.chat_flags()?.into_iter().flat_map(|set| {
            let targets = self.feeds.with_heirs([set.target]);
            targets.into_iter().map(move |target| FlagsEntry { target, ..set.clone() })
        });
        Ok(Moderation::new(Trust { me: self.me(), admins, mods, distrusted }, flags.collect()))
    }
}
