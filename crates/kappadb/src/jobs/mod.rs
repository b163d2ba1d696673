//! Work on a database as a whole, over all of its views: what people do to keep it.

pub(crate) mod clocks;
pub(crate) mod find;
pub(crate) mod log;
pub(crate) mod recover;
pub(crate) mod status;
