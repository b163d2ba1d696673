//! A small picture of features: what was fetched in colour, all else in grey.

use crate::feature::{Body, Element, Feature, Shape as ElementShape};
use crate::geojson::is_area;
use crate::geometry::Part;
use kappadb_core::{Coord, Extent};
use std::fmt::Write as _;

/// What must be written wherever data of OpenStreetMap is shown.
pub const OSM_ATTRIBUTION: &str = "© OpenStreetMap contributors";

/// Width of the longer side.
const SIDE: f64 = 1000.0;

/// A feature to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// The feature.
    pub feature: Feature,
    /// In colour.
    pub fetched: bool,
}

/// The extent of all of these; none if there are none.
pub fn around(shapes: &[Shape]) -> Option<Extent> {
    let extents: Vec<Extent> = shapes.iter().map(|shape| shape.feature.extent()).collect();
    Some(crate::extent::join(&extents)).filter(|extent| !extent.boxes().is_empty())
}

/// An SVG picture of the features in `view`, with the attribution that OpenStreetMap asks for if any comes from there.
/// Relations have no picture of their own.
pub fn render(view: &Extent, shapes: &[Shape]) -> String {
    let osm = shapes.iter().any(|shape| matches!(shape.feature.body, Body::Osm(_)));
    render_with(view, shapes, if osm { OSM_ATTRIBUTION } else { "" })
}

/// As [`render`], with an attribution of the caller's.
pub fn render_with(view: &Extent, shapes: &[Shape], attribution: &str) -> String {
    let frame = Frame::new(view);
    let mut drawn: Vec<(Class, bool, String)> = shapes
        .iter()
        .filter_map(|s| draw(&s.feature, &frame).map(|(class, d)| (class, s.fetched, d)))
        .collect();
    // Areas below lines below points; of each, grey below colour. Stable: the rest keeps its order.
    drawn.sort_by_key(|(class, fetched, _)| (*class, *fetched));
    let (width, height) = (frame.width, frame.height);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\">\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{width:.0}\" height=\"{height:.0}\"/>\n"
    );
    for (class, fetched, d) in &drawn {
        let colour = if *fetched { " on" } else { "" };
        let _ = writeln!(out, "<path class=\"{}{colour}\" d=\"{d}\"/>", class.name());
    }
    let (x, y) = (width - 6.0, height - 6.0);
    let _ = writeln!(out, "<text x=\"{x:.0}\" y=\"{y:.0}\">{}</text>\n</svg>", escape(attribution));
    out
}

const STYLE: &str = "path{fill:none;fill-rule:evenodd;stroke:#c4c4c4;stroke-width:.6;stroke-linecap:round;stroke-linejoin:round}\
.ground{fill:#f7f7f5}\
.area,.green,.water,.building{fill:#ececea;stroke:#dcdcda}\
.road{stroke-width:1.8}.path{stroke-dasharray:2 2}.point{stroke-width:2.6}\
.area.on{fill:#f3ead8;stroke:#d8c9a8}.green.on{fill:#cfe8bd;stroke:#a4cf88}.water.on{fill:#a9d3ee;stroke:#6db1dc}\
.building.on{fill:#e7b9a2;stroke:#b8765a}.road.on{stroke:#e08a1e}.path.on{stroke:#b0562c}.rail.on{stroke:#5b4b8a}\
.stream.on{stroke:#6db1dc}.line.on{stroke:#7a7a7a}.point.on{stroke:#c2185b}\
text{font:12px sans-serif;fill:#555;text-anchor:end;paint-order:stroke;stroke:#fff;stroke-width:3px}";

/// What a feature is drawn as, from the bottom to the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Area,
    Green,
    Water,
    Building,
    Stream,
    Line,
    Path,
    Road,
    Rail,
    Point,
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Class::Area => "area",
            Class::Green => "green",
            Class::Water => "water",
            Class::Building => "building",
            Class::Stream => "stream",
            Class::Line => "line",
            Class::Path => "path",
            Class::Road => "road",
            Class::Rail => "rail",
            Class::Point => "point",
        }
    }

    fn of_area(element: &Element) -> Class {
        let is = |key, values: &[&str]| element.tag(key).is_some_and(|value| values.contains(&value));
        if element.tag("building").or_else(|| element.tag("building:part")).is_some() {
            Class::Building
        } else if is("natural", &["water", "bay", "wetland"]) || element.tag("water").is_some() {
            Class::Water
        } else if is("leisure", &["park", "garden", "pitch", "playground", "nature_reserve"])
            || is("landuse", &["grass", "forest", "meadow", "recreation_ground", "cemetery", "village_green"])
            || is("natural", &["wood", "scrub", "grassland", "heath"])
        {
            Class::Green
        } else {
            Class::Area
        }
    }

    fn of_line(element: &Element) -> Class {
        match (element.tag("highway"), element.tag("waterway")) {
            (Some("footway" | "path" | "cycleway" | "steps" | "pedestrian" | "track" | "bridleway"), _) => {
                Class::Path
            }
            (Some(_), _) => Class::Road,
            (None, Some(_)) => Class::Stream,
            _ if element.tag("railway").is_some() => Class::Rail,
            _ => Class::Line,
        }
    }
}

/// The projection: equirectangular, with the longitudes shortened as they are at the view's middle latitude.
struct Frame {
    /// Degrees in the middle.
    lon: f64,
    /// Degrees at the top.
    north: f64,
    /// Units a degree of latitude.
    scale: f64,
    /// Degrees of latitude that a degree of longitude is as long as.
    narrow: f64,
    width: f64,
    height: f64,
}

impl Frame {
    fn new(view: &Extent) -> Frame {
        let world = kappadb_core::GeoBox::WORLD;
        let first = view.boxes().first().copied().unwrap_or(world);
        let last = view.boxes().last().copied().unwrap_or(world);
        let both = first.hull(&last);
        let (west, south) = Coord { lon: first.west, lat: both.south }.degrees();
        let (east, north) = Coord { lon: last.east, lat: both.north }.degrees();
        let east = if east < west { east + 360.0 } else { east };
        let narrow = ((south + north) / 2.0).to_radians().cos().max(0.01);
        // A view of no area still shows about ten metres.
        let (across, up) = (((east - west) * narrow).max(1e-4), (north - south).max(1e-4));
        let scale = SIDE / across.max(up);
        // A sliver would be an invisible picture.
        let (width, height) = ((across * scale).max(SIDE / 5.0), (up * scale).max(SIDE / 5.0));
        let north = (south + north) / 2.0 + height / scale / 2.0;
        Frame { lon: (west + east) / 2.0, north, scale, narrow, width, height }
    }

    fn point(&self, at: &Coord) -> (f64, f64) {
        let (lon, lat) = at.degrees();
        let from_middle = (lon - self.lon + 540.0).rem_euclid(360.0) - 180.0;
        (self.width / 2.0 + from_middle * self.narrow * self.scale, (self.north - lat) * self.scale)
    }

    /// Appends a path of at least one position to an SVG path's data.
    fn trace<'a>(&self, d: &mut String, path: impl IntoIterator<Item = &'a Coord>, close: bool) {
        for (i, at) in path.into_iter().enumerate() {
            let (x, y) = self.point(at);
            let _ = write!(d, "{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' });
        }
        if close {
            d.push('Z');
        }
    }

    /// A line of no length with round ends is a dot.
    fn dot(&self, d: &mut String, at: &Coord) {
        self.trace(d, [at, at], false);
    }
}

fn draw(feature: &Feature, frame: &Frame) -> Option<(Class, String)> {
    let mut d = String::new();
    let class = match &feature.body {
        Body::Osm(element) => draw_element(element, frame, &mut d)?,
        Body::Free(free) => {
            free.geometry.parts().iter().for_each(|part| draw_part(part, frame, &mut d));
            free.geometry.parts().iter().map(class_of).min()?
        }
    };
    (!d.is_empty()).then_some((class, d))
}

fn draw_element(element: &Element, frame: &Frame, d: &mut String) -> Option<Class> {
    match &element.shape {
        ElementShape::Node(at) => frame.dot(d, at),
        ElementShape::Way(nodes) => {
            let area = is_area(element);
            frame.trace(d, nodes.iter().filter_map(|node| node.at.as_ref()), area);
            return Some(if area { Class::of_area(element) } else { Class::of_line(element) });
        }
        ElementShape::Relation { .. } => return None,
    }
    Some(Class::Point)
}

fn class_of(part: &Part) -> Class {
    match part {
        Part::Point(_) | Part::MultiPoint(_) => Class::Point,
        Part::LineString(_) | Part::MultiLineString(_) => Class::Line,
        Part::Polygon(_) | Part::MultiPolygon(_) => Class::Area,
    }
}

fn draw_part(part: &Part, frame: &Frame, d: &mut String) {
    match part {
        Part::Point(at) => frame.dot(d, at),
        Part::MultiPoint(points) => points.iter().for_each(|at| frame.dot(d, at)),
        Part::LineString(line) => frame.trace(d, line, false),
        Part::MultiLineString(lines) => lines.iter().for_each(|line| frame.trace(d, line, false)),
        Part::Polygon(rings) => rings.iter().for_each(|ring| frame.trace(d, ring, true)),
        Part::MultiPolygon(polygons) => polygons.iter().flatten().for_each(|ring| frame.trace(d, ring, true)),
    }
}

/// Text as it may stand between tags.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
