//! What features are made of, and what that is made of: ways of nodes, relations of members, relations of relations.

use std::collections::{BTreeSet, VecDeque};

/// What [`expand`] reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expansion<T> {
    /// What the lookup knows, the nearest first, each once.
    pub found: Vec<T>,
    /// The ids of what is referred to and the lookup does not know.
    pub missing: Vec<String>,
    /// The ids of what is referred to from the deepest level only, and was not looked up.
    pub beyond: Vec<String>,
}

impl<T> Default for Expansion<T> {
    fn default() -> Self {
        Expansion { found: Vec::new(), missing: Vec::new(), beyond: Vec::new() }
    }
}

/// Follows references from `ids`, level by level, `depth` levels down: with 0 only `ids` themselves are looked up.
///
/// `lookup` gives what is known of an id and what it refers to ([`Feature::refs`](crate::Feature::refs)), or none. It is
/// asked once for each id, so relations that contain each other, or themselves, do no harm. Its first error ends it.
pub fn expand<T, E>(
    ids: impl IntoIterator<Item = String>,
    depth: usize,
    mut lookup: impl FnMut(&str) -> Result<Option<(T, Vec<String>)>, E>,
) -> Result<Expansion<T>, E> {
    let mut expansion = Expansion::default();
    let (mut seen, mut queue) = (BTreeSet::new(), VecDeque::new());
    for id in ids {
        visit(id, 0, &mut seen, &mut queue);
    }
    while let Some((id, level)) = queue.pop_front() {
        if level > depth {
            expansion.beyond.push(id);
            continue;
        }
        match lookup(&id)? {
            None => expansion.missing.push(id),
            Some((found, refs)) => {
                refs.into_iter().for_each(|id| visit(id, level.saturating_add(1), &mut seen, &mut queue));
                expansion.found.push(found);
            }
        }
    }
    Ok(expansion)
}

fn visit(id: String, level: usize, seen: &mut BTreeSet<String>, queue: &mut VecDeque<(String, usize)>) {
    if seen.insert(id.clone()) {
        queue.push_back((id, level));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    type Graph = BTreeMap<String, Vec<String>>;

    fn walk(graph: &Graph, ids: &[&str], depth: usize) -> Expansion<String> {
        let lookup = |id: &str| Ok::<_, Infallible>(graph.get(id).map(|refs| (id.to_owned(), refs.clone())));
        expand(ids.iter().map(|id| (*id).to_owned()), depth, lookup).unwrap()
    }

    fn graph(edges: &[(&str, &[&str])]) -> Graph {
        let owned = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        edges.iter().map(|(id, refs)| ((*id).to_owned(), owned(refs))).collect()
    }

    #[test]
    fn relations_that_contain_each_other_end() {
        let graph =
            graph(&[("r1", &["r2", "r1", "w1"]), ("r2", &["r1", "n9"]), ("w1", &["n1", "n1"]), ("n1", &[])]);
        let all = walk(&graph, &["r1"], usize::MAX);
        assert_eq!(all.found, ["r1", "r2", "w1", "n1"]);
        assert_eq!(all.missing, ["n9"]);
        assert!(all.beyond.is_empty());
    }

    #[test]
    fn depth_is_counted_on_the_shortest_way() {
        let graph = graph(&[("a", &["b", "d"]), ("b", &["c"]), ("c", &["d"]), ("d", &["e"])]);
        assert_eq!(
            walk(&graph, &["a"], 0),
            Expansion { found: vec!["a".into()], missing: vec![], beyond: vec!["b".into(), "d".into()] }
        );
        let one = walk(&graph, &["a"], 1);
        assert_eq!(
            (one.found, one.beyond),
            (vec!["a".into(), "b".into(), "d".into()], vec!["c".into(), "e".into()])
        );
        assert_eq!(walk(&graph, &["a"], 2).missing, ["e"]);
        assert_eq!(walk(&graph, &["a", "zz", "a"], 0).missing, ["zz"]);
    }

    #[test]
    fn an_error_of_the_lookup_ends_it() {
        let failed = expand(["n1".to_owned()], 1, |_| Err::<Option<((), Vec<String>)>, _>("disk"));
        assert_eq!(failed, Err("disk"));
    }

    proptest! {
        #[test]
        fn all_that_can_be_reached_is_found_or_missing_and_nothing_twice(
            edges in prop::collection::btree_map("[a-f]", prop::collection::vec("[a-h]", 0..4), 0..6),
            depth in prop_oneof![0usize..4, Just(usize::MAX)],
        ) {
            let Expansion { found, missing, beyond } = walk(&edges, &["a"], depth);
            prop_assert!(found.iter().all(|id| edges.contains_key(id)));
            prop_assert!(missing.iter().all(|id| !edges.contains_key(id)));
            let mut all: Vec<_> = found.iter().chain(&missing).chain(&beyond).collect();
            let count = all.len();
            all.sort();
            all.dedup();
            prop_assert_eq!(all.len(), count);
            for target in found.iter().flat_map(|id| &edges[id]) {
                prop_assert!(all.contains(&target));
            }
            prop_assert!(depth < usize::MAX || beyond.is_empty());
        }
    }
}
