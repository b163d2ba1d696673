//! From the globe to the paper: equirectangular, with the longitudes shortened as they are at the view's middle
//! latitude, so that shapes and lengths are right there. Units are those of the viewBox; y grows downwards.

use kappadb_core::{Coord, Extent, GeoBox};

/// Length of the longer side.
const SIDE: f64 = 1400.0;
/// How far outside the paper paths may go, so that the ends and edges made by cutting are not seen.
const MARGIN: f64 = 24.0;
const METRES_PER_DEGREE: f64 = 111_320.0;

/// A place on the paper.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
}

impl Point {
    pub(crate) fn distance(self, other: Point) -> f64 {
        (self.x - other.x).hypot(self.y - other.y)
    }

    /// The point at `share` of the way to `other`; 0 is here, 1 is there.
    pub(crate) fn toward(self, other: Point, share: f64) -> Point {
        Point { x: self.x + (other.x - self.x) * share, y: self.y + (other.y - self.y) * share }
    }
}

/// A box on the paper, `left <= right` and `top <= bottom`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rect {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
}

impl Rect {
    pub(crate) fn around(at: Point, width: f64, height: f64) -> Rect {
        let (w, h) = (width / 2.0, height / 2.0);
        Rect { left: at.x - w, top: at.y - h, right: at.x + w, bottom: at.y + h }
    }

    /// The smallest box around all of these; none if there are none.
    pub(crate) fn of<'a>(points: impl IntoIterator<Item = &'a Point>) -> Option<Rect> {
        let boxes = points.into_iter().map(|at| Rect::around(*at, 0.0, 0.0));
        boxes.reduce(|a, b| Rect {
            left: a.left.min(b.left),
            top: a.top.min(b.top),
            right: a.right.max(b.right),
            bottom: a.bottom.max(b.bottom),
        })
    }

    pub(crate) fn grown(&self, by: f64) -> Rect {
        Rect { left: self.left - by, top: self.top - by, right: self.right + by, bottom: self.bottom + by }
    }

    pub(crate) fn width(&self) -> f64 {
        self.right - self.left
    }

    pub(crate) fn height(&self) -> f64 {
        self.bottom - self.top
    }

    /// True if they share more than an edge.
    pub(crate) fn overlaps(&self, other: &Rect) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    pub(crate) fn contains(&self, other: &Rect) -> bool {
        self.left <= other.left
            && self.top <= other.top
            && other.right <= self.right
            && other.bottom <= self.bottom
    }

    pub(crate) fn holds(&self, at: Point) -> bool {
        self.contains(&Rect::around(at, 0.0, 0.0))
    }
}

/// The projection onto one piece of paper.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Degrees in the middle.
    lon: f64,
    /// Degrees at the top.
    north: f64,
    /// Units a degree of latitude.
    scale: f64,
    /// Degrees of latitude that a degree of longitude is as long as.
    narrow: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Frame {
    pub(crate) fn new(view: &Extent) -> Frame {
        let first = view.boxes().first().copied().unwrap_or(GeoBox::WORLD);
        let last = view.boxes().last().copied().unwrap_or(GeoBox::WORLD);
        let both = first.hull(&last);
        let (west, south) = Coord { lon: first.west, lat: both.south }.degrees();
        let (east, north) = Coord { lon: last.east, lat: both.north }.degrees();
        let east = if east < west { east + 360.0 } else { east };
        let narrow = ((south + north) / 2.0).to_radians().cos().max(0.01);
        // A view of no area still shows about ten metres.
        let (across, up) = (((east - west) * narrow).max(1e-4), (north - south).max(1e-4));
        let scale = SIDE / across.max(up);
        // A sliver would be an invisible picture. Whole units, so that the viewBox is the paper exactly.
        let side = |length: f64| (length * scale).max(SIDE / 5.0).round();
        let (width, height) = (side(across), side(up));
        let north = (south + north) / 2.0 + height / scale / 2.0;
        Frame { lon: (west + east) / 2.0, north, scale, narrow, width, height }
    }

    /// Units a metre in the middle of the paper.
    pub(crate) fn per_metre(&self) -> f64 {
        self.scale / METRES_PER_DEGREE
    }

    /// Degrees of latitude from the bottom to the top.
    pub(crate) fn degrees_up(&self) -> f64 {
        self.height / self.scale
    }

    pub(crate) fn paper(&self) -> Rect {
        Rect { left: 0.0, top: 0.0, right: self.width, bottom: self.height }
    }

    /// What paths are cut to.
    pub(crate) fn bleed(&self) -> Rect {
        self.paper().grown(MARGIN)
    }

    /// Where a position is, if that is on the paper.
    pub(crate) fn point(&self, at: Coord) -> Option<Point> {
        let (lon, lat) = at.degrees();
        Some(self.project(self.lon + wrapped(lon - self.lon), lat)).filter(|p| self.paper().holds(*p))
    }

    fn project(&self, lon: f64, lat: f64) -> Point {
        let x = self.width / 2.0 + (lon - self.lon) * self.narrow * self.scale;
        Point { x, y: (self.north - lat) * self.scale }
    }

    /// A path, as often as it comes by when going around the globe: where the view is as wide as the world, what crosses its
    /// edge appears on both sides. Each step is the short way; with `names`, as in GeoJSON, one from -180 to 180 degrees
    /// goes around the world. Not cut.
    pub(crate) fn copies(&self, path: impl IntoIterator<Item = Coord>, names: bool) -> Vec<Vec<Point>> {
        let unrolled = self.unroll(path, names);
        let bleed = self.bleed();
        let Some(around) = Rect::of(&unrolled) else { return Vec::new() };
        let world = 360.0 * self.narrow * self.scale;
        let shifts = [-2.0, -1.0, 0.0, 1.0, 2.0].map(|turns| turns * world).into_iter();
        // Touching counts: lines may have no height.
        let seen = shifts.filter(|dx| {
            let x = around.left + dx <= bleed.right && bleed.left <= around.right + dx;
            x && around.top <= bleed.bottom && bleed.top <= around.bottom
        });
        seen.map(|dx| unrolled.iter().map(|p| Point { x: p.x + dx, ..*p }).collect()).collect()
    }

    fn unroll(&self, path: impl IntoIterator<Item = Coord>, names: bool) -> Vec<Point> {
        let mut before: Option<(f64, f64)> = None;
        let mut out = Vec::new();
        for at in path {
            let (lon, lat) = at.degrees();
            let unrolled = match before {
                None => self.lon + wrapped(lon - self.lon),
                Some((from, unrolled)) => unrolled + step(lon - from, names),
            };
            before = Some((lon, unrolled));
            out.push(self.project(unrolled, lat));
        }
        out
    }
}

/// Degrees to what is the same on the globe in -180..180.
fn wrapped(degrees: f64) -> f64 {
    (degrees + 540.0).rem_euclid(360.0) - 180.0
}

fn step(degrees: f64, names: bool) -> f64 {
    let around = names && degrees.abs() == 360.0;
    if degrees.abs() <= 180.0 || around { degrees } else { wrapped(degrees) }
}
