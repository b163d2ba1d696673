//! What there is to draw and to name: features turned into paths and wishes for labels.

use crate::area;
use crate::label::Wish;
use crate::line::{self, LineLook};
use crate::naming::Named;
use crate::project::{Frame, Point, Rect};
use crate::style::{Order, Rgb, Stage, Style};
use crate::ways::Ways;
use crate::{Shape, clip, free::cell, sea};
use kappadb_core::Coord;
use kappadb_geo::chain::{self, Located, Turn};
use kappadb_geo::{Body, Element, Member, Shape as ElementShape, WayNode};
use std::collections::{BTreeMap, BTreeSet};

/// What is smaller than this both ways is not drawn.
pub(crate) const TINY: f64 = 0.6;

/// Paths painted one way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    pub(crate) order: Order,
    pub(crate) style: Style,
    /// In grey.
    pub(crate) faded: bool,
    pub(crate) paths: Vec<Vec<Point>>,
    pub(crate) closed: bool,
}

/// Everything that is to be drawn.
pub(crate) struct Scene<'a> {
    pub(crate) frame: &'a Frame,
    ways: Ways<'a>,
    pub(crate) items: Vec<Item>,
    pub(crate) wishes: Vec<Wish>,
    /// Ways by their names, which are not written on each of them.
    pub(crate) named: BTreeMap<String, Named>,
    coasts: Vec<Located>,
    coast_fetched: bool,
    /// Ways drawn as borders already: neighbours share them.
    borders: BTreeSet<i64>,
    /// Where dots are already.
    pub(crate) dots: BTreeSet<(i64, i64, u32)>,
}

impl<'a> Scene<'a> {
    pub(crate) fn of(shapes: &'a [Shape], frame: &'a Frame) -> Scene<'a> {
        let mut scene = Scene {
            frame,
            ways: Ways::of(shapes),
            items: Vec::new(),
            wishes: Vec::new(),
            named: BTreeMap::new(),
            coasts: Vec::new(),
            coast_fetched: false,
            borders: BTreeSet::new(),
            dots: BTreeSet::new(),
        };
        shapes.iter().for_each(|shape| scene.add(shape));
        scene.name_lines();
        scene.fill_sea();
        // Stable: what is equal keeps its order. Of each sort, grey below colour.
        scene.items.sort_by_key(|item| (item.order, !item.faded));
        scene
    }

    fn add(&mut self, shape: &Shape) {
        match &shape.feature.body {
            Body::Free(free) => self.free(free, shape.fetched),
            Body::Osm(element) => match &element.shape {
                ElementShape::Node(at) => self.node(element, *at, shape.fetched),
                ElementShape::Way(nodes) => {
                    if self.is_new_border(&shape.feature.id, element) {
                        self.way(element, nodes, shape.fetched);
                    }
                }
                ElementShape::Relation { members, .. } => self.relation(element, members, shape.fetched),
            },
        }
    }

    pub(crate) fn per_metre(&self) -> f64 {
        self.frame.per_metre()
    }

    fn node(&mut self, element: &Element, at: Coord, fetched: bool) {
        let Some(at) = self.frame.point(at) else { return };
        let tree = element.tag("natural") == Some("tree") && self.per_metre() >= 0.5;
        if tree && self.dots.insert((cell(at.x), cell(at.y), 0)) {
            let crown = Style::line(Rgb(0x8f_bb78), (self.per_metre() * 4.5).clamp(3.0, 11.0)).opacity(0.5);
            self.push(Order::new(Stage::Tree), crown, !fetched, vec![vec![at, at]], false);
        }
        if fetched {
            self.name_node(element, at);
        }
    }

    /// False for a way that is nothing but a border, drawn as part of a boundary already.
    fn is_new_border(&mut self, id: &str, element: &Element) -> bool {
        let look = line::look(element, self.per_metre());
        let border =
            look.is_some_and(|look| look.strokes.iter().all(|(order, _)| order.stage == Stage::Boundary));
        let id = id.strip_prefix('w').and_then(|id| id.parse().ok());
        !border || id.is_none_or(|id| self.borders.insert(id))
    }

    fn way(&mut self, element: &Element, nodes: &[WayNode], fetched: bool) {
        if area::is_drawn_area(element) {
            let ring = nodes.iter().filter_map(|node| node.at).collect();
            return self.area(element, &[ring], fetched);
        }
        let Some(look) = line::look(element, self.per_metre()) else { return };
        let runs = chain::runs(nodes);
        let drawn: Vec<_> =
            runs.iter().flat_map(|run| self.lines(run.iter().map(|(_, at)| *at), false)).collect();
        self.strokes(&look, &drawn, fetched);
        if element.tag("natural") == Some("coastline") {
            self.coasts.extend(runs);
            self.coast_fetched |= fetched;
        } else if fetched {
            self.name_way(element, &look, runs);
        }
    }

    fn relation(&mut self, element: &Element, members: &[Member], fetched: bool) {
        match element.tag("type") {
            Some("multipolygon") => {
                let rings = self.ways.rings(members);
                self.area(element, &rings, fetched);
            }
            Some("boundary") => {
                let Some(look) = line::boundary(element) else { return };
                let ways = self.ways.bounds(members).into_iter().filter(|(id, _)| self.borders.insert(*id));
                for way in chain::join(ways.map(|(_, way)| way).collect(), Turn::Either) {
                    let drawn = self.lines(way.into_iter().map(|(_, at)| at), false);
                    self.strokes(&look, &drawn, fetched);
                }
            }
            _ => {}
        }
    }

    fn area(&mut self, element: &Element, rings: &[Vec<Coord>], fetched: bool) {
        let (drawn, size) = self.rings(rings);
        let Some(around) = Rect::of(drawn.iter().flatten()).filter(|a| a.width().max(a.height()) >= TINY)
        else {
            return;
        };
        let look = area::look(element);
        if let Some(look) = &look {
            self.push(Order::new(look.stage).sized(size), look.style, !fetched, drawn.clone(), true);
        }
        if fetched {
            self.name_area(element, look, drawn, &around);
        }
    }

    fn fill_sea(&mut self) {
        let coasts = chain::join(std::mem::take(&mut self.coasts), Turn::Never);
        let paths: Vec<_> = coasts
            .into_iter()
            .flat_map(|c| self.frame.copies(c.into_iter().map(|(_, at)| at), false))
            .collect();
        if let Some(rings) = sea::rings(&paths, &self.frame.bleed()) {
            let rings = rings.iter().map(|ring| clip::simplify(ring)).collect();
            self.push(Order::new(Stage::Sea), Style::area(area::WATER), !self.coast_fetched, rings, true);
        }
    }

    /// A line as drawn: cut, and without what cannot be seen.
    pub(crate) fn lines(&self, path: impl Iterator<Item = Coord>, names: bool) -> Vec<Vec<Point>> {
        let copies = self.frame.copies(path, names);
        let parts = copies.iter().flat_map(|copy| clip::line(copy, &self.frame.bleed()));
        parts.map(|part| clip::simplify(&part)).collect()
    }

    /// Rings as drawn, and the size of the largest before it was cut.
    pub(crate) fn rings(&self, rings: &[Vec<Coord>]) -> (Vec<Vec<Point>>, f64) {
        let copies: Vec<_> = rings.iter().flat_map(|r| self.frame.copies(r.iter().copied(), true)).collect();
        let size = copies.iter().map(|ring| sea::area(ring).abs()).fold(0.0, f64::max);
        let cut = copies.iter().map(|ring| clip::simplify(&clip::ring(ring, &self.frame.bleed())));
        (cut.filter(|ring| ring.len() > 2).collect(), size)
    }

    fn strokes(&mut self, look: &LineLook, drawn: &[Vec<Point>], fetched: bool) {
        let seen = Rect::of(drawn.iter().flatten()).is_some_and(|a| a.width().max(a.height()) >= TINY);
        for (order, style) in look.strokes.iter().filter(|_| seen) {
            self.push(*order, *style, !fetched, drawn.to_vec(), false);
        }
    }

    pub(crate) fn push(
        &mut self,
        order: Order,
        style: Style,
        faded: bool,
        paths: Vec<Vec<Point>>,
        closed: bool,
    ) {
        if !paths.is_empty() {
            let style = if faded { style.faded() } else { style };
            self.items.push(Item { order, style, faded, paths, closed });
        }
    }
}
