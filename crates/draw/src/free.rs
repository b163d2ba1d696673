//! What free features look like: as they say themselves by the properties of the simplestyle convention, or else by default.

use crate::label::{Face, Place, Symbol};
use crate::project::{Point, Rect};
use crate::scene::{Scene, TINY};
use crate::style::{Order, Rgb, Stage, Style};
use crate::text;
use kappadb_core::Coord;
use kappadb_geo::Free;
use kappadb_geo::Part;
use serde_json::{Map, Value};

/// How a free feature is drawn.
#[derive(Debug, Clone, PartialEq)]
struct FreeLook {
    area: Style,
    line: Style,
    marker: Rgb,
    /// Of a marker, in units.
    radius: f64,
    /// Its `title`, or else its `name`.
    title: Option<String>,
}

const BLUE: Rgb = Rgb(0x2f_6fb3);

/// The look that the properties ask for. What they say in a way that makes no sense does not count.
fn look(free: &Free) -> FreeLook {
    let said: Map<String, Value> = serde_json::from_str(&free.properties).unwrap_or_default();
    let text = |key: &str| said.get(key).and_then(Value::as_str);
    let colour = |key: &str| text(key).and_then(Rgb::parse);
    let number = |key: &str, least: f64, most: f64| {
        said.get(key).and_then(Value::as_f64).map(|number| number.clamp(least, most))
    };
    let stroke = colour("stroke").unwrap_or(BLUE);
    let width = number("stroke-width", 0.0, 40.0).unwrap_or(2.0);
    let line = Style::line(stroke, width).opacity(number("stroke-opacity", 0.0, 1.0).unwrap_or(1.0));
    let area = Style::area(colour("fill").unwrap_or(stroke));
    let radius = match text("marker-size") {
        Some("small") => 3.5,
        Some("large") => 7.5,
        _ => 5.0,
    };
    FreeLook {
        area: area.opacity(number("fill-opacity", 0.0, 1.0).unwrap_or(0.3)),
        line,
        marker: colour("marker-color").or_else(|| colour("stroke")).unwrap_or(BLUE),
        radius,
        title: text("title").or_else(|| text("name")).map(ToOwned::to_owned),
    }
}

impl Scene<'_> {
    pub(crate) fn free(&mut self, free: &Free, fetched: bool) {
        let look = look(free);
        let mut title = look.title.as_deref().and_then(text::shown).filter(|_| fetched);
        for part in free.geometry.parts() {
            let place = match part {
                Part::Point(at) => self.markers(&[*at], &look, fetched),
                Part::MultiPoint(points) => self.markers(points, &look, fetched),
                Part::LineString(line) => self.free_lines(std::slice::from_ref(line), &look, fetched),
                Part::MultiLineString(lines) => self.free_lines(lines, &look, fetched),
                Part::Polygon(rings) => self.free_area(rings, &look, fetched),
                Part::MultiPolygon(polygons) => polygons.iter().fold(None, |place, rings| {
                    let drawn = self.free_area(rings, &look, fetched);
                    place.or(drawn)
                }),
            };
            if let (Some(place), Some(title)) = (place, title.take_if(|_| true)) {
                self.wish(20, 0.0, title, Face::new(11.0, Rgb(0x2d_2d33)), place);
            }
        }
    }

    fn markers(&mut self, points: &[Coord], look: &FreeLook, fetched: bool) -> Option<Place> {
        let mut place = None;
        for at in points.iter().filter_map(|at| self.frame.point(*at)).collect::<Vec<_>>() {
            self.dot(at, look.radius, look.marker, fetched);
            let symbol = Symbol { radius: look.radius, colour: look.marker, glyph: "" };
            place.get_or_insert(Place::Beside(at, symbol));
        }
        place
    }

    /// Free points are drawn in any case: they are what somebody put there. Those at one place are drawn once.
    fn dot(&mut self, at: Point, radius: f64, colour: Rgb, fetched: bool) {
        if self.dots.insert((cell(at.x), cell(at.y), colour.0)) {
            let order = Order::new(Stage::Free).level(1);
            let edge = Style::line(Rgb(0xff_ffff), (radius + 1.0) * 2.0);
            self.push(order, edge, !fetched, vec![vec![at, at]], false);
            self.push(order.pass(1), Style::line(colour, radius * 2.0), !fetched, vec![vec![at, at]], false);
        }
    }

    fn free_lines(&mut self, lines: &[Vec<Coord>], look: &FreeLook, fetched: bool) -> Option<Place> {
        let drawn: Vec<_> = lines.iter().flat_map(|line| self.lines(line.iter().copied(), true)).collect();
        let around = Rect::of(drawn.iter().flatten())?;
        if around.width().max(around.height()) < TINY {
            return self.speck(&around, look, fetched);
        }
        let order = Order::new(Stage::Free).pass(1);
        self.push(order, look.line, !fetched, drawn.clone(), false);
        drawn.into_iter().max_by_key(Vec::len).map(Place::Along)
    }

    fn free_area(&mut self, rings: &[Vec<Coord>], look: &FreeLook, fetched: bool) -> Option<Place> {
        let (drawn, size) = self.rings(rings);
        let around = Rect::of(drawn.iter().flatten())?;
        if around.width().max(around.height()) < TINY {
            return self.speck(&around, look, fetched);
        }
        let order = Order::new(Stage::Free).sized(size);
        self.push(order, look.area, !fetched, drawn.clone(), true);
        self.push(order.pass(1), look.line, !fetched, drawn.clone(), true);
        Some(Place::Inside(drawn, 1.0))
    }

    /// Something free that is too small to be seen.
    fn speck(&mut self, around: &Rect, look: &FreeLook, fetched: bool) -> Option<Place> {
        let at = Point { x: around.left, y: around.top };
        self.dot(at, 1.2, look.line.stroke.unwrap_or(look.marker), fetched);
        None
    }
}

#[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and points are on the paper")]
pub(crate) fn cell(at: f64) -> i64 {
    (at / 1.5) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use kappadb_geo::Geometry;

    fn of(properties: &str) -> FreeLook {
        let geometry = Geometry::Single(Part::Point(Coord { lon: 0, lat: 0 }));
        look(&Free::new(geometry, properties.to_owned()))
    }

    #[test]
    fn what_makes_no_sense_does_not_count() {
        let default = of("null");
        assert_eq!(of(r#"{"stroke":"red\"/>","stroke-width":"wide","fill":7,"marker-size":[]}"#), default);
        let styled = of(r##"{"stroke":"#f00","stroke-width":1e300,"fill-opacity":-1,"title":"x"}"##);
        assert_eq!((styled.line.stroke, styled.line.width), (Some(Rgb(0xff_0000)), 40.0));
        assert_eq!((styled.area.opacity, styled.title.as_deref()), (0.0, Some("x")));
    }
}
