//! A multi-writer, kappa-style database with materialized views and sparse queries.
//!
//! Every writer appends to a signed feed of its own. Views are computed from all the feeds held and answer questions;
//! they can be thrown away and rebuilt. A replica need not hold the feeds: it asks its neighbours which feed ranges
//! answer a question, fetches just those, each block proved against its writer's signature, and then answers as a full
//! copy would.
//!
//! ```
//! # #[cfg(feature = "map")]
//! use kappadb::{Database, Extent, Source, geojson};
//!
//! # #[cfg(not(feature = "map"))] fn main() {}
//! # #[cfg(feature = "map")]
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?;
//!
//! // Make a database and write a feature. It is indexed at once.
//! let full = Database::builder(dir.path().join("full")).create().await?;
//! let cafe = r#"{"type": "Feature", "id": "cafe", "properties": {"amenity": "cafe"},
//!                "geometry": {"type": "Point", "coordinates": [24.947, 60.172]}}"#;
//! full.map().put(geojson::from_text(cafe)?).await?;
//!
//! // Serve it. The ticket is one string that lets another replica join.
//! let server = full.serve(([127, 0, 0, 1], 0).into()).await?;
//! let ticket = server.ticket();
//!
//! // Join, ask for a box, and answer from what came: only what lies in the box was fetched.
//! let sparse = Database::builder(dir.path().join("sparse")).join(&ticket).await?;
//! let helsinki: Extent = "24.9,60.1,25.0,60.2".parse()?;
//! let answer = sparse.map().query(&helsinki, None).from(Source::Peers).await?;
//! assert!(answer.is_complete() && answer.asked.blocks_fetched == 1);
//! assert_eq!(answer.items[0].id, "cafe");
//!
//! // From now on it is answered here, with or without a network.
//! let here = sparse.map().query(&helsinki, None).await?;
//! assert!(here.items.len() == 1 && here.as_of().is_some());
//!
//! sparse.close().await?;
//! server.stop().await;
//! full.close().await?;
//! # Ok(()) }
//! ```
//!
//! - [`Database`] and [`Builder`]: make, open, join, serve, check, close
//! - [`Read`], [`Answer`]: questions, where they are answered from, and how complete the answer is
//! - [`Kv`]: the key-value view: keys and values, conflicts, ranges, watchers
//! - [`Map`]: the map view: features by id and by box
//! - [`Chat`]: messages in channels, private ones, moderation
//! - [`Blobs`]: bytes of any number, streamed and fetched by range
//! - [`view`]: write a view of your own
//! - [`glossary`]: what the words mean
//!
//! What a program does not need, it can be built without. All features are on by default; keys, blobs and views of your own are always there.
//!
//! | feature | what it brings |
//! |---|---|
//! | `map` | the map view: [`Map`], features, filters, GeoJSON, exports |
//! | `import` | files into the map: `.osm.pbf`, `.osm`, `.osc`, GeoJSON; brings `map` |
//! | `svg` | maps drawn as SVG: [`svg`]; brings `map` |
//! | `chat` | the chat view: [`Chat`], moderation, private messages |
//!
//! A folder belongs to no feature: a program without a view keeps its entries and passes them on, and one that has it finds them all.

// The storeys, the lowest first. A room may use what is beside it and what lies lower; `tests/storeys.rs` sees to that.
// The state of each dereferences to that of the one below: `Engine`, `Network`, `Handle`, and then what a handle of each view is made of.

// What lies below the views serves all of them, also those that are left out.

// What can go wrong; lines of JSON.
mod error;
pub mod lines;

// What lies on the disk in a folder.
mod folder;

// What is held, the turn at writing, threads, the time.
#[cfg_attr(
    not(all(feature = "chat", feature = "import")),
    expect(dead_code, reason = "turns of imports, order of chat")
)]
mod engine;

// Others: asking them, answering them, what an answer rests on.
#[cfg_attr(
    not(all(feature = "chat", feature = "map")),
    expect(dead_code, reason = "questions of the map and of chat")
)]
mod network;

// Writing entries, in the place of what is known of their keys.
#[cfg_attr(not(feature = "map"), expect(dead_code, reason = "changes of features, one after the other"))]
mod write;

// The views of this library, a handle each.
mod views;

// Work on a database as a whole.
mod jobs;

// Taking part: peers as people see them, what is followed, what has reached whom.
mod node;

// Opening and serving; what people see of all that.
mod cause;
mod database;
pub mod glossary;
pub mod host;
pub mod view;

pub use cause::Cause;
pub use database::{Builder, Database, EntryPage, Server, usual_patience};
pub use engine::Progress;
pub use engine::durability::Durability;
pub use engine::uploads::Abandoned;
pub use error::{
    AskError, BlobError, CreateError, FollowError, LogError, NotHeld, OpenError, PeerError, PutBlobError,
    ReadError, RecoverError, ServeError, WriteError, WriterError, is_not_held,
};
pub use folder::callers::Caller;
pub use folder::listen::Listen;
pub use folder::peers::Peer;
pub use folder::trust::Trusted;
pub use folder::writers::WriterInfo;
pub use jobs::clocks::ClockDoubt;
pub use jobs::find::FindError;
pub use jobs::recover::{LostEntries, LostEntry, NotRecovered, Recovered, Says, Standing};
pub use jobs::status::{Disk, FeedStatus, Status, ViewStatus};
pub use kappadb_core::{
    Clock, Coord, DatabaseId, EntryId, Extent, FeedKey, GeoBox, GeoError, Lseq, RangeSet, Seq, Timestamp,
};
#[cfg(feature = "svg")]
pub use kappadb_draw as svg;
pub use kappadb_entry::{ChunkError, Label};
pub use kappadb_feed::{Cleared, Compacted, LockHolder};
pub use kappadb_net::{Ticket, TicketError};
pub use kappadb_sync::{Word, Words};
pub use kappadb_view_kv::{KeyError, KeyRange, ScanOptions, check_key};
pub use network::Read;
pub use network::{Answer, Asked, Completeness, Failure, GoesOn, Holdings, Source};
pub use node::{
    Delivery, Following, Interest, InterestError, Kept, PeerConnection, PeerEvent, PeerEvents, PeerState,
    Peers,
};
pub use views::BuiltIn;
pub use views::blobs::{BlobInfo, BlobReader, Blobs};
#[cfg(feature = "chat")]
pub use views::chat::{
    BadLine, ChannelInfo, Chat, ChatAsker, ChatChange, ChatCursor, ChatCursorError, ChatEdition, ChatError,
    ChatExport, ChatFlag, ChatImportReport, ChatLeftOut, ChatLine, ChatMessages, ChatPage, ChatWatcher,
    Conversation, Edited, FlagChange, FlagsSet, Hidden, KnownAs, MAX_AHEAD, Marks, Member, Message, Pin,
    PostOptions, ReadOptions, Said, SayError, SearchOptions, Topic, Unread, WatchOptions, visible,
    visible_json, visible_name,
};
pub use views::kv::{
    BlockingKv, BlockingKvItems, Content, Head, Kv, KvChange, KvError, KvItem, KvItems, KvOp, KvRevision,
    KvSnapshot, KvState, KvWatcher, MAX_VALUE, Value,
};
#[cfg(feature = "import")]
pub use views::map::import::{
    Ids, ImportError, ImportFile, ImportOptions, ImportReport, Location, Skip, TouchedByImport,
};
#[cfg(feature = "map")]
pub use views::map::{
    AttachError, Attachment, Body, CarriedNode, Cursor, CursorError, Edition, Expanded, ExportError, Feature,
    FeatureError, FeatureKind, Filter, FilterError, Found, Free, GeoJsonError, Geometry, GeometryError, Hit,
    IdError, Map, MapChange, MapQuery, MapWatcher, Order, OsmAnswer, Part, Revision, TagFilter, export,
    geojson,
};
pub use views::part::Conflicts;
pub use write::Write;

/// What elements of OpenStreetMap are made of: a [`Feature`] with a [`Body::Osm`] can be built of it.
#[cfg(feature = "map")]
pub mod osm {
    pub use kappadb_geo::{Edit, Element, ElementKind, Member, Meta, Shape, WayNode};
}
