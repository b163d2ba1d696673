//! Which boxes of the paper are taken: a grid, so that asking costs the same however much there is.

use crate::project::Rect;

/// Side of a cell, about that of a label.
const CELL: f64 = 48.0;

/// Boxes that may not be covered.
pub(crate) struct Occupied {
    paper: Rect,
    columns: usize,
    cells: Vec<Vec<Rect>>,
}

impl Occupied {
    /// Nothing on this paper is taken yet.
    pub(crate) fn new(paper: Rect) -> Occupied {
        let columns = cell(paper.width()) + 1;
        let rows = cell(paper.height()) + 1;
        Occupied { paper, columns, cells: vec![Vec::new(); columns * rows] }
    }

    /// Takes all of these boxes, or none if one of them is not free or not on the paper.
    pub(crate) fn take(&mut self, boxes: &[Rect]) -> bool {
        let free = boxes.iter().all(|b| self.is_free(b));
        if free {
            boxes.iter().for_each(|b| self.put(b));
        }
        free
    }

    fn is_free(&self, b: &Rect) -> bool {
        self.paper.contains(b)
            && self.around(b).filter_map(|i| self.cells.get(i)).flatten().all(|taken| !taken.overlaps(b))
    }

    fn put(&mut self, b: &Rect) {
        for i in self.around(b) {
            if let Some(cell) = self.cells.get_mut(i) {
                cell.push(*b);
            }
        }
    }

    fn around(&self, b: &Rect) -> impl Iterator<Item = usize> + use<> {
        let columns = self.columns;
        let (left, right) = (cell(b.left), cell(b.right).min(columns.saturating_sub(1)));
        (cell(b.top)..=cell(b.bottom)).flat_map(move |row| (left..=right).map(move |c| row * columns + c))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates; beyond the paper is no cell"
)]
fn cell(at: f64) -> usize {
    (at / CELL) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn boxes() -> impl Strategy<Value = Vec<Rect>> {
        let one = (-20.0..320.0f64, -20.0..220.0f64, 1.0..120.0f64, 1.0..60.0f64);
        let one = one.prop_map(|(x, y, w, h)| Rect { left: x, top: y, right: x + w, bottom: y + h });
        prop::collection::vec(one, 0..60)
    }

    proptest! {
        #[test]
        fn what_is_taken_is_what_is_free_of_all_taken_before(boxes in boxes()) {
            let paper = Rect { left: 0.0, top: 0.0, right: 300.0, bottom: 200.0 };
            let mut occupied = Occupied::new(paper);
            let mut taken: Vec<Rect> = Vec::new();
            for b in boxes {
                let free = paper.contains(&b) && !taken.iter().any(|t| t.overlaps(&b));
                prop_assert_eq!(occupied.take(&[b]), free);
                if free {
                    taken.push(b);
                }
            }
        }
    }
}
