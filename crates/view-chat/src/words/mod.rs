//! Words of messages: which messages have which.
//!
//! Indexing writes texts down as they come. In the background their words are put into segments, with the lists of each word packed, and
//! segments are merged. A question looks at both, and finds the same whatever is where. Whether a message counts is not known
//! here: whoever finds it looks.

mod build;
mod find;
mod lexicon;
mod merge;
mod segment;
mod texts;
mod tokens;

pub use build::Build;
pub use lexicon::Lexicon;
pub use merge::MergeWords;
pub use texts::push as push_text;
pub use tokens::Terms;
