//! Every limit of the formats and of the protocol, in one place. Each is enforced where the value enters, and going
//! over one is an error that names it.

/// Bytes in a block (header and payload).
pub const MAX_BLOCK: usize = 1 << 20;
/// Bytes in a block's header.
pub const MAX_HEADER: usize = 256 << 10;
/// Bytes in a key.
pub const MAX_KEY: usize = 1 << 10;
/// Feeds in an entry's context. At this many a header has 54 to 90 kB.
pub const MAX_CONTEXT_FEEDS: usize = 4096;
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

/// Bytes of a payload that lies in blocks of its own.
pub const MAX_DETACHED: u64 = 1 << 40;
/// Bytes in a chunk of such a payload, the last one excepted, at least.
pub const MIN_CHUNK: u32 = 1 << 10;
/// Bytes in a chunk of such a payload, at most.
pub const MAX_CHUNK: u32 = 512 << 10;
/// Runs of blocks that the chunks of one payload lie in.
pub const MAX_CHUNK_RUNS: usize = 32_768;
/// Bytes in the media type of a blob, and in its name.
pub const MAX_LABEL: usize = 255;

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
/// Peers that one frame introduces.
pub const MAX_INTRODUCED: usize = 32;
/// Pieces of fork evidence that one side sends the other in a session.
pub const MAX_FORKS_TOLD: usize = 1024;
/// Feeds that an asker may want left out of an answer. Of a replica that dropped more, no answer is complete but of what it holds whole.
pub const MAX_WITHOUT: usize = 1024;
/// Peers that a statement names on whose word it rests.
pub const MAX_WORDS: usize = 8;
/// Forks that an asker tells of before it knows whether they matter to the answer.
pub const FORKS_TOLD_FIRST: usize = 64;
/// Feeds of which a query asks by name how they stand.
pub const MAX_NAMED_FEEDS: usize = 4096;
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
/// Milliseconds for which an asker waits for something useful of a peer before it goes on without it.
pub const PATIENCE_MS: u64 = 2_000;
/// Useful bytes a millisecond that a peer must send to be waited for longer.
pub const LEAST_RATE: u64 = 32;
/// Milliseconds that a peer has to take what is sent to it, and to end a query that was cancelled.
pub const ANSWER_MS: u64 = 30_000;
/// Bytes of results that a peer may send to one question to a view. Who wants more asks again and goes on from there.
pub const QUESTION_BYTES: u64 = 1 << 30;
/// Milliseconds of silence after which a peer with which a session is kept is asked whether it is there.
pub const ALIVE_MS: u64 = 60_000;
/// Milliseconds of silence after which a session ends that is not waited for.
pub const IDLE_MS: u64 = 120_000;
/// Sessions that one replica serves at the same time.
pub const MAX_SESSIONS: usize = 256;
/// Of these, those of one peer.
pub const MAX_SESSIONS_OF_PEER: usize = 32;
/// Of these, those of one address (of IPv6, one network of 64 bits).
pub const MAX_SESSIONS_OF_ADDRESS: usize = 128;
/// Of these, those of all peers that were not met before.
pub const MAX_NEWCOMERS: usize = 128;
/// Handshakes under way at the same time; the oldest makes room.
pub const MAX_HANDSHAKES: usize = 512;
/// Of these, those of one address.
pub const MAX_HANDSHAKES_OF_ADDRESS: usize = 128;
/// Peers that called of which counts are kept.
pub const MAX_CALLERS: usize = 1024;
/// Ranges in the records of all sessions that one replica serves; beyond them a session that has more than its share ends.
pub const ALL_SESSION_RANGES: usize = 4 << 20;

/// Bytes in the id of a map feature.
pub const MAX_FEATURE_ID: usize = 255;
/// Bytes in the body of a map feature. One larger than a block is detached, and is read whole.
pub const MAX_FEATURE_BODY: usize = 64 << 20;
/// Tags, members, nodes of a way, polygons or geometries in one map feature, of each. Positions are limited by their bytes
/// alone.
pub const MAX_FEATURE_ITEMS: usize = 1 << 20;
/// Heads of a feed not linked to its newest one that are kept.
pub const MAX_UNLINKED_HEADS: usize = 64;
/// Addresses in a ticket.
pub const MAX_ADDRESSES: usize = 16;
/// Admins that a ticket names, and mods.
pub const MAX_TRUSTED: usize = 16;
/// Bytes in one address of a ticket.
pub const MAX_ADDRESS: usize = 255;

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
/// Bytes received that wait to be stored before `Session::wants_read` says no.
pub const RECEIVE_QUEUE: usize = 4 << 20;
/// Events that wait for the driver before `Session::wants_read` says no.
pub const EVENT_QUEUE: usize = 1024;
/// Ranges in all records of what is known in one direction of a session; a longer session starts anew.
pub const SESSION_RANGES: usize = 1 << 20;
/// Bytes of declarations in one query; what does not fit is not declared, which costs bytes and nothing else.
pub const HAVE_BYTES: usize = 512 << 10;
