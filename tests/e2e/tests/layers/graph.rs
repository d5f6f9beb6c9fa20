//! A graph of files, and its circles.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The files that each file imports.
pub(super) type Graph = BTreeMap<String, BTreeSet<String>>;

/// Returns the strongly connected components of more than `limit` files: sets of files each of
/// which imports all the others, directly or not.
pub(super) fn components(graph: &Graph, limit: usize) -> Vec<BTreeSet<&str>> {
    let reachable: BTreeMap<_, _> =
        graph.keys().map(|file| (file.as_str(), reachable(graph, file))).collect();
    let component = |file: &&str| -> BTreeSet<&str> {
        let mutual = reachable[*file].iter().filter(|other| reachable[**other].contains(file));
        mutual.copied().collect()
    };
    let components: BTreeSet<_> = reachable.keys().map(component).collect();
    components.into_iter().filter(|component| component.len() > limit).collect()
}

/// Returns all files that a file imports, directly or not.
fn reachable<'g>(graph: &'g Graph, from: &str) -> BTreeSet<&'g str> {
    let mut found = BTreeSet::new();
    let mut next: Vec<_> = graph[from].iter().map(String::as_str).collect();
    while let Some(file) = next.pop() {
        if found.insert(file) {
            next.extend(graph[file].iter().map(String::as_str));
        }
    }
    found
}

/// Returns a shortest circle through a file, from the file back to itself.
pub(super) fn shortest_circle<'g>(graph: &'g Graph, start: &'g str) -> Vec<&'g str> {
    let mut paths = VecDeque::from([vec![start]]);
    let mut visited = BTreeSet::new();
    while let Some(path) = paths.pop_front() {
        for next in graph[path[path.len() - 1]].iter().map(String::as_str) {
            let longer = [&path[..], &[next]].concat();
            if next == start {
                return longer;
            }
            if visited.insert(next) {
                paths.push_back(longer);
            }
        }
    }
    vec![start]
}

#[test]
fn a_component_holds_the_files_that_import_each_other() {
    let edges = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "e"), ("e", "d")];
    let mut graph = Graph::from([("f".to_owned(), BTreeSet::from(["a".to_owned()]))]);
    for (from, to) in edges {
        graph.entry(from.to_owned()).or_default().insert(to.to_owned());
    }
    assert_eq!(
        components(&graph, 1),
        [BTreeSet::from(["a", "b", "c"]), BTreeSet::from(["d", "e"])]
    );
    assert!(components(&graph, 3).is_empty());
    assert_eq!(shortest_circle(&graph, "a"), ["a", "b", "c", "a"]);
}
