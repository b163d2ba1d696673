//! Where along a line a text may stand: where the line is straight for as long as the text is wide.

use crate::project::{Point, Rect};

/// How far the line may be from the text's middle line, in font sizes.
const BEND: f64 = 0.3;
/// Places tried on a line at most.
const TRIES: f64 = 200.0;

/// A place for a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spot {
    /// The text's middle.
    pub(crate) at: Point,
    /// Degrees, clockwise, -90 to 90: never upside down.
    pub(crate) angle: f64,
}

impl Spot {
    /// Boxes that cover a turned text.
    pub(crate) fn boxes(&self, width: f64, height: f64) -> Vec<Rect> {
        let (sin, cos) = self.angle.to_radians().sin_cos();
        // A turned square is at most this much larger.
        let side = height * (sin.abs() + cos.abs());
        let steps = (width / height).ceil().max(1.0);
        let mut out = Vec::new();
        let mut step = 0.5;
        while step < steps {
            let off = (step / steps - 0.5) * width;
            out.push(Rect::around(Point { x: self.at.x + off * cos, y: self.at.y + off * sin }, side, side));
            step += 1.0;
        }
        out
    }
}

/// The places for a text of this width, those nearest to the line's middle first.
pub(crate) fn spots(path: &[Point], width: f64, size: f64) -> Vec<Spot> {
    let line = Measured::new(path);
    let room = line.length() - width - size;
    if room < 0.0 {
        return Vec::new();
    }
    let pace = (room / TRIES).max(size);
    let middle = line.length() / 2.0;
    let mut out = Vec::new();
    let mut off = 0.0;
    while off <= room / 2.0 {
        out.extend(line.spot(middle + off, width, size));
        if off > 0.0 {
            out.extend(line.spot(middle - off, width, size));
        }
        off += pace;
    }
    out
}

/// A line with the distance of each point from its beginning.
struct Measured<'a> {
    path: &'a [Point],
    to: Vec<f64>,
}

impl Measured<'_> {
    fn new(path: &[Point]) -> Measured<'_> {
        let mut sum = 0.0;
        let steps = path.windows(2).map(|pair| match pair {
            [a, b] => a.distance(*b),
            _ => 0.0,
        });
        let to = std::iter::once(0.0).chain(steps.map(|step| {
            sum += step;
            sum
        }));
        Measured { path, to: to.collect() }
    }

    fn length(&self) -> f64 {
        self.to.last().copied().unwrap_or(0.0)
    }

    fn at(&self, distance: f64) -> Option<Point> {
        let after = self.to.partition_point(|to| *to < distance).max(1);
        let (from, until) = (self.to.get(after - 1)?, self.to.get(after)?);
        let share = if until > from { (distance - from) / (until - from) } else { 0.0 };
        Some(self.path.get(after - 1)?.toward(*self.path.get(after)?, share.clamp(0.0, 1.0)))
    }

    /// The place around this distance from the beginning, if the line is straight enough there.
    fn spot(&self, around: f64, width: f64, size: f64) -> Option<Spot> {
        let half = width / 2.0;
        let (a, b) = (self.at(around - half)?, self.at(around + half)?);
        let straight = [0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875].iter().all(|&share| {
            self.at(around - half + width * share)
                .is_some_and(|p| p.distance(a.toward(b, share)) <= size * BEND)
        });
        let (a, b) = if b.x < a.x { (b, a) } else { (a, b) };
        let angle = (b.y - a.y).atan2(b.x - a.x).to_degrees();
        straight.then(|| Spot { at: a.toward(b, 0.5), angle })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(points: &[(f64, f64)]) -> Vec<Point> {
        points.iter().map(|&(x, y)| Point { x, y }).collect()
    }

    #[test]
    fn the_middle_of_a_straight_line_comes_first() {
        let found = spots(&path(&[(200.0, 10.0), (0.0, 10.0)]), 60.0, 10.0);
        assert_eq!(found[0], Spot { at: Point { x: 100.0, y: 10.0 }, angle: 0.0 });
        assert!(found.iter().all(|s| (30.0..=170.0).contains(&s.at.x)));
        assert_eq!(spots(&path(&[(0.0, 0.0), (50.0, 0.0)]), 60.0, 10.0), []);
        assert_eq!(spots(&[], 60.0, 10.0), []);
    }

    #[test]
    fn corners_are_avoided() {
        let found = spots(&path(&[(0.0, 0.0), (100.0, 0.0), (100.0, 100.0)]), 60.0, 10.0);
        assert!(!found.is_empty());
        assert!(found.iter().all(|s| s.angle.abs() < 15.0 || s.angle.abs() > 75.0), "{found:?}");
    }

    #[test]
    fn boxes_cover_the_text() {
        let spot = Spot { at: Point { x: 0.0, y: 0.0 }, angle: 30.0 };
        let boxes = spot.boxes(100.0, 12.0);
        let (sin, cos) = 30.0_f64.to_radians().sin_cos();
        for (x, y) in [(-50.0, -6.0), (50.0, 6.0), (0.0, 6.0), (-50.0, 6.0), (20.0, -6.0)] {
            let at = Point { x: x * cos - y * sin, y: x * sin + y * cos };
            assert!(boxes.iter().any(|b| b.grown(0.01).holds(at)), "{x} {y}");
        }
    }
}
