//! The shape of a pipeline: a tree of nodes joined by edges, and what flows over each edge.
//!
//! Nodes are stages and edges are links. The graph is the only place that knows how they hang together; everybody else
//! asks it and keeps what belongs to a node or an edge in a [`NodeMap`] or an [`EdgeMap`].
//!
//! A node has at most one input and any number of outputs, and a node's id is greater than that of the node before it.
//! So walking the ids upwards visits every node after what feeds it, and walking them downwards before it.

mod map;

use std::fmt;

pub use map::{EdgeMap, Id, IdMap, NodeMap};

/// A stage of a pipeline. Its number is its `index` in everything that people and scripts see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(usize);

/// A link of a pipeline. Its number is its place in the list of links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeId(usize);

impl Id for NodeId {
    fn number(self) -> usize {
        self.0
    }

    fn numbered(number: usize) -> Self {
        Self(number)
    }
}

impl Id for EdgeId {
    fn number(self) -> usize {
        self.0
    }

    fn numbered(number: usize) -> Self {
        Self(number)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What flows over an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Port {
    /// Bytes without boundaries.
    Bytes,
    /// Lines that end in a newline.
    Lines,
    /// JSON values, one a line.
    Json,
    /// Messages that may hold anything, newlines included.
    Messages,
}

impl Port {
    /// What it is called in errors and documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Lines => "lines",
            Self::Json => "JSON",
            Self::Messages => "messages",
        }
    }

    /// Whether chunks hold whole records, so that a link counts them.
    #[must_use]
    pub fn has_records(self) -> bool {
        self != Self::Bytes
    }
}

/// One link: which stage fills it, which one empties it, and with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// The stage that fills it.
    pub from: NodeId,
    /// The stage that empties it.
    pub to: NodeId,
    /// What flows.
    pub port: Port,
}

/// The shape of one pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    upstream: NodeMap<Option<EdgeId>>,
    downstream: NodeMap<Vec<EdgeId>>,
    edges: EdgeMap<Edge>,
}

impl Graph {
    /// A graph of one node.
    #[must_use]
    pub fn new() -> Self {
        Self {
            upstream: IdMap::from_iter([None]),
            downstream: IdMap::from_iter([Vec::new()]),
            edges: IdMap::default(),
        }
    }

    /// A pipeline without branches: `stages` nodes in a row, joined by bytes.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn chain(stages: usize) -> Self {
        assert!(stages > 0, "a pipeline has a stage");
        let mut graph = Self::new();
        let mut last = graph.root();
        for _ in 1..stages {
            last = graph.append(last, Port::Bytes);
        }
        graph
    }

    /// The graph whose stages are joined like that, as it is read from a recording.
    ///
    /// `None` where that is no tree in which every stage but the first comes after the one that feeds it.
    #[must_use]
    pub fn joined(stages: usize, links: &[(usize, usize)]) -> Option<Self> {
        let mut graph = Self::new();
        for to in 1..stages {
            let mut feeding = links.iter().filter(|(_, fed)| *fed == to);
            match (feeding.next(), feeding.next()) {
                (Some((from, _)), None) if *from < to => graph.append(NodeId(*from), Port::Bytes),
                _ => return None,
            };
        }
        Some(graph)
    }

    /// Adds a node that is fed by `from`.
    pub fn append(&mut self, from: NodeId, port: Port) -> NodeId {
        let to = NodeId(self.upstream.len());
        let edge = self.edges.push(Edge { from, to, port });
        self.upstream.push(Some(edge));
        self.downstream.push(Vec::new());
        self.downstream[from].push(edge);
        to
    }

    /// Says what flows out of a node.
    pub fn set_output_port(&mut self, node: NodeId, port: Port) {
        for edge in &self.downstream[node] {
            self.edges[*edge].port = port;
        }
    }

    /// The node that everything flows from.
    #[must_use]
    pub fn root(&self) -> NodeId {
        NodeId(0)
    }

    /// Every node, each after the one that feeds it.
    #[must_use]
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = NodeId> + ExactSizeIterator + use<> {
        self.upstream.ids()
    }

    /// Every edge.
    #[must_use]
    pub fn edges(&self) -> impl DoubleEndedIterator<Item = EdgeId> + ExactSizeIterator + use<> {
        self.edges.ids()
    }

    /// What an edge joins.
    #[must_use]
    pub fn edge(&self, edge: EdgeId) -> Edge {
        self.edges[edge]
    }

    /// The edge into a node; a source has none.
    #[must_use]
    pub fn input(&self, node: NodeId) -> Option<EdgeId> {
        self.upstream[node]
    }

    /// The edges out of a node, in the order of its branches; a sink has none.
    #[must_use]
    pub fn outputs(&self, node: NodeId) -> &[EdgeId] {
        &self.downstream[node]
    }

    /// The node that feeds a node.
    #[must_use]
    pub fn upstream(&self, node: NodeId) -> Option<NodeId> {
        self.input(node).map(|edge| self.edges[edge].from)
    }

    /// The nodes that a node feeds.
    #[must_use]
    pub fn downstream(&self, node: NodeId) -> impl DoubleEndedIterator<Item = NodeId> {
        self.outputs(node).iter().map(|edge| self.edges[*edge].to)
    }

    /// The nodes that nothing feeds.
    pub fn sources(&self) -> impl Iterator<Item = NodeId> {
        self.nodes().filter(|node| self.input(*node).is_none())
    }

    /// The nodes that feed nothing.
    #[must_use]
    pub fn sinks(&self) -> impl DoubleEndedIterator<Item = NodeId> {
        self.nodes().filter(|node| self.is_sink(*node))
    }

    /// Whether a node feeds nothing.
    #[must_use]
    pub fn is_sink(&self, node: NodeId) -> bool {
        self.outputs(node).is_empty()
    }

    /// The nodes before a node, the nearest first.
    pub fn before(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        std::iter::successors(self.upstream(node), |node| self.upstream(*node))
    }

    /// The nodes behind a node, on all its branches, in the order of their ids.
    pub fn behind(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        self.nodes().filter(move |other| self.is_before(node, *other))
    }

    /// Whether what comes out of `first` reaches `second`. No node is before itself.
    #[must_use]
    pub fn is_before(&self, first: NodeId, second: NodeId) -> bool {
        self.before(second).any(|node| node == first)
    }

    /// The last node that feeds both, which may be one of the two.
    #[must_use]
    pub fn fork(&self, one: NodeId, other: NodeId) -> Option<NodeId> {
        let above = |node| std::iter::once(node).chain(self.before(node));
        above(one).find(|node| above(other).any(|other| other == *node))
    }

    /// The edge out of `node` that leads to `to`.
    #[must_use]
    pub fn towards(&self, node: NodeId, to: NodeId) -> Option<EdgeId> {
        let leads = |edge: &&EdgeId| self.edges[**edge].to == to || self.is_before(self.edges[**edge].to, to);
        self.outputs(node).iter().find(leads).copied()
    }

    /// Whether an edge is the last one out of its node: the stream goes on there, and the others are branches.
    #[must_use]
    pub fn goes_on(&self, edge: EdgeId) -> bool {
        self.outputs(self.edges[edge].from).last() == Some(&edge)
    }

    /// How many branches a node is in, one within the other.
    #[must_use]
    pub fn branch_depth(&self, node: NodeId) -> usize {
        let path = std::iter::once(node).chain(self.before(node));
        let inputs = path.filter_map(|node| self.input(node));
        inputs.filter(|edge| !self.goes_on(*edge)).count()
    }

    /// How many edges are between two nodes.
    #[must_use]
    pub fn distance(&self, one: NodeId, other: NodeId) -> usize {
        let height = |node| self.before(node).count();
        let shared = self.fork(one, other).map_or(0, height);
        height(one) + height(other) - 2 * shared
    }

    /// Whether no node has more than one output.
    #[must_use]
    pub fn is_chain(&self) -> bool {
        self.nodes().all(|node| self.outputs(node).len() <= 1)
    }
}

impl Default for Graph {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 → 1 → (2 → 3), (4 → 5 → (6), 7), 8 → 9.
    fn tree() -> Graph {
        let mut graph = Graph::chain(2);
        let tee = NodeId(1);
        let two = graph.append(tee, Port::Bytes);
        graph.append(two, Port::Bytes);
        let four = graph.append(tee, Port::Lines);
        let five = graph.append(four, Port::Bytes);
        graph.append(five, Port::Bytes);
        graph.append(five, Port::Bytes);
        let eight = graph.append(tee, Port::Bytes);
        graph.append(eight, Port::Bytes);
        graph
    }

    fn numbers(nodes: impl Iterator<Item = NodeId>) -> Vec<usize> {
        nodes.map(Id::number).collect()
    }

    #[test]
    fn a_chain_has_one_path() {
        let chain = Graph::chain(4);
        assert!(chain.is_chain());
        assert_eq!(numbers(chain.nodes()), [0, 1, 2, 3]);
        let edges = chain.edges().map(|edge| chain.edge(edge));
        let joined: Vec<_> = edges.map(|edge| (edge.from.0, edge.to.0)).collect();
        assert_eq!(joined, [(0, 1), (1, 2), (2, 3)]);
        assert_eq!(numbers(chain.sources()), [0]);
        assert_eq!(numbers(chain.sinks()), [3]);
    }

    #[test]
    fn a_tree_knows_what_feeds_what() {
        let tree = tree();
        assert!(!tree.is_chain());
        assert_eq!(numbers(tree.sinks()), [3, 6, 7, 9]);
        assert_eq!(numbers(tree.downstream(NodeId(1))), [2, 4, 8]);
        assert_eq!(numbers(tree.before(NodeId(7))), [5, 4, 1, 0]);
        assert_eq!(numbers(tree.behind(NodeId(4))), [5, 6, 7]);
        assert_eq!(tree.upstream(NodeId(8)), Some(NodeId(1)));
        assert!(tree.is_before(NodeId(0), NodeId(9)) && !tree.is_before(NodeId(9), NodeId(9)));
        assert_eq!(
            tree.input(NodeId(4)).map(|edge| tree.edge(edge).port),
            Some(Port::Lines)
        );
    }

    #[test]
    fn two_nodes_fork_at_the_last_one_that_feeds_both() {
        let tree = tree();
        assert_eq!(tree.fork(NodeId(3), NodeId(7)), Some(NodeId(1)));
        assert_eq!(tree.fork(NodeId(6), NodeId(7)), Some(NodeId(5)));
        assert_eq!(tree.fork(NodeId(4), NodeId(7)), Some(NodeId(4)));
        let towards = tree.towards(NodeId(1), NodeId(7)).map(|edge| tree.edge(edge).to);
        assert_eq!(towards, Some(NodeId(4)));
        assert_eq!(tree.towards(NodeId(2), NodeId(7)), None);
    }

    #[test]
    fn branches_are_all_outputs_but_the_last() {
        let tree = tree();
        let depths: Vec<usize> = tree.nodes().map(|node| tree.branch_depth(node)).collect();
        assert_eq!(depths, [0, 0, 1, 1, 1, 1, 2, 1, 0, 0]);
        assert_eq!(tree.distance(NodeId(6), NodeId(3)), 5);
        assert_eq!(tree.distance(NodeId(0), NodeId(9)), 3);
        assert_eq!(tree.distance(NodeId(4), NodeId(4)), 0);
    }

    #[test]
    fn what_is_read_is_a_tree_or_nothing() {
        let read = Graph::joined(4, &[(0, 1), (1, 2), (1, 3)]).expect("a tree");
        assert_eq!(numbers(read.downstream(NodeId(1))), [2, 3]);
        assert_eq!(Graph::joined(3, &[(0, 1)]), None, "a stage without input");
        assert_eq!(Graph::joined(3, &[(0, 1), (0, 2), (1, 2)]), None, "two inputs");
        assert_eq!(Graph::joined(2, &[(1, 1)]), None, "a circle");
    }

    #[test]
    fn every_node_comes_after_what_feeds_it() {
        let tree = tree();
        assert!(tree.nodes().all(|node| tree.before(node).all(|before| before < node)));
    }
}
