//! Whether this replica may go on writing its feeds. A folder that was copied, or restored from a backup, may have been
//! written on elsewhere; who appends to the same feed in two places forks it. So such a folder asks its peers first.
//!
//! | what the known peers say | what is done |
//! |---|---|
//! | one knows more of an own feed | its tail is fetched; a new feed that names the old one goes on |
//! | at least one answers, none knows more | the same feeds go on |
//! | none answers | new feeds go on, for they cannot be asked |
//! | there are none | the same feeds go on, with a warning |

use crate::ask::{MAP, Neighbours};
use crate::database::{self, Parts};
use crate::error::{ReadError, WriteError};
use crate::replica;
use kappadb_core::limits::MAX_FEED_BLOCKS;
use kappadb_core::{FeedKey, RangeSet};
use kappadb_query::Selector;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long the peers have to answer, all together.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of asking.
enum Answer {
    NobodyKnown,
    NobodyAnswered,
    /// How long each own feed is that a peer knows more of.
    Longer(BTreeMap<FeedKey, u64>),
}

/// To be called after opening a folder that is not where it was. Returns what people should know.
pub(crate) async fn settle(parts: &Arc<Parts>) -> Result<Option<String>, WriteError> {
    let own = database::run(parts, |parts| parts.own_lengths()).await?;
    if own.is_empty() {
        database::run(parts, |parts| replica::settle(&parts.dir)).await?.map_err(WriteError::Place)?;
        return Ok(None);
    }
    let asked = tokio::time::timeout(PATIENCE, ask(parts, own)).await;
    let answer = asked.unwrap_or(Ok(Answer::NobodyAnswered))?;
    database::run(parts, move |parts| parts.act(&answer)).await?
}

async fn ask(parts: &Arc<Parts>, own: BTreeMap<FeedKey, u64>) -> Result<Answer, ReadError> {
    if parts.peers.is_empty() {
        return Ok(Answer::NobodyKnown);
    }
    let mut neighbours = Neighbours::dial(parts).await;
    // An answer to nothing in particular says how long each feed is that the peer knows.
    let nothing = Selector::Keys(Vec::new());
    let statements = neighbours.question(MAP, &nothing).await?.statements;
    if statements.is_empty() {
        return Ok(Answer::NobodyAnswered);
    }
    let mut longer = BTreeMap::new();
    for coverage in statements.values().flatten() {
        let feed = coverage.definition.feed;
        if own.get(&feed).is_some_and(|length| coverage.length > *length) {
            let known: &mut u64 = longer.entry(feed).or_default();
            *known = coverage.length.max(*known);
        }
    }
    fetch_tails(&mut neighbours, &longer, &own).await?;
    neighbours.finish().await?;
    Ok(Answer::Longer(longer))
}

/// Gets back what was lost: proved, so that from then on everyone here knows that the feed is not to be gone on with.
async fn fetch_tails(
    neighbours: &mut Neighbours,
    longer: &BTreeMap<FeedKey, u64>,
    own: &BTreeMap<FeedKey, u64>,
) -> Result<(), ReadError> {
    for (feed, length) in longer {
        let from = own.get(feed).copied().unwrap_or_default();
        let tail: RangeSet = std::iter::once(from..(*length).min(MAX_FEED_BLOCKS)).collect();
        neighbours.fetch_all(*feed, tail, &mut |_, _| ()).await?;
    }
    Ok(())
}

impl Parts {
    /// The feeds that this replica would append to, and their lengths.
    fn own_lengths(&self) -> BTreeMap<FeedKey, u64> {
        let own = self.feeds.list().into_iter().filter(|info| info.writable);
        own.map(|info| (info.feed, info.length)).collect()
    }

    fn act(&self, answer: &Answer) -> Result<Option<String>, WriteError> {
        let _guard = self.writing();
        let said = match answer {
            Answer::NobodyKnown => Some(
                "this folder was copied or restored, and there is nobody to ask whether it was written on elsewhere; if \
                 it was, begin a new feed with `kappa feed new` before writing, or the old one forks"
                    .to_owned(),
            ),
            Answer::NobodyAnswered => {
                self.succeed_feeds(|_| true)?;
                Some(
                    "this folder was copied or restored and no peer could say whether it was written on elsewhere; \
                     what is written here goes on in a new feed"
                        .to_owned(),
                )
            }
            Answer::Longer(longer) => {
                self.succeed_feeds(|feed| longer.contains_key(feed))?;
                (!longer.is_empty()).then(|| {
                    "this folder was restored from an older copy: peers know more of what was written here; it goes on \
                     in a new feed"
                        .to_owned()
                })
            }
        };
        replica::settle(&self.dir).map_err(WriteError::Place)?;
        Ok(said)
    }
}
