//! Values that belong to the nodes or the edges of a graph.

use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

use super::{EdgeId, NodeId};

/// The number of a node or an edge.
pub trait Id: Copy {
    /// Its index, from 0.
    fn number(self) -> usize;
    /// The id with an index.
    fn numbered(number: usize) -> Self;
}

/// A value for each id, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMap<K, V> {
    values: Vec<V>,
    keys: PhantomData<K>,
}

/// A value for each node.
pub type NodeMap<V> = IdMap<NodeId, V>;

/// A value for each edge.
pub type EdgeMap<V> = IdMap<EdgeId, V>;

impl<K: Id, V> IdMap<K, V> {
    /// Appends the value of the next id, and returns that id.
    pub fn push(&mut self, value: V) -> K {
        self.values.push(value);
        K::numbered(self.values.len() - 1)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The ids, in order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = K> + ExactSizeIterator + use<K, V> {
        (0..self.values.len()).map(K::numbered)
    }

    /// Each id with its value.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (K, &V)> + ExactSizeIterator {
        self.values
            .iter()
            .enumerate()
            .map(|(number, value)| (K::numbered(number), value))
    }

    /// Each id with a mutable reference to its value.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (K, &mut V)> {
        self.values
            .iter_mut()
            .enumerate()
            .map(|(number, value)| (K::numbered(number), value))
    }

    /// The values, in the order of their ids.
    #[must_use]
    pub fn values(&self) -> &[V] {
        &self.values
    }

    /// The mutable values, in the order of their ids.
    pub fn values_mut(&mut self) -> &mut [V] {
        &mut self.values
    }

    /// The value of an id, if it exists.
    #[must_use]
    pub fn get(&self, id: K) -> Option<&V> {
        self.values.get(id.number())
    }

    /// Maps each value.
    #[must_use]
    pub fn map<'a, W>(&'a self, mut make: impl FnMut(K, &'a V) -> W) -> IdMap<K, W> {
        self.iter().map(|(id, value)| make(id, value)).collect()
    }

    /// Consumes the map; each id with its value.
    #[must_use]
    pub fn into_entries(self) -> impl DoubleEndedIterator<Item = (K, V)> + ExactSizeIterator {
        self.values
            .into_iter()
            .enumerate()
            .map(|(number, value)| (K::numbered(number), value))
    }

    /// Consumes the map; the values in the order of their ids.
    #[must_use]
    pub fn into_values(self) -> Vec<V> {
        self.values
    }
}

impl<K, V> Default for IdMap<K, V> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            keys: PhantomData,
        }
    }
}

impl<K, V> FromIterator<V> for IdMap<K, V> {
    fn from_iter<I: IntoIterator<Item = V>>(values: I) -> Self {
        Self {
            values: values.into_iter().collect(),
            keys: PhantomData,
        }
    }
}

impl<K: Id, V> Index<K> for IdMap<K, V> {
    type Output = V;

    fn index(&self, id: K) -> &V {
        &self.values[id.number()]
    }
}

impl<K: Id, V> IndexMut<K> for IdMap<K, V> {
    fn index_mut(&mut self, id: K) -> &mut V {
        &mut self.values[id.number()]
    }
}
