//! A map of features, as one would hang it on a wall: water, green, buildings, roads by class, railways, symbols, and
//! names where there is room. What was fetched is in colour, all else in grey and without names.
//!
//! - OSM elements look as their tags say. Multipolygons get their shape from member ways among the features drawn;
//!   rings of which a way is missing are left out. The sea is filled where the coastline is known from edge to edge.
//! - Free features look as their `stroke`, `stroke-width`, `stroke-opacity`, `fill`, `fill-opacity`, `marker-color`,
//!   `marker-size` and `title` (or `name`) say (the simplestyle convention), or else blue.
//! - The same features in the same order give the same picture, whatever they contain: one that is well-formed, in which names do
//!   not cover each other, and that does not grow with what is too small to be seen.
//!
//! Coordinates go from the projection (`project`) through the cut (`clip`) to paths of a `scene`, which looks up
//! what things look like (`area`, `line`, `point`, `free`); its wishes for labels are granted by `label`.
//!
//! Floor 1: pure. No clock, no thread, no async, no IO.

mod along;
mod area;
mod clip;
mod free;
mod inside;
mod label;
mod line;
mod naming;
mod occupied;
mod point;
mod project;
mod scene;
mod sea;
mod style;
mod text;
mod ways;
mod write;

use kappadb_core::Extent;
use kappadb_geo::chain;
use kappadb_geo::{Body, Element, Feature, Shape as ElementShape};
use occupied::Occupied;
use project::Frame;
use scene::Scene;

/// What must be written wherever data of OpenStreetMap is shown.
pub const OSM_ATTRIBUTION: &str = "© OpenStreetMap contributors";

/// A feature to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// The feature.
    pub feature: Feature,
    /// In colour, with its name.
    pub fetched: bool,
}

/// The extent of all of these; none if there are none.
pub fn around(shapes: &[Shape]) -> Option<Extent> {
    let extents: Vec<Extent> = shapes.iter().map(|shape| shape.feature.extent()).collect();
    Some(kappadb_geo::join_extents(&extents)).filter(|extent| !extent.boxes().is_empty())
}

/// The ids of the ways that give a feature its shape: those of a multipolygon, which has none unless they are among the
/// features drawn. They may lie outside the view. In the order of its members.
pub fn outline(feature: &Feature) -> Vec<String> {
    match &feature.body {
        Body::Osm(element @ Element { shape: ElementShape::Relation { members, .. }, .. })
            if element.tag("type") == Some("multipolygon") =>
        {
            chain::bounds(members).map(|member| format!("w{}", member.id)).collect()
        }
        _ => Vec::new(),
    }
}

/// An SVG map of the features in `view`, with the attribution that OpenStreetMap asks for if any comes from there. The
/// longer side of its viewBox is 1400 units.
pub fn render(view: &Extent, shapes: &[Shape]) -> String {
    let osm = shapes.iter().any(|shape| matches!(shape.feature.body, Body::Osm(_)));
    render_with(view, shapes, if osm { OSM_ATTRIBUTION } else { "" })
}

/// As [`render`], with an attribution of the caller's.
pub fn render_with(view: &Extent, shapes: &[Shape], attribution: &str) -> String {
    let frame = Frame::new(view);
    let scene = Scene::of(shapes, &frame);
    let mut out = String::new();
    let orientation = shapes.iter().any(|shape| !shape.fetched);
    write::open(&mut out, &frame, orientation);
    write::items(&mut out, &scene.items);
    let mut taken = Occupied::new(frame.paper());
    let mut margins = String::new();
    write::margins(&mut margins, &frame, attribution, &mut taken);
    write::labels(&mut out, &label::place(scene.wishes, &mut taken));
    out.push_str(&margins);
    write::close(&mut out);
    out
}
