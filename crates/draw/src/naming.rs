//! What of a scene gets a name or a symbol.

use crate::area::AreaLook;

use crate::label::{Face, Place, Wish};
use crate::line::LineLook;
use crate::project::{Point, Rect};
use crate::scene::Scene;
use crate::style::{Rgb, Stage};
use crate::{inside, point, text};
use kappadb_geo::Element;
use kappadb_geo::chain::{self, Located, Turn};

const NUMBER: Face = Face::new(7.5, Rgb(0x8d_7c6a));

/// Ways of one name.
pub(crate) struct Named {
    face: Face,
    priority: u8,
    ways: Vec<Located>,
}

impl Scene<'_> {
    pub(crate) fn name_node(&mut self, element: &Element, at: Point) {
        let name = element.tag("name").and_then(text::shown);
        if let (Some((face, priority)), Some(name)) = (point::place(element, self.per_metre()), &name) {
            self.wish(priority, population(element), name.clone(), face, Place::At(at));
        } else if let (Some(face), Some(name)) = (point::water(element), &name) {
            self.wish(25, 0.0, name.clone(), face, Place::At(at));
        } else {
            self.poi(element, at, name);
        }
    }

    /// A symbol for a point of interest, or else its number in the street. True if it is one.
    fn poi(&mut self, element: &Element, at: Point, name: Option<String>) -> bool {
        if let Some(look) = point::poi(element, self.per_metre()) {
            let named = f64::from(u8::from(name.is_some()));
            self.wish(
                look.priority,
                named,
                name.unwrap_or_default(),
                look.face,
                Place::Beside(at, look.symbol),
            );
            return true;
        }
        if let Some(number) = element.tag("addr:housenumber").and_then(text::shown)
            && self.per_metre() >= 1.2
        {
            self.wish(95, 0.0, number, NUMBER, Place::At(at));
        }
        false
    }

    pub(crate) fn name_area(
        &mut self,
        element: &Element,
        look: Option<AreaLook>,
        rings: Vec<Vec<Point>>,
        around: &Rect,
    ) {
        let name = element.tag("name").and_then(text::shown);
        let built = look.is_none_or(|look| matches!(look.stage, Stage::Building | Stage::Paved));
        let is_poi = built && self.poi_inside(element, &rings, around, name.clone());
        if let (false, Some(look), Some(name)) = (is_poi, look, name)
            && let Some(face) = look.face
        {
            let weight = around.width() * around.height();
            self.wish(look.priority, weight, name, face, Place::Inside(rings, look.slack));
        }
    }

    /// As `poi`, in the middle of an area.
    fn poi_inside(
        &mut self,
        element: &Element,
        rings: &[Vec<Point>],
        around: &Rect,
        name: Option<String>,
    ) -> bool {
        let numbered = element.tag("addr:housenumber").is_some();
        if !numbered && point::poi(element, self.per_metre()).is_none() {
            return false;
        }
        let spots = inside::spots(rings, around, 0.0, 0.0);
        let middle = spots.into_iter().find(|at| self.frame.paper().holds(*at));
        middle.is_some_and(|at| self.poi(element, at, name))
    }

    pub(crate) fn name_way(&mut self, element: &Element, look: &LineLook, runs: Vec<Located>) {
        let Some((face, name)) = look.face.zip(element.tag("name").and_then(text::shown)) else { return };
        let new = || Named { face, priority: look.priority, ways: Vec::new() };
        let named = self.named.entry(name).or_insert_with(new);
        // A street is named as its most important part.
        if look.priority < named.priority {
            (named.face, named.priority) = (face, look.priority);
        }
        named.ways.extend(runs);
    }

    /// Names ways, each name where its ways, joined, have room for it.
    pub(crate) fn name_lines(&mut self) {
        for (name, named) in std::mem::take(&mut self.named) {
            for way in chain::join(named.ways, Turn::Either) {
                for path in self.lines(way.into_iter().map(|(_, at)| at), false) {
                    let length = length(&path);
                    self.wish(named.priority, length, name.clone(), named.face, Place::Along(path));
                }
            }
        }
    }

    pub(crate) fn wish(&mut self, priority: u8, weight: f64, text: String, face: Face, place: Place) {
        self.wishes.push(Wish { priority, weight, text, face, place });
    }
}

fn length(path: &[Point]) -> f64 {
    path.iter().zip(path.iter().skip(1)).map(|(a, b)| a.distance(*b)).sum()
}

fn population(element: &Element) -> f64 {
    element.tag("population").and_then(|v| v.parse::<u32>().ok()).map_or(0.0, f64::from)
}
