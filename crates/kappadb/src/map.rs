use crate::ask::{self, Asked};
use crate::database::{self, Parts};
use crate::error::{ReadError, WriteError};
use crate::write::{self, Draft};
use kappadb_core::{EntryId, Extent, Timestamp};
use kappadb_entry::rules::{self, Version};
use kappadb_entry::{Kind, decode_block, space};
use kappadb_geo::{CODE_DELETE, CODE_PUT, Feature, Prepared};
use kappadb_query::Selector;
use std::sync::Arc;

/// Map features: nodes, ways, relations and free GeoJSON features, by id and by box.
#[derive(Clone)]
pub struct Map {
    parts: Arc<Parts>,
}

/// A feature that a box query found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The feature's id.
    pub id: String,
    /// Those of its current versions that touch the box; several are a conflict.
    pub heads: Vec<EntryId>,
    /// Its other current versions that are known here: moved away, or a delete, by somebody who had not seen those in
    /// the box. A conflict too. A sparse replica may lack some of them.
    pub elsewhere: Vec<EntryId>,
}

/// A feature with all of its current versions.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The feature's id.
    pub id: String,
    /// Those asked for: one, or several in conflict. The winner first, if it is among them.
    pub versions: Vec<Edition>,
    /// How many other current versions are known here.
    pub elsewhere: usize,
}

impl Found {
    /// True if people who had not seen each other's change made several current versions.
    pub fn is_conflict(&self) -> bool {
        self.versions.len() + self.elsewhere > 1
    }
}

/// One current version of a feature.
#[derive(Debug, Clone, PartialEq)]
pub struct Edition {
    /// The entry that made it. Its feed is its author.
    pub entry: EntryId,
    /// When its author says it was made.
    pub time: Timestamp,
    /// What it says; none if it deletes the feature or its payload was cleared here.
    pub feature: Option<Feature>,
    /// True for the one that is shown by default: the greatest time that is due, then feed key, then seq.
    pub winner: bool,
}

impl Map {
    pub(crate) fn new(parts: Arc<Parts>) -> Self {
        Map { parts }
    }

    /// Creates a feature, or replaces every version of it that is held here. Durable when it returns.
    pub async fn put(&self, feature: Feature) -> Result<EntryId, WriteError> {
        self.run(move |parts| parts.put_feature(&feature)).await?
    }

    /// Deletes every version of a feature that is held here. Durable when it returns.
    pub async fn delete(&self, id: &str) -> Result<EntryId, WriteError> {
        let id = id.to_owned();
        self.run(move |parts| parts.delete_feature(&id)).await?
    }

    /// The feature of this id, from what is held here; none if there is none or it was deleted.
    pub async fn get(&self, id: &str) -> Result<Option<Found>, ReadError> {
        let id = id.to_owned();
        self.run(move |parts| {
            let active = write::active(&parts.map, id.as_bytes())?;
            let heads: Vec<EntryId> = rules::heads(&active).iter().map(|version| version.id).collect();
            let found = parts.load_feature(&Hit { id, heads, elsewhere: Vec::new() })?;
            Ok((found.versions.iter().any(|edition| edition.feature.is_some())).then_some(found))
        })
        .await?
    }

    /// The features whose extent touches `extent` (closed: touching counts), from what is held here, in the order of
    /// their ids, `limit` at most.
    pub async fn query(&self, extent: &Extent, limit: Option<usize>) -> Result<Vec<Hit>, ReadError> {
        let extent = extent.clone();
        self.run(move |parts| {
            parts.map.ready()?;
            let answer = parts.map.read(|index| index.query(&extent, limit))??;
            let hit =
                |hit: kappadb_view_geo::Hit| Hit { id: hit.key, heads: hit.heads, elsewhere: hit.elsewhere };
            Ok(answer.hits.into_iter().map(hit).collect())
        })
        .await?
    }

    /// Reads the features of `hits`, in their order.
    pub async fn load(&self, hits: &[Hit]) -> Result<Vec<Found>, ReadError> {
        let hits = hits.to_vec();
        self.run(move |parts| hits.iter().map(|hit| parts.load_feature(hit)).collect()).await?
    }

    /// Asks the known peers for the features of a box, and fetches, proves and indexes what is missing here. After
    /// that [`Map::query`] answers as the peers' and this replica's union would.
    pub async fn ask(&self, extent: &Extent) -> Result<Asked, ReadError> {
        ask::ask(&self.parts, ask::MAP, Selector::from(extent)).await
    }

    /// Asks the known peers for the versions of one feature.
    pub async fn ask_id(&self, id: &str) -> Result<Asked, ReadError> {
        ask::ask(&self.parts, ask::MAP, Selector::keys([id.as_bytes()])).await
    }

    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Parts) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        database::run(&self.parts, job).await
    }
}

/// The entry of a change of a feature.
pub(crate) fn draft(code: u8, change: Prepared) -> Draft {
    let Prepared { key, places, payload } = change;
    Draft { kind: Kind { space: space::MAP, code }, key: Some(key), places, payload }
}

impl Parts {
    fn put_feature(&self, feature: &Feature) -> Result<EntryId, WriteError> {
        let draft = draft(CODE_PUT, kappadb_geo::put(feature)?);
        let _guard = self.writing();
        self.replace(&self.map, draft)
    }

    fn delete_feature(&self, id: &str) -> Result<EntryId, WriteError> {
        let draft = draft(CODE_DELETE, kappadb_geo::delete(id)?);
        let _guard = self.writing();
        let active = write::active(&self.map, id.as_bytes())?;
        if rules::heads(&active).iter().all(|version| version.kind.code == CODE_DELETE) {
            return Err(WriteError::NoFeature(id.to_owned()));
        }
        self.replace(&self.map, draft)
    }

    fn load_feature(&self, hit: &Hit) -> Result<Found, ReadError> {
        let mut editions = Vec::with_capacity(hit.heads.len());
        let mut held = Vec::with_capacity(hit.heads.len());
        for &id in hit.heads.iter().chain(&hit.elsewhere) {
            let block = match self.feeds.block(&id) {
                // The others of the answer do not depend on it; `verify` says what is lost.
                Err(error) if error.is_damage() => continue,
                block => block?,
            };
            let Some(entry) = block.and_then(|block| decode_block(&block).ok()) else { continue };
            held.push(Version::from_header(id, &entry.header));
            let payload = entry.payload.filter(|_| entry.header.kind.code == CODE_PUT);
            let feature = payload.and_then(|payload| kappadb_geo::decode(&hit.id, &payload).ok());
            editions.push(Edition { entry: id, time: entry.header.time, feature, winner: false });
        }
        let winner =
            rules::winner(&held.iter().collect::<Vec<_>>(), self.clock.now()).map(|version| version.id);
        editions.iter_mut().for_each(|edition| edition.winner = Some(edition.entry) == winner);
        let (mut versions, others): (Vec<_>, Vec<_>) =
            editions.into_iter().partition(|edition| hit.heads.contains(&edition.entry));
        versions.sort_by_key(|edition| (!edition.winner, edition.entry));
        Ok(Found { id: hit.id.clone(), versions, elsewhere: others.len() })
    }
}
