//! The map: features by id, by box, by what refers to them, and through time.

mod asking;
mod attach;
mod change;
mod conflicts;
mod error;
pub mod export;
mod history;
#[cfg(feature = "import")]
pub(crate) mod import;
mod list;
mod load;
mod merge;
mod osm;
mod part;
mod query;
mod refs;
mod watch;

pub use attach::Attachment;
pub use change::CarriedNode;
pub use error::{AttachError, ExportError};
pub use history::Revision;
pub use kappadb_geo::{
    Body, Feature, FeatureError, FeatureKind, Filter, FilterError, Free, GeoJsonError, Geometry,
    GeometryError, IdError, Part, TagFilter, geojson,
};
pub use kappadb_view_geo::{Cursor, CursorError, Order};
pub use load::{Edition, Found};
pub use osm::OsmAnswer;
pub use query::MapQuery;
pub use refs::Expanded;
use refs::join_referrers;
pub use watch::{MapChange, MapWatcher};

use crate::engine;
use crate::engine::keyed::active;
use crate::error::{ReadError, WriteError};
use crate::network::ask::{self, MAP};
use crate::network::{Answer, Handle, Read};
use crate::views::Parts;
use crate::write::{self, Draft, Write};
use change::{check_unused, delete_by_hand, put_by_hand};
use kappadb_core::{EntryId, Extent};
use kappadb_entry::{Kind, rules, space};
use kappadb_geo::id::parse_osm;
use kappadb_geo::{CODE_DELETE, Prepared};
use kappadb_query::Selector;
use kappadb_view::ViewHandle;
use kappadb_view_geo::{MapView, Query};
use serde::Serialize;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Map features: nodes, ways, relations and free GeoJSON features, by id and by box.
///
/// A question is answered from what is held here, or once the peers were asked for what it needs ([`Read::from`]).
///
/// ```
/// use kappadb::{Database, Extent, geojson};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let database = Database::builder(dir.path()).create().await?;
/// let map = database.map();
/// let bench = r#"{"type": "Feature", "id": "bench", "properties": {"amenity": "bench"},
///                 "geometry": {"type": "Point", "coordinates": [24.94, 60.17]}}"#;
/// map.put(geojson::from_text(bench)?).await?;
///
/// let box_of_helsinki: Extent = "24.9,60.1,25.0,60.2".parse()?;
/// let hits = map.query(&box_of_helsinki, None).await?;
/// let found = map.load(&hits.items).await?;
/// assert!(hits.is_complete() && found.items.len() == 1);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Map {
    pub(crate) parts: Arc<MapParts>,
}

/// A feature that a box query found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// The feature's id.
    #[serde(rename = "feature")]
    pub id: String,
    /// Those of its current versions that touch the box; several are a conflict.
    pub heads: Vec<EntryId>,
    /// Its other current versions that are known here: moved away, or a delete, by somebody who had not seen those in
    /// the box. A conflict too. A sparse replica may lack some of them.
    pub elsewhere: Vec<EntryId>,
}

/// What a handle of the map is made of.
#[derive(Clone)]
pub(crate) struct MapParts {
    pub map: ViewHandle<MapView>,
    /// The last to go.
    pub handle: Handle,
}

impl fmt::Debug for MapParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MapParts").field(&self.handle).finish()
    }
}

impl Deref for MapParts {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Map {
    pub(crate) fn new(parts: &Parts) -> Self {
        let (map, handle) = (parts.built_ins.map.clone(), parts.handle.clone());
        Map { parts: Arc::new(MapParts { map, handle }) }
    }

    /// Creates a feature, or replaces every version of it that is held here; of an element of OpenStreetMap, what it means for others too: the ways of
    /// a node that moves, the relations above, the nodes that a way leaves behind (`design/map.md`). Durable when it returns. A replica that does not
    /// hold everything asks first ([`Map::touched_by_put`]).
    pub fn put(&self, feature: Feature) -> Write<EntryId, WriteError> {
        match parse_osm(&feature.id) {
            Some(_) => Write::apart(&self.parts, move |parts, _| put_by_hand(parts, feature)),
            None => Write::shared(&self.parts, move |parts, batch| {
                batch.replace(parts, &parts.map, draft(kappadb_geo::put(&feature)?))
            }),
        }
    }

    /// Deletes every version of a feature that is held here; not a node that a way has ([`WriteError::StillUsed`]). Durable when it returns. A replica that does not hold everything
    /// asks first ([`Map::touched_by_delete`]), or it finds nothing to delete.
    pub fn delete(&self, id: &str) -> Write<EntryId, WriteError> {
        let id = id.to_owned();
        Write::apart(&self.parts, move |parts, _| parts.delete_feature(&id))
    }

    /// As [`Map::put`], if the feature's heads are just these, in any order; none for one of which nothing must be known.
    ///
    /// # Errors
    /// [`WriteError::Changed`] with the heads that are held, if they are others.
    pub fn put_if(&self, feature: Feature, expected: &[EntryId]) -> Write<EntryId, WriteError> {
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        expected.dedup();
        Write::apart(&self.parts, move |parts, _| {
            let active = active(&parts.map, feature.id.as_bytes())?;
            let found: Vec<EntryId> = rules::heads(&active).iter().map(|head| head.id).collect();
            match found == expected {
                true => put_by_hand(parts, feature),
                false => Err(WriteError::Changed { id: feature.id, found }),
            }
        })
    }

    /// Gives a feature what `change` makes of it: of all that [`Map::get`] finds, or of nothing. If it makes none of it the feature is deleted, if it
    /// is there. Nobody else writes here in between. Returns what was written, if anything; durable then.
    ///
    /// `change` is called on the thread that does all writes: it must not wait for another write.
    ///
    /// # Errors
    /// [`WriteError::OtherFeature`] if it makes one with another id; as [`Map::put`] and [`Map::delete`].
    pub fn update(
        &self,
        id: &str,
        change: impl FnOnce(Option<Found>) -> Option<Feature> + Send + 'static,
    ) -> Write<Option<EntryId>, WriteError> {
        let id = id.to_owned();
        Write::apart(&self.parts, move |parts, _| {
            let found = parts.feature(&id)?.map(|hit| parts.load_feature(&hit)).transpose()?;
            let is_there = found.is_some();
            match change(found) {
                Some(feature) if feature.id != id => {
                    Err(WriteError::OtherFeature { wanted: id, given: feature.id })
                }
                Some(feature) => put_by_hand(parts, feature).map(Some),
                None if is_there => parts.delete_feature(&id).map(Some),
                None => Ok(None),
            }
        })
    }

    /// As [`Map::put`] of each, in their order. Features that are no elements of OpenStreetMap are written in one append: all are there, or none. With
    /// elements among them each is written by itself, for those that follow may rest on it; if one is refused, those before it stay.
    pub fn put_all(&self, features: Vec<Feature>) -> Write<Vec<EntryId>, WriteError> {
        if features.iter().any(|feature| parse_osm(&feature.id).is_some()) {
            return Write::apart(&self.parts, move |parts, _| {
                features.into_iter().map(|feature| put_by_hand(parts, feature)).collect()
            });
        }
        Write::shared(&self.parts, move |parts, batch| {
            let put = |feature: &Feature| batch.replace(parts, &parts.map, draft(kappadb_geo::put(feature)?));
            features.iter().map(put).collect()
        })
    }

    /// The feature of this id; none if there is none or it was deleted.
    pub fn get(&self, id: &str) -> Read<Answer<Found>> {
        let id = id.to_owned();
        Read::new(&self.parts, ask::one(MAP, Selector::keys([id.as_bytes()])), move |parts| {
            let hit = parts.feature(&id)?;
            let found = hit.map(|hit| parts.load_feature(&hit)).transpose()?;
            Ok(loaded(found.into_iter().collect()))
        })
    }

    /// The features whose extent touches `extent` (closed: touching counts), without nodes that have no tags, in the order of their ids, `limit` at
    /// most. Peers are asked for all of them; what of their content is too large for a block is fetched with them.
    pub fn query(&self, extent: &Extent, limit: Option<usize>) -> Read<Answer<Hit>> {
        let extent = extent.clone();
        Read::new(&self.parts, ask::one(MAP, Selector::from(&extent)), move |parts| {
            Ok(Answer::of(parts.in_box(&extent, Query { limit, ..Query::default() })?))
        })
    }

    /// Reads the features of `hits`, in their order. Peers are asked for all of their versions.
    pub fn load(&self, hits: &[Hit]) -> Read<Answer<Found>> {
        let hits = hits.to_vec();
        let keys = hits.iter().map(|hit| hit.id.clone().into_bytes());
        Read::new(&self.parts, ask::keys(MAP, keys, Selector::Keys), move |parts| {
            let mut all = Vec::with_capacity(hits.len());
            parts.load_features::<ReadError>(&hits, &mut |_, found| {
                all.push(found);
                Ok(())
            })?;
            Ok(loaded(all))
        })
    }

    /// Ends a conflict: writes a version that replaces all heads held here and says what they say together, the winner's
    /// word first: by [`kappadb_geo::merge3`] if a version that all of them replaced can be read here, else by
    /// [`kappadb_geo::merge`]. An edit that races with a delete is kept. Durable when it returns.
    /// A replica that does not hold everything asks first ([`Map::history`] from [`Source::Peers`](crate::Source::Peers)).
    ///
    /// # Errors
    /// [`WriteError::NoConflict`] if there is at most one head, or all say the same; [`WriteError::NoContent`] if none of them can be read here.
    pub fn merge(&self, id: &str) -> Write<EntryId, WriteError> {
        let id = id.to_owned();
        Write::apart(&self.parts, move |parts, _| merge::merge(parts, &id))
    }

    pub(crate) async fn run_writing<T: Send + 'static>(
        &self,
        job: impl FnOnce(&MapParts) -> T + Send + 'static,
    ) -> Result<T, WriteError> {
        write::run_writing(&self.parts, job).await
    }

    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&MapParts) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        engine::run(&self.parts, job).await
    }
}

/// The answer that is these features: it lacks the contents of those of which a version cannot be read.
fn loaded(found: Vec<Found>) -> Answer<Found> {
    let lacks = |found: &&Found| found.versions.iter().any(|version| version.held().is_err());
    let lacking = found.iter().filter(lacks).count();
    Answer::of(found).lacking(lacking)
}

/// The entry of a change of a feature.
pub(crate) fn draft(change: Prepared) -> Draft {
    let Prepared { code, key, places, refs, payload, .. } = change;
    Draft { key: Some(key), places, refs, payload, ..Draft::new(Kind { space: space::MAP, code }) }
}

impl From<kappadb_view_geo::Hit> for Hit {
    fn from(hit: kappadb_view_geo::Hit) -> Hit {
        Hit { id: hit.key, heads: hit.heads, elsewhere: hit.elsewhere }
    }
}

impl MapParts {
    fn in_box(&self, extent: &Extent, query: Query) -> Result<Vec<Hit>, ReadError> {
        self.map.ready()?;
        let answer = self.map.read(|index| index.query(extent, &query))??;
        Ok(answer.hits.into_iter().map(Hit::from).collect())
    }

    /// A feature by its id, with all of its heads; none if there is none or it was deleted.
    pub(crate) fn feature(&self, id: &str) -> Result<Option<Hit>, ReadError> {
        let active = active(&self.map, id.as_bytes())?;
        let heads = rules::heads(&active);
        let gone = heads.iter().all(|head| head.kind.code == CODE_DELETE);
        let heads = heads.iter().map(|head| head.id).collect();
        Ok((!gone).then(|| Hit { id: id.to_owned(), heads, elsewhere: Vec::new() }))
    }

    /// The caller has the turn.
    fn delete_feature(&self, id: &str) -> Result<EntryId, WriteError> {
        let active = active(&self.map, id.as_bytes())?;
        if rules::heads(&active).iter().all(|version| version.kind.code == CODE_DELETE) {
            check_unused(self, id)?;
            return Err(WriteError::NoFeature(id.to_owned()));
        }
        delete_by_hand(self, id)
    }
}
