//! Limits that only a session knows. Those that others share are in [`kappadb_core::limits`].

/// Bytes in a text that one side tells the other.
pub const MAX_TEXT: usize = 1024;
/// Bytes in a resume token.
pub const MAX_TOKEN: usize = 256;
/// Bytes of a hello that this version does not look at.
pub const MAX_HELLO_EXTRA: usize = 1024;
/// Bytes in a hello.
pub const MAX_HELLO: usize = MAX_HELLO_EXTRA + 64;
/// Changes in one part of a statement.
pub const STATEMENT_PART: usize = 8192;
/// Ranges in one frame of an answer that is not inline.
pub const RANGES_PART: usize = 4096;
/// Feed definitions that a query sends before the next query has its turn.
pub const DEFINITIONS_PART: usize = 256;
/// Queries of one peer that are looked up at the same time; the others wait.
pub const ANSWERS_AT_ONCE: usize = 4;
/// Bytes of answers that wait to be sent before no more are made.
pub const SEND_QUEUE: usize = 256 << 10;
/// Frames of any kind that wait to be sent; more means that the peer does not read.
pub const MAX_QUEUED_FRAMES: usize = 4096;
/// Bytes received that wait to be stored before [`crate::Session::wants_read`] says no.
pub const RECEIVE_QUEUE: usize = 4 << 20;
/// Events that wait for the driver before [`crate::Session::wants_read`] says no.
pub const EVENT_QUEUE: usize = 1024;
/// Ranges in all records of what is known in one direction of a session; a longer session starts anew.
pub const SESSION_RANGES: usize = 1 << 20;
/// Bytes of declarations in one query; what does not fit is not declared, which costs bytes and nothing else.
pub const HAVE_BYTES: usize = 512 << 10;
