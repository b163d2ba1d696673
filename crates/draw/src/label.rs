//! Names and symbols, put where there is room, the more important ones first. None covers another.

use crate::occupied::Occupied;
use crate::project::{Point, Rect};
use crate::style::Rgb;
use crate::text;
use crate::{along, inside};
use std::collections::BTreeMap;

/// Kept free around a text.
const GAP: f64 = 2.5;
/// A street's name comes again after this many units.
const REPEAT: f64 = 480.0;
/// Names beside a symbol are broken into lines about as wide as this.
const BESIDE: f64 = 92.0;

/// How a text looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Face {
    /// Of the font, in units.
    pub(crate) size: f64,
    pub(crate) colour: Rgb,
    pub(crate) bold: bool,
    pub(crate) italic: bool,
}

impl Face {
    pub(crate) const fn new(size: f64, colour: Rgb) -> Face {
        Face { size, colour, bold: false, italic: false }
    }

    pub(crate) const fn bold(self) -> Face {
        Face { bold: true, ..self }
    }

    pub(crate) const fn italic(self) -> Face {
        Face { italic: true, ..self }
    }

    /// About how wide a text will be.
    pub(crate) fn width(&self, text: &str) -> f64 {
        text::width(text, self.size) * if self.bold { 1.08 } else { 1.0 }
    }

    pub(crate) fn line_height(&self) -> f64 {
        self.size * 1.15
    }
}

/// A disc, perhaps with a picture on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Symbol {
    pub(crate) radius: f64,
    pub(crate) colour: Rgb,
    /// Path data in a box of 6 units around the middle, for a disc of radius 5; may be empty.
    pub(crate) glyph: &'static str,
}

/// Where a label may be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Place {
    /// Around a point.
    At(Point),
    /// The symbol there, the text beside it if there is room.
    Beside(Point, Symbol),
    /// In an area, given by its rings; the text may be wider than the area by this factor.
    Inside(Vec<Vec<Point>>, f64),
    /// Along a line.
    Along(Vec<Point>),
}

/// A label that somebody would like to see.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wish {
    /// The lesser comes first.
    pub(crate) priority: u8,
    /// Of those of one priority, the greater comes first.
    pub(crate) weight: f64,
    /// Empty for a symbol alone.
    pub(crate) text: String,
    pub(crate) face: Face,
    pub(crate) place: Place,
}

/// What is drawn in the end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Placed {
    /// Lines of text around a point, turned by an angle in degrees.
    Text { at: Point, angle: f64, lines: Vec<String>, face: Face },
    /// A disc.
    Disc { at: Point, symbol: Symbol },
}

/// Grants the wishes that can be granted. The order in which they come does not matter, unless they are equal.
pub(crate) fn place(mut wishes: Vec<Wish>, taken: &mut Occupied) -> Vec<Placed> {
    wishes.sort_by(|a, b| {
        let importance = a.priority.cmp(&b.priority).then(b.weight.total_cmp(&a.weight));
        importance.then_with(|| a.text.cmp(&b.text))
    });
    let mut placing = Placing { taken, out: Vec::new(), names: BTreeMap::new() };
    for wish in &wishes {
        placing.grant(wish);
    }
    placing.out
}

struct Placing<'a> {
    taken: &'a mut Occupied,
    out: Vec<Placed>,
    /// Where the names along lines are.
    names: BTreeMap<String, Vec<Point>>,
}

impl Placing<'_> {
    fn grant(&mut self, wish: &Wish) {
        match &wish.place {
            Place::At(at) => {
                let lines = text::wrap(&wish.text, wish.face.size, BESIDE * 1.6);
                self.text(*at, lines, wish.face);
            }
            Place::Beside(at, symbol) => self.beside(wish, *at, *symbol),
            Place::Inside(rings, slack) => self.inside(wish, rings, *slack),
            Place::Along(path) => self.along(wish, path),
        }
    }

    /// Text that is level, around a point.
    fn text(&mut self, at: Point, lines: Vec<String>, face: Face) -> bool {
        let (width, height) = size(&lines, &face);
        let granted = self.taken.take(&[Rect::around(at, width, height).grown(GAP)]);
        if granted {
            self.out.push(Placed::Text { at, angle: 0.0, lines, face });
        }
        granted
    }

    fn beside(&mut self, wish: &Wish, at: Point, symbol: Symbol) {
        if !self.taken.take(&[Rect::around(at, symbol.radius * 2.0, symbol.radius * 2.0).grown(0.5)]) {
            return;
        }
        self.out.push(Placed::Disc { at, symbol });
        if wish.text.is_empty() {
            return;
        }
        let lines = text::wrap(&wish.text, wish.face.size, BESIDE);
        let (width, height) = size(&lines, &wish.face);
        let away = symbol.radius + GAP + 1.0;
        let sides = [
            (0.0, away + height / 2.0),
            (0.0, -away - height / 2.0),
            (away + width / 2.0, 0.0),
            (-away - width / 2.0, 0.0),
        ];
        sides.iter().any(|(x, y)| self.text(Point { x: at.x + x, y: at.y + y }, lines.clone(), wish.face));
    }

    fn inside(&mut self, wish: &Wish, rings: &[Vec<Point>], slack: f64) {
        let Some(around) = Rect::of(rings.iter().flatten()) else { return };
        for room in [f64::MAX, around.width() * 0.9, around.width() * 0.55] {
            let lines = text::wrap(&wish.text, wish.face.size, room);
            let (width, height) = size(&lines, &wish.face);
            let spots = inside::spots(rings, &around, width / slack, height / slack);
            if spots.into_iter().any(|at| self.text(at, lines.clone(), wish.face)) {
                return;
            }
        }
    }

    fn along(&mut self, wish: &Wish, path: &[Point]) {
        let width = wish.face.width(&wish.text);
        for spot in along::spots(path, width, wish.face.size) {
            let said =
                self.names.get(&wish.text).is_some_and(|a| a.iter().any(|b| b.distance(spot.at) < REPEAT));
            if said || !self.taken.take(&spot.boxes(width, wish.face.size + GAP)) {
                continue;
            }
            self.names.entry(wish.text.clone()).or_default().push(spot.at);
            let lines = vec![wish.text.clone()];
            self.out.push(Placed::Text { at: spot.at, angle: spot.angle, lines, face: wish.face });
        }
    }
}

/// Width and height of lines of text.
fn size(lines: &[String], face: &Face) -> (f64, f64) {
    let width = lines.iter().map(|line| face.width(line)).fold(0.0, f64::max);
    (width, lines.iter().map(|_| face.line_height()).sum())
}
