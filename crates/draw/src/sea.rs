//! The sea, which OpenStreetMap does not map as an area: its coastlines have land on the left and water on the right.

use crate::clip;
use crate::project::{Point, Rect};
use std::collections::BTreeSet;

/// From the edge, in units.
const NEAR: f64 = 110.0;

/// The water inside a box, as rings to be filled by the even-odd rule, from coastlines joined as far as they go. None
/// if there is no coast in the box, or one that ends in the middle of it, so that nobody knows which side is wet. One that ends near the edge, as where a map was cut out, is
/// taken to go on to the edge.
pub(crate) fn rings(coasts: &[Vec<Point>], to: &Rect) -> Option<Vec<Vec<Point>>> {
    let mut whole = Vec::new();
    let mut pieces = Vec::new();
    for coast in coasts {
        let closed = coast.first() == coast.last();
        if closed && coast.iter().all(|at| to.holds(*at)) {
            whole.push(coast.clone());
        } else {
            pieces.extend(cut(coast, closed, to).into_iter().map(|piece| reach_edge(piece, to)));
        }
    }
    if whole.is_empty() && pieces.is_empty() {
        return None;
    }
    if pieces.is_empty() && largest_is_island(&whole) {
        whole.push(corners(to).to_vec());
    }
    whole.extend(close(pieces, to)?);
    Some(whole)
}

/// The parts of a coast inside the box; of a closed one, the part over its beginning is one.
fn cut(coast: &[Point], closed: bool, to: &Rect) -> Vec<Vec<Point>> {
    let mut parts = clip::line(coast, to);
    if closed
        && parts.len() > 1
        && parts.first().and_then(|p| p.first()) == parts.last().and_then(|p| p.last())
    {
        let first = parts.remove(0);
        if let Some(last) = parts.last_mut() {
            last.extend(first.into_iter().skip(1));
        }
    }
    parts
}

fn reach_edge(mut piece: Vec<Point>, to: &Rect) -> Vec<Point> {
    if let Some(on) = piece.first().and_then(|at| nearest_on_edge(*at, to)) {
        piece.insert(0, on);
    }
    let last = piece.last().and_then(|at| nearest_on_edge(*at, to));
    piece.extend(last);
    piece
}

/// The nearest place on the edge, if it is near.
fn nearest_on_edge(at: Point, to: &Rect) -> Option<Point> {
    let across = [to.left, to.right].map(|x| Point { x, ..at });
    let places = across.into_iter().chain([to.top, to.bottom].map(|y| Point { y, ..at }));
    places.min_by(|a, b| at.distance(*a).total_cmp(&at.distance(*b))).filter(|on| at.distance(*on) < NEAR)
}

/// Screen coordinates: islands, with land on the left, go around against the clock, which is a negative area here.
fn largest_is_island(rings: &[Vec<Point>]) -> bool {
    let areas = rings.iter().map(|ring| area(ring));
    areas.max_by(|a, b| a.abs().total_cmp(&b.abs())).is_some_and(|area| area < 0.0)
}

/// Twice the area, positive if the ring goes around with the clock.
pub(crate) fn area(ring: &[Point]) -> f64 {
    let Some(last) = ring.last() else { return 0.0 };
    let pairs = std::iter::once(last).chain(ring).zip(ring);
    pairs.map(|(a, b)| a.x * b.y - b.x * a.y).sum()
}

fn corners(to: &Rect) -> [Point; 4] {
    let corner = |x, y| Point { x, y };
    [
        corner(to.left, to.top),
        corner(to.right, to.top),
        corner(to.right, to.bottom),
        corner(to.left, to.bottom),
    ]
}

/// Joins coasts that go from edge to edge along the edge, with the clock from where one leaves to where the next one
/// comes in: on that way, the water is on the right.
fn close(pieces: Vec<Vec<Point>>, to: &Rect) -> Option<Vec<Vec<Point>>> {
    let around = 2.0 * (to.width() + to.height());
    let mut ends = Vec::new();
    for piece in &pieces {
        ends.push((along(*piece.first()?, to)?, along(*piece.last()?, to)?));
    }
    let mut starts: BTreeSet<(u64, usize)> =
        ends.iter().enumerate().map(|(i, (start, _))| (start.to_bits(), i)).collect();
    let mut out = Vec::new();
    while let Some((_, first)) = starts.first().copied() {
        let mut ring = Vec::new();
        let mut current = first;
        loop {
            ring.extend_from_slice(pieces.get(current)?);
            let (_, leave) = *ends.get(current)?;
            let next = starts.range((leave.to_bits(), 0)..).next().or_else(|| starts.first()).copied()?;
            starts.remove(&next);
            let (enter, _) = *ends.get(next.1)?;
            ring.extend(edge(leave, if enter < leave { enter + around } else { enter }, to));
            current = next.1;
            if current == first {
                break;
            }
        }
        out.push(ring);
    }
    Some(out)
}

/// The corners between two places on the edge.
fn edge(from: f64, until: f64, to: &Rect) -> Vec<Point> {
    let around = 2.0 * (to.width() + to.height());
    let places = [0.0, to.width(), to.width() + to.height(), 2.0 * to.width() + to.height()];
    let both = [0.0, around].into_iter().flat_map(|turn| places.map(|place| place + turn));
    let passed =
        both.zip(corners(to).into_iter().cycle()).filter(|(place, _)| from < *place && *place < until);
    passed.map(|(_, corner)| corner).collect()
}

/// How far along the edge a point is, from the top left with the clock; none if it is not on the edge.
fn along(at: Point, to: &Rect) -> Option<f64> {
    let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
    let (x, y) = ((at.x - to.left).max(0.0), (at.y - to.top).max(0.0));
    match at {
        _ if near(at.y, to.top) => Some(x),
        _ if near(at.x, to.right) => Some(to.width() + y),
        _ if near(at.y, to.bottom) => Some(2.0 * to.width() + to.height() - x),
        _ if near(at.x, to.left) => Some((2.0 * (to.width() + to.height()) - y).max(0.0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: Rect = Rect { left: 0.0, top: 0.0, right: 100.0, bottom: 60.0 };

    fn path(points: &[(f64, f64)]) -> Vec<Point> {
        points.iter().map(|&(x, y)| Point { x, y }).collect()
    }

    fn wet(coasts: &[Vec<Point>]) -> Option<f64> {
        rings(coasts, &BOX).map(|rings| rings.iter().map(|ring| area(ring)).sum::<f64>() / 2.0)
    }

    #[test]
    fn water_is_on_the_right() {
        let east = path(&[(-10.0, 20.0), (110.0, 20.0)]);
        assert_eq!(wet(std::slice::from_ref(&east)), Some(100.0 * 40.0));
        let west: Vec<Point> = east.into_iter().rev().collect();
        assert_eq!(wet(&[west]), Some(100.0 * 20.0));
    }

    #[test]
    fn two_coasts_make_a_channel_or_two_seas() {
        let (north, south) = (path(&[(-10.0, 20.0), (110.0, 20.0)]), path(&[(110.0, 40.0), (-10.0, 40.0)]));
        assert_eq!(wet(&[north.clone(), south.clone()]), Some(100.0 * 20.0));
        let turned = |line: Vec<Point>| line.into_iter().rev().collect::<Vec<_>>();
        assert_eq!(wet(&[turned(north), turned(south)]), Some(100.0 * 40.0));
    }

    #[test]
    fn islands_lie_in_the_sea_and_lakes_on_land() {
        let island = path(&[(40.0, 20.0), (40.0, 40.0), (60.0, 40.0), (60.0, 20.0), (40.0, 20.0)]);
        assert_eq!(wet(std::slice::from_ref(&island)), Some(6000.0 - 400.0));
        let lake: Vec<Point> = island.into_iter().rev().collect();
        assert_eq!(wet(&[lake]), Some(400.0));
    }

    #[test]
    fn an_island_at_the_edge_is_cut() {
        let island =
            path(&[(5.0, 40.0), (20.0, 40.0), (20.0, 20.0), (-10.0, 20.0), (-10.0, 40.0), (5.0, 40.0)]);
        assert_eq!(wet(&[island]), Some(6000.0 - 400.0));
    }

    #[test]
    fn a_coast_that_ends_says_nothing_unless_it_almost_reaches_the_edge() {
        let large = BOX.grown(2.0 * NEAR);
        assert_eq!(rings(&[path(&[(-1000.0, 20.0), (50.0, 20.0)])], &large), None);
        assert_eq!(wet(&[path(&[(-10.0, 20.0), (99.0, 20.0)])]), Some(100.0 * 40.0));
        assert_eq!(rings(&[], &BOX), None);
    }
}
