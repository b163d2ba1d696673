//! Whose word counts, and what it says. All of it is worked out when something is read: changing whom one trusts changes what is
//! shown, and nothing else.

use super::ask;
use super::{Chat, ChatError};
use crate::error::ReadError;
use crate::folder::trust::Trusted;
use crate::network::Answer;
use crate::network::Read;
use crate::views::chat::ChatParts;
use crate::write::Write;
use kappadb_chat::{Channel, Content, Extras, FLAGS, FlagsEntry, Moderation, Trust};
use kappadb_core::{EntryId, FeedKey};
use kappadb_view_chat::Ask;
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
    fn apply(self, now: &mut BTreeSet<ChatFlag>) {
        match self {
            FlagChange::Set(flags) => *now = flags.into_iter().collect(),
            FlagChange::Add(flags) => now.extend(flags),
            FlagChange::Remove(flags) => now.retain(|flag| !flags.contains(flag)),
        }
    }
}

/// Flags that somebody has set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagsSet {
    /// On whom.
    pub target: FeedKey,
    /// Who set them.
    pub by: FeedKey,
    /// Where; none is everywhere.
    pub channel: Option<String>,
    /// Which; not empty.
    pub flags: Vec<ChatFlag>,
    /// Why; may be empty.
    pub reason: String,
    /// True if they count for this replica: it trusts who set them.
    pub counts: bool,
}

impl Chat {
    /// Whose moderation is applied here, besides this replica's own.
    pub fn trusted(&self) -> Trusted {
        self.parts.state.trust.get()
    }

    /// Says whose moderation is to be applied here. What is shown changes at once; nothing is indexed or fetched anew. Tickets
    /// made from now on pass it on. Durable when it returns.
    pub async fn set_trusted(&self, trusted: Trusted) -> Result<(), ChatError> {
        self.run(move |parts| parts.state.trust.set(trusted).map_err(ChatError::State)).await?
    }

    /// Changes the flags that this writer has set on another, in a channel or everywhere. They count for whoever trusts this
    /// writer.
    pub fn flag(
        &self,
        channel: Option<&str>,
        target: FeedKey,
        change: FlagChange,
        reason: &str,
    ) -> Write<EntryId, ChatError> {
        let (channel, reason) = (channel.map(str::to_owned), reason.to_owned());
        Write::apart(&self.parts, move |parts, batch| {
            let scope = channel.as_deref().map(Channel::new).transpose()?;
            let me = parts.writer()?;
            parts.chat.ready()?;
            let folded = scope.as_ref().map(|scope| scope.folded.clone());
            let mine = |set: &FlagsEntry| set.by == me && set.target == target && set.scope == folded;
            let now = parts.chat_flags()?.into_iter().find(mine);
            let mut flags = now.into_iter().flat_map(|set| set.flags).collect();
            change.apply(&mut flags);
            let content = Content::Flags { scope, target, flags: flags.into_iter().collect(), reason };
            parts.chat_write(batch, &content, &Extras::default(), None)
        })
    }

    /// All flags that are set, as far as is known here.
    pub fn flags(&self) -> Read<Answer<FlagsSet>, ChatError> {
        self.question(ask::one(Ask::Flags.selector()), |parts| {
            let moderation = parts.moderation()?;
            let set = |FlagsEntry { by, target, scope, flags, reason }| {
                let counts = moderation.counts(&by, scope.as_deref());
                FlagsSet { target, by, channel: scope, flags, reason, counts }
            };
            let all = parts.chat_flags()?.into_iter().filter(|entry| !entry.flags.is_empty());
            Ok(Answer::of(all.map(set)))
        })
    }
}

impl ChatParts {
    fn chat_flags(&self) -> Result<Vec<FlagsEntry>, ReadError> {
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
        let trusted = self.state.trust.get();
        let [admins, mods, distrusted] =
            [trusted.admins, trusted.mods, trusted.distrusted].map(|feeds| self.feeds.with_heirs(feeds));
        let flags = self.chat_flags()?.into_iter().flat_map(|set| {
            let targets = self.feeds.with_heirs([set.target]);
            targets.into_iter().map(move |target| FlagsEntry { target, ..set.clone() })
        });
        Ok(Moderation::new(Trust { me: self.me(), admins, mods, distrusted }, flags.collect()))
    }
}
