//! Every limit of the formats and of the protocol, in one place. Each is enforced where the value enters, and going
//! over one is an error that names it.

/// Bytes in a block (header and payload).
pub const MAX_BLOCK: usize = 1 << 20;
/// Bytes in a block's header.
pub const MAX_HEADER: usize = 16 << 10;
/// Bytes in a key.
pub const MAX_KEY: usize = 1 << 10;
/// Feeds in an entry's context.
pub const MAX_CONTEXT_FEEDS: usize = 128;
/// Explicit entry ids in an entry's context.
pub const MAX_CONTEXT_IDS: usize = 128;
/// Boxes (or channel windows) that cover an entry's past, merged outward when there are more.
pub const MAX_PAST_PLACES: usize = 8;
/// Boxes (or channel windows) where an entry is.
pub const MAX_PLACES: usize = 2;
/// Bytes in a channel name within a place.
pub const MAX_CHANNEL: usize = 256;
/// Extensions in a header.
pub const MAX_EXTENSIONS: usize = 16;

/// Leaf data bytes under one head.
pub const MAX_TREE_BYTES: u64 = 1 << 40;
/// Blocks in a feed.
pub const MAX_FEED_BLOCKS: u64 = 1 << 40;

/// Bytes in a frame after its length word: one block and its proof always fit.
pub const MAX_FRAME: usize = MAX_BLOCK + (128 << 10);
/// Bytes of blocks and proof that a sender puts in one frame before it starts the next.
pub const TARGET_FRAME: usize = 64 << 10;
/// Queries that a peer may have open in one session.
pub const MAX_OPEN_QUERIES: usize = 64;
/// Feeds that one session may speak of.
pub const MAX_SESSION_FEEDS: usize = 65_536;
/// Ranges in one range set on the wire.
pub const MAX_RANGES: usize = 65_536;
/// Bytes in a selector.
pub const MAX_SELECTOR: usize = 64 << 10;
/// Keys in a selector.
pub const MAX_SELECTOR_KEYS: usize = 1024;
/// Boxes in a selector.
pub const MAX_SELECTOR_BOXES: usize = 16;
/// Bytes in a view's name.
pub const MAX_VIEW_NAME: usize = 64;
/// Credit (bytes of results in flight) that an asker gives to a query at first.
pub const QUERY_CREDIT: u64 = 4 << 20;
/// Most credit that a query may have outstanding; more is a protocol error.
pub const MAX_CREDIT: u64 = 64 << 20;
/// Rows that one query may touch in a view.
pub const MAX_ROWS_SCANNED: u64 = 50_000_000;
/// Milliseconds for a TCP connect.
pub const CONNECT_MS: u64 = 4_000;
/// Milliseconds from connect to the end of the handshake.
pub const HANDSHAKE_MS: u64 = 5_000;
/// Milliseconds that an asker waits for the next sign of life of an open query.
pub const ANSWER_MS: u64 = 30_000;
/// Milliseconds after which a session without an open query is closed by the answering side.
pub const IDLE_MS: u64 = 120_000;
/// Sessions that one replica serves at the same time.
pub const MAX_SESSIONS: usize = 256;
