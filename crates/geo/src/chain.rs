//! Ways that end where others begin, joined into lines and rings.

use crate::feature::{Member, WayNode};
use crate::id::ElementKind;
use kappadb_core::Coord;
use std::collections::{BTreeMap, VecDeque};

/// Nodes and where they are.
pub type Located = Vec<(i64, Coord)>;

/// Those members that are ways and bound the relation's area.
pub fn bounds(members: &[Member]) -> impl Iterator<Item = &Member> {
    members.iter().filter(|m| m.kind == ElementKind::Way && matches!(m.role.as_str(), "" | "outer" | "inner"))
}

/// The stretches of a way of which it is known where they are: one, unless the map ends there.
pub fn runs(nodes: &[WayNode]) -> Vec<Located> {
    let known = nodes.split(|node| node.at.is_none()).filter(|run| run.len() > 1);
    known.filter_map(located).collect()
}

/// The nodes of a way, if it is known where they all are.
pub fn located(nodes: &[WayNode]) -> Option<Located> {
    nodes.iter().map(|node| Some((node.id, node.at?))).collect()
}

/// True if it ends where it begins, and has an inside.
pub fn is_ring(path: &[(i64, Coord)]) -> bool {
    path.len() >= 4 && path.first().map(|(id, _)| id) == path.last().map(|(id, _)| id)
}

/// Whether ways may be turned around to be joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// They have no direction.
    Either,
    /// Their direction means something.
    Never,
}

/// Joins ways at their ends into paths as long as may be. Each way is in one path.
pub fn join(ways: Vec<Located>, turn: Turn) -> Vec<Located> {
    let mut ends = Ends::of(ways);
    let mut out = Vec::new();
    while let Some(way) = ends.next() {
        let mut path: VecDeque<(i64, Coord)> = way.into();
        while let Some(more) = open_end(path.back(), &path).and_then(|id| ends.onward(id, turn)) {
            path.extend(more.into_iter().skip(1));
        }
        while let Some(more) = open_end(path.front(), &path).and_then(|id| ends.backward(id, turn)) {
            more.into_iter().rev().skip(1).for_each(|node| path.push_front(node));
        }
        out.push(path.into());
    }
    out
}

/// The node at an end, unless the path is a ring.
fn open_end(end: Option<&(i64, Coord)>, path: &VecDeque<(i64, Coord)>) -> Option<i64> {
    let id = |node: &(i64, Coord)| node.0;
    let closed = path.len() > 1 && path.front().map(id) == path.back().map(id);
    end.map(id).filter(|_| !closed)
}

fn reversed(mut way: Located) -> Located {
    way.reverse();
    way
}

/// Ways that are not in a path yet, by their ends.
struct Ends {
    ways: Vec<Option<Located>>,
    first: BTreeMap<i64, Vec<usize>>,
    last: BTreeMap<i64, Vec<usize>>,
    seen: usize,
}

impl Ends {
    fn of(ways: Vec<Located>) -> Ends {
        let (mut first, mut last) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
        for (i, way) in ways.iter().enumerate().rev() {
            if let (Some((a, _)), Some((b, _))) = (way.first(), way.last()) {
                first.entry(*a).or_default().push(i);
                last.entry(*b).or_default().push(i);
            }
        }
        Ends { ways: ways.into_iter().map(Some).collect(), first, last, seen: 0 }
    }

    fn next(&mut self) -> Option<Located> {
        while let Some(way) = self.ways.get_mut(self.seen) {
            self.seen += 1;
            if let Some(way) = way.take() {
                return Some(way);
            }
        }
        None
    }

    /// A way that goes on from this node.
    fn onward(&mut self, id: i64, turn: Turn) -> Option<Located> {
        self.starting(id).or_else(|| if turn == Turn::Either { self.ending(id).map(reversed) } else { None })
    }

    /// A way that leads to this node.
    fn backward(&mut self, id: i64, turn: Turn) -> Option<Located> {
        self.ending(id).or_else(|| if turn == Turn::Either { self.starting(id).map(reversed) } else { None })
    }

    fn starting(&mut self, id: i64) -> Option<Located> {
        take(&mut self.ways, self.first.get_mut(&id)?)
    }

    fn ending(&mut self, id: i64) -> Option<Located> {
        take(&mut self.ways, self.last.get_mut(&id)?)
    }
}

fn take(ways: &mut [Option<Located>], from: &mut Vec<usize>) -> Option<Located> {
    while let Some(i) = from.pop() {
        if let Some(way) = ways.get_mut(i).and_then(Option::take) {
            return Some(way);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(ids: &[i64]) -> Located {
        ids.iter().map(|&id| (id, Coord { lon: i32::try_from(id).unwrap(), lat: 0 })).collect()
    }

    fn ids(paths: &[Located]) -> Vec<Vec<i64>> {
        paths.iter().map(|path| path.iter().map(|(id, _)| *id).collect()).collect()
    }

    #[test]
    fn ways_are_turned_to_make_a_ring() {
        let joined =
            join(vec![way(&[1, 2, 3]), way(&[5, 4, 3]), way(&[5, 6, 1]), way(&[8, 9])], Turn::Either);
        assert_eq!(ids(&joined), [vec![1, 2, 3, 4, 5, 6, 1], vec![8, 9]]);
        assert!(is_ring(&joined[0]) && !is_ring(&joined[1]));
    }

    #[test]
    fn ways_with_a_direction_keep_it() {
        let joined = join(vec![way(&[3, 4]), way(&[1, 3]), way(&[5, 4])], Turn::Never);
        assert_eq!(ids(&joined), [vec![1, 3, 4], vec![5, 4]]);
    }
}
