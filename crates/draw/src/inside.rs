//! Where in an area a text may stand: where the area is widest, near its middle.

use crate::project::{Point, Rect};

/// Heights at which an area is measured.
const ROWS: u8 = 15;

/// Places where a text of this size lies in the area (even and odd rings, as it is painted), the best first.
pub(crate) fn spots(rings: &[Vec<Point>], around: &Rect, width: f64, height: f64) -> Vec<Point> {
    if around.width() < width || around.height() < height {
        return Vec::new();
    }
    let mut found: Vec<(f64, Point)> = Vec::new();
    for row in 1..=ROWS {
        let share = f64::from(row) / f64::from(ROWS + 1);
        let y = around.top + around.height() * share;
        let rows = [y - height / 2.0, y, y + height / 2.0].map(|y| spans(rings, y));
        for (left, right) in common(&rows).into_iter().filter(|(left, right)| right - left >= width) {
            // Room counts, but the middle is where people look.
            let score = (right - left) * (1.0 - (share - 0.5).abs());
            found.push((score, Point { x: (left + right) / 2.0, y }));
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.into_iter().map(|(_, at)| at).collect()
}

/// The parts of a row that are inside, from left to right.
fn spans(rings: &[Vec<Point>], y: f64) -> Vec<(f64, f64)> {
    let mut crossings = Vec::new();
    for ring in rings {
        let mut before = ring.last();
        for at in ring {
            if let Some(from) = before.filter(|from| (from.y > y) != (at.y > y)) {
                crossings.push(from.x + (at.x - from.x) * (y - from.y) / (at.y - from.y));
            }
            before = Some(at);
        }
    }
    crossings.sort_by(f64::total_cmp);
    crossings.chunks_exact(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?))).collect()
}

/// What lies in a span of each of these rows.
fn common(rows: &[Vec<(f64, f64)>; 3]) -> Vec<(f64, f64)> {
    let [first, rest @ ..] = rows;
    rest.iter().fold(first.clone(), |a, b| meet(&a, b))
}

fn meet(a: &[(f64, f64)], b: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut out = Vec::new();
    while let (Some(&&x), Some(&&y)) = (a.peek(), b.peek()) {
        let both = (x.0.max(y.0), x.1.min(y.1));
        if both.0 < both.1 {
            out.push(both);
        }
        if x.1 < y.1 {
            a.next()
        } else {
            b.next()
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(from: f64, to: f64) -> Vec<Point> {
        [(from, from), (to, from), (to, to), (from, to)].map(|(x, y)| Point { x, y }).to_vec()
    }

    #[test]
    fn the_middle_of_a_square_and_the_side_of_a_ring() {
        let around = Rect { left: 0.0, top: 0.0, right: 100.0, bottom: 100.0 };
        let whole = [square(0.0, 100.0)];
        assert_eq!(spots(&whole, &around, 50.0, 10.0)[0], Point { x: 50.0, y: 50.0 });
        assert_eq!(spots(&whole, &around, 101.0, 10.0), []);
        let holed = [square(0.0, 100.0), square(30.0, 70.0)];
        for at in spots(&holed, &around, 25.0, 10.0) {
            let hole = Rect { left: 30.0, top: 30.0, right: 70.0, bottom: 70.0 };
            assert!(!hole.overlaps(&Rect::around(at, 25.0, 10.0)), "{at:?}");
        }
    }
}
