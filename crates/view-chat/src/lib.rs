//! The chat view: messages of channels in reading order, their words, and what is said of channels and writers.
//!
//! What is said of channels and writers is kept by key ([`kappadb_view::keyed`]). Messages are many and small, so they are packed: a
//! batch becomes a sorted run of pages, and runs are merged in the background; so are the lists of words. Texts stay in the
//! log: an answer names the entries that have them. `design/views.md` has the rows and why.
//!
//! | file | what |
//! |---|---|
//! | `view` | [`ChatView`]: name, version |
//! | `index` | [`ChatIndex`]: takes changes in |
//! | `page` | messages of a channel, from either end |
//! | `came` | messages of a channel as they came here |
//! | `people` | who posted where, and what |
//! | `state` | what is said of channels and writers, and what was taken back |
//! | `ask`, `answer` | what peers may ask, and what they are sent |
//! | `search`, `words` | words of messages |
//! | `upkeep` | work in the background |
//! | `erased` | what was deleted or taken back |
//! | `audit` | looking for contradictions |
//! | `rows` | keys of the rows |

mod answer;
mod ask;
mod audit;
mod came;
mod erased;
mod index;
mod page;
mod people;
mod rows;
mod search;
mod state;
mod upkeep;
mod view;
mod words;

pub use ask::{Ask, Lately};
pub use came::Came;
pub use erased::Due;
pub use index::{ChatIndex, channel_of};
pub use page::PageQuery;
pub use people::Row;
pub use rows::Place;
pub use search::Search;
pub use view::ChatView;
pub use words::Terms;
