//! Topic filters with wildcards, level by level.

use rustc_hash::FxHashMap;

/// Place of the root in [`Trie::nodes`].
const ROOT: usize = 0;

/// Filters with wildcards, each with a number.
///
/// The nodes lie in one vector and name each other by place: a filter may have tens of thousands of
/// levels, and nothing here recurses.
#[derive(Clone, Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    /// Places of nodes that are in no use.
    free: Vec<usize>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// Next level to place. A level that is `+` or `#` is a child like any other.
    children: FxHashMap<String, usize>,
    /// Number of the filter that ends here.
    number: Option<u64>,
}

impl Trie {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node::default()],
            free: Vec::new(),
        }
    }

    /// Adds `filter`, which must be well-formed, or gives it another number.
    pub(super) fn insert(&mut self, filter: &str, number: u64) {
        let mut place = ROOT;
        for level in filter.split('/') {
            place = match self.child(place, level) {
                Some(child) => child,
                None => self.add_child(place, level),
            };
        }
        if let Some(node) = self.nodes.get_mut(place) {
            node.number = Some(number);
        }
    }

    /// Removes `filter` and every node that served it alone.
    pub(super) fn remove(&mut self, filter: &str) {
        let mut place = ROOT;
        let mut path = Vec::new();
        for level in filter.split('/') {
            let Some(child) = self.child(place, level) else {
                return;
            };
            path.push((place, level));
            place = child;
        }
        if let Some(node) = self.nodes.get_mut(place) {
            node.number = None;
        }
        for (parent, level) in path.into_iter().rev() {
            let is_used = self
                .nodes
                .get(place)
                .is_none_or(|node| node.number.is_some() || !node.children.is_empty());
            if is_used {
                break;
            }
            if let Some(node) = self.nodes.get_mut(parent) {
                node.children.remove(level);
            }
            self.free.push(place);
            place = parent;
        }
    }

    /// Appends the numbers of all filters that match `topic`, in no particular order.
    ///
    /// Source: MQTT 3.1.1, 4.7.
    pub(super) fn matches(&self, topic: &str, out: &mut Vec<u64>) {
        if self
            .nodes
            .get(ROOT)
            .is_none_or(|root| root.children.is_empty())
        {
            return;
        }
        // Each entry is a node and what is left of the topic below it, `None` after its last level.
        let mut open = vec![(ROOT, Some(topic))];
        while let Some((place, rest)) = open.pop() {
            // MQTT-4.7.2-1: a leading wildcard never matches the topics a broker keeps for itself.
            let wildcards = place != ROOT || !topic.starts_with('$');
            if wildcards {
                // `a/#` matches `a` as well.
                out.extend(self.child(place, "#").and_then(|child| self.number(child)));
            }
            let Some(rest) = rest else {
                out.extend(self.number(place));
                continue;
            };
            let (level, below) = match rest.split_once('/') {
                Some((level, below)) => (level, Some(below)),
                None => (rest, None),
            };
            if wildcards {
                open.extend(self.child(place, "+").map(|child| (child, below)));
            }
            if !matches!(level, "+" | "#") {
                open.extend(self.child(place, level).map(|child| (child, below)));
            }
        }
    }

    fn child(&self, place: usize, level: &str) -> Option<usize> {
        self.nodes.get(place)?.children.get(level).copied()
    }

    fn number(&self, place: usize) -> Option<u64> {
        self.nodes.get(place)?.number
    }

    fn add_child(&mut self, parent: usize, level: &str) -> usize {
        let place = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(Node::default());
            self.nodes.len() - 1
        });
        if let Some(node) = self.nodes.get_mut(parent) {
            node.children.insert(level.to_owned(), place);
        }
        place
    }

    /// Nodes in use, the root included.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }
}
