//! What the map is asked.

use super::change::carried::{self, CarriedNode};
use super::conflicts::several;
use super::export::{self, ExportFormat, ExportReport, Selection, Texts};
use super::history::feature_history;
use super::list::{by_id, find_anywhere, list_features};
use super::osm::{self, ask_osm};
use super::query::ask_find;
use super::refs::{ask_expand, ask_referrers};
use super::watch::InBox;
use super::{Expanded, ExportError, Found, Hit, Map, MapQuery, MapWatcher, OsmAnswer, Revision};
use crate::error::ReadError;
use crate::network::ask::{self, MAP};
use crate::network::{Answer, Read};
use crate::network::{Follow, Live};
use crate::views::watching::Watching;
use kappadb_core::Extent;
use kappadb_geo::Filter;
use kappadb_query::Selector;
use kappadb_view::ViewError;
use kappadb_view_geo::{Cursor, Query};
use std::io::Write;

impl Map {
    /// What ways say of a node: it need be no feature of its own. None if no standing way has it, or none says where it is. Peers are asked what
    /// refers to it.
    pub fn carried(&self, id: &str) -> Read<Answer<CarriedNode>> {
        let id = id.to_owned();
        Read::new(&self.parts, ask_referrers(self.parts.clone(), vec![id.clone()]), move |parts| {
            Ok(Answer::of(carried::carried(parts, &id)?))
        })
    }

    /// All versions of a feature, deletes included, the latest first: none comes after one that it replaces. Nothing for a feature that is not
    /// known. Peers are asked for every version, also those that others made redundant; of these, contents that are too large for a block are
    /// not fetched.
    pub fn history(&self, id: &str) -> Read<Answer<Revision>> {
        let id = id.to_owned();
        Read::new(&self.parts, ask::one(MAP, Selector::versions([id.as_bytes()])), move |parts| {
            feature_history(parts, &id)
        })
    }

    /// The features of which several current versions are known, from the one after `after` on, in the order of their ids, `limit` at most. In
    /// conflict are those of which these say different things: [`Map::load`] tells. Peers are asked for every feature.
    pub fn several(&self, after: Option<&str>, limit: usize) -> Read<Answer<Hit, String>> {
        let after = after.map(str::to_owned);
        Read::new(&self.parts, ask::one(MAP, Selector::Everything), move |parts| {
            Ok(by_id(several(parts, after.as_deref(), limit)?, limit))
        })
    }

    /// The features whose ids start with `prefix`, without deleted ones, in the order of their ids, `limit` at most, from the one after `after` on.
    pub fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Read<Answer<Hit, String>> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        Read::new(&self.parts, ask::one(MAP, Selector::Prefix(prefix.clone().into_bytes())), move |parts| {
            parts.map.ready()?;
            Ok(by_id(list_features(parts, &prefix, after.as_deref(), limit)?, limit))
        })
    }

    /// A page of the features that pass, wherever they are, also those without a place, in the order of their ids: those after an earlier page, `limit`
    /// at most. Nodes without tags are left out, as in a box. Peers are asked for every feature.
    ///
    /// # Errors
    /// [`ReadError::View`] if the cursor is none of an answer by id.
    pub fn find_anywhere(
        &self,
        filter: &Filter,
        after: Option<&Cursor>,
        limit: Option<usize>,
    ) -> Read<Answer<Hit, Cursor>> {
        let query = Query { after: after.cloned(), ..Query::default() };
        let filter = filter.clone();
        Read::new(&self.parts, ask::one(MAP, Selector::Everything), move |parts| {
            let after = query.after_id().map_err(ViewError::from)?.map(str::to_owned);
            find_anywhere(parts, &filter, after, limit.unwrap_or(usize::MAX))
        })
    }

    /// The features of which a current version refers to one of `ids`: ways to their nodes, relations to their members. In the order of their ids.
    /// A hit's heads are those that refer.
    pub fn referrers(&self, ids: &[String]) -> Read<Answer<Hit>> {
        let ids = ids.to_vec();
        Read::new(&self.parts, ask_referrers(self.parts.clone(), ids.clone()), move |parts| {
            Ok(Answer::of(parts.referrers(ids)?))
        })
    }

    /// A feature and all that it is made of. Nothing if it is not there.
    pub fn expand(&self, id: &str) -> Read<Answer<Expanded>> {
        let id = id.to_owned();
        Read::new(&self.parts, ask_expand(self.parts.clone(), id.clone()), move |parts| {
            let expanded = parts.expand(id)?;
            Ok(Answer::of((!expanded.found.is_empty()).then_some(expanded)))
        })
    }

    /// A page of what is in a box. What stays as it is comes once, whatever arrives between two pages.
    ///
    /// Peers are asked for the whole box. For the largest with a limit they are asked from the highest level down until there are as many, and
    /// the rest is left with them; then the answer is complete as far as it goes.
    ///
    /// # Errors
    /// [`ReadError::View`] if the cursor is none of this question.
    pub fn find(&self, query: &MapQuery) -> Read<Answer<Hit, Cursor>> {
        let query = query.clone();
        Read::new(&self.parts, ask_find(self.parts.clone(), query.clone()), move |parts| parts.find(&query))
    }

    /// What belongs to a box by the rule of OpenStreetMap's API 0.6. Asked of peers, of each element of the answer that lies outside the box, too,
    /// all heads are known.
    pub fn osm_query(&self, extent: &Extent) -> Read<Answer<OsmAnswer>> {
        let extent = extent.clone();
        Read::new(&self.parts, ask_osm(self.parts.clone(), extent.clone()), move |parts| {
            Ok(Answer::of([osm::answer(parts, &extent)?]))
        })
    }

    /// Watches a box (closed: touching counts). First each feature in it comes once as it is, in the order of the ids; then one comes whenever what the box
    /// shows of it changes, be it written here or fetched: when it comes in, when its heads or the one shown by default change, and when
    /// it is not in the box any more. Nodes without tags are left out, as in [`Map::query`].
    ///
    /// A watcher may be as slow as it likes: what changed meanwhile comes once, as it is then, marked as lagged; what came and went is not told. It
    /// remembers some bytes for each feature in the box.
    pub fn watch(&self, extent: &Extent) -> MapWatcher {
        // Whether a change is in the box shows only when the feature is looked at.
        let watching = Watching::new(InBox(extent.clone()), self.parts.map.watch(), None);
        let live = Live::of(&self.parts, [Follow::matching(MAP, Selector::from(extent))]);
        MapWatcher { changes: watching.stream(self.parts.clone()), live }
    }

    /// Writes features to `out`. In GeoJSON, features in conflict come with all their versions, marked as
    /// [`Texts`] are. Memory is bounded, but for OSM XML, which needs the number of each element and the position of each
    /// node that only ways know, at most 16 bytes for each.
    pub async fn export(
        &self,
        what: Selection,
        format: ExportFormat,
        out: impl Write + Send + 'static,
    ) -> Result<ExportReport, ExportError> {
        self.run(move |parts| export::export(parts, what, format, out)).await?
    }

    /// A feature as GeoJSON; the area of a multipolygon or boundary from the ways that are held here.
    pub async fn texts(&self, found: &Found) -> Result<Texts, ReadError> {
        let found = found.clone();
        self.run(move |parts| export::texts(parts, &found)).await?
    }
}
