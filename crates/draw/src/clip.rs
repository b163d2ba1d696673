//! Cutting paths to a box, and leaving out what the eye would not see. All in linear time: paths may come from anybody.

use crate::project::{Point, Rect};

/// How far a line may stray where points are left out, in units.
const TOLERANCE: f64 = 0.3;

/// The parts of a line inside a box.
pub(crate) fn line(path: &[Point], to: &Rect) -> Vec<Vec<Point>> {
    let mut out: Vec<Vec<Point>> = Vec::new();
    for pair in path.windows(2) {
        let &[a, b] = pair else { continue };
        let Some((from, until)) = segment(a, b, to) else { continue };
        match out.last_mut() {
            Some(part) if part.last() == Some(&from) => part.push(until),
            _ => out.push(vec![from, until]),
        }
    }
    out
}

/// The part of a segment inside a box (Liang and Barsky).
fn segment(a: Point, b: Point, to: &Rect) -> Option<(Point, Point)> {
    let (dx, dy) = (b.x - a.x, b.y - a.y);
    let sides = [(-dx, a.x - to.left), (dx, to.right - a.x), (-dy, a.y - to.top), (dy, to.bottom - a.y)];
    let (mut enter, mut leave) = (0.0_f64, 1.0_f64);
    for (speed, room) in sides {
        if speed == 0.0 {
            if room < 0.0 {
                return None;
            }
        } else if speed < 0.0 {
            enter = enter.max(room / speed);
        } else {
            leave = leave.min(room / speed);
        }
    }
    let at = |share: f64, end: Point, whole: f64| if share == whole { end } else { a.toward(b, share) };
    (enter <= leave).then(|| (at(enter, a, 0.0), at(leave, b, 1.0)))
}

/// The part of a ring inside a box (Sutherland and Hodgman), without the repeated last point. Parts of it that the box
/// separates stay joined along its edge.
pub(crate) fn ring(path: &[Point], to: &Rect) -> Vec<Point> {
    let inside: [fn(&Rect, Point) -> f64; 4] =
        [|r, p| p.x - r.left, |r, p| r.right - p.x, |r, p| p.y - r.top, |r, p| r.bottom - p.y];
    let mut ring = path.to_vec();
    if ring.len() > 1 && ring.first() == ring.last() {
        ring.pop();
    }
    for depth in inside {
        let mut cut = Vec::with_capacity(ring.len());
        let mut before = ring.last().copied();
        for &at in &ring {
            if let Some(before) = before {
                let (from, into) = (depth(to, before), depth(to, at));
                if (from < 0.0) != (into < 0.0) {
                    cut.push(before.toward(at, from / (from - into)));
                }
            }
            if depth(to, at) >= 0.0 {
                cut.push(at);
            }
            before = Some(at);
        }
        ring = cut;
    }
    ring
}

/// A path with the points left out that are within the tolerance of the line between their neighbours: from each kept point,
/// as far as there is a direction that passes all points between closely enough. The first and the last point stay.
pub(crate) fn simplify(path: &[Point]) -> Vec<Point> {
    let Some((&first, rest)) = path.split_first() else { return Vec::new() };
    let mut out = vec![first];
    let mut cone = Cone::new(first);
    let mut before = first;
    for &at in rest {
        if !cone.accepts(at) {
            out.push(before);
            cone = Cone::new(before);
            cone.accepts(at);
        }
        before = at;
    }
    if !rest.is_empty() {
        out.push(before);
    }
    out
}

/// The directions from a point that pass all others so far.
struct Cone {
    tip: Point,
    /// Radians of the first direction, and how far it may turn to either side.
    open: Option<(f64, f64, f64)>,
    reach: f64,
}

impl Cone {
    fn new(tip: Point) -> Cone {
        Cone { tip, open: None, reach: 0.0 }
    }

    fn accepts(&mut self, at: Point) -> bool {
        let distance = self.tip.distance(at);
        if distance <= TOLERANCE {
            return self.reach <= TOLERANCE;
        }
        if distance < self.reach - TOLERANCE {
            return false;
        }
        self.reach = self.reach.max(distance);
        let angle = (at.y - self.tip.y).atan2(at.x - self.tip.x);
        let spread = (TOLERANCE / distance).asin();
        let Some((base, low, high)) = self.open else {
            self.open = Some((angle, -spread, spread));
            return true;
        };
        let turn = (angle - base + 3.0 * std::f64::consts::PI).rem_euclid(std::f64::consts::TAU)
            - std::f64::consts::PI;
        self.open = Some((base, low.max(turn - spread), high.min(turn + spread)));
        (low..=high).contains(&turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOX: Rect = Rect { left: 0.0, top: 0.0, right: 100.0, bottom: 100.0 };

    fn points() -> impl Strategy<Value = Vec<Point>> {
        prop::collection::vec((-150.0..250.0f64, -150.0..250.0f64).prop_map(|(x, y)| Point { x, y }), 0..40)
    }

    fn off(at: Point, a: Point, b: Point) -> f64 {
        let length = a.distance(b);
        let share = if length == 0.0 {
            0.0
        } else {
            (((at.x - a.x) * (b.x - a.x) + (at.y - a.y) * (b.y - a.y)) / (length * length)).clamp(0.0, 1.0)
        };
        at.distance(a.toward(b, share))
    }

    #[test]
    fn a_line_that_leaves_and_comes_back_is_two() {
        let path = [(-10.0, 50.0), (50.0, 50.0), (50.0, 150.0), (80.0, 150.0), (80.0, 90.0)];
        let parts = line(&path.map(|(x, y)| Point { x, y }), &BOX);
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0][0], Point { x: 0.0, y: 50.0 });
        assert_eq!(parts[1].last(), Some(&Point { x: 80.0, y: 90.0 }));
    }

    proptest! {
        #[test]
        fn what_is_cut_is_inside(path in points()) {
            let near = BOX.grown(1e-6);
            for at in line(&path, &BOX).iter().flatten().chain(&ring(&path, &BOX)) {
                prop_assert!(near.holds(*at), "{at:?}");
            }
        }

        #[test]
        fn what_is_inside_is_not_cut(path in points()) {
            let inside: Vec<Point> = path.into_iter().filter(|p| BOX.holds(*p)).collect();
            if inside.len() > 1 {
                prop_assert_eq!(line(&inside, &BOX), vec![inside.clone()]);
                prop_assert_eq!(ring(&inside, &BOX), inside);
            }
        }

        #[test]
        fn simplified_lines_stay_close(path in points(), shrink in 0.001..1.0f64) {
            let path: Vec<Point> = path.iter().map(|p| Point { x: p.x * shrink, y: p.y * shrink }).collect();
            let simple = simplify(&path);
            prop_assert_eq!(simple.first(), path.first());
            prop_assert_eq!(simple.last(), path.last());
            for at in &path {
                let near = simple.windows(2).map(|s| off(*at, s[0], s[1])).fold(f64::MAX, f64::min);
                prop_assert!(path.len() < 2 || near <= 2.0 * TOLERANCE, "{} away", near);
            }
        }
    }
}
