//! Sets of nodes as bit maps: partitions, features and states are combined 64 nodes at a time.

/// A set of node indices.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodeSet {
    words: Vec<u64>,
}

impl NodeSet {
    /// No node, with room for `count`.
    pub(crate) fn empty(count: usize) -> NodeSet {
        NodeSet { words: vec![0; count.div_ceil(64)] }
    }

    /// Puts `node` in.
    pub(crate) fn insert(&mut self, node: u32) {
        let word = node as usize / 64;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (node % 64);
    }

    /// Takes `node` out.
    pub(crate) fn remove(&mut self, node: u32) {
        if let Some(word) = self.words.get_mut(node as usize / 64) {
            *word &= !(1 << (node % 64));
        }
    }

    /// Whether `node` is in the set.
    #[inline]
    pub(crate) fn contains(&self, node: u32) -> bool {
        self.words.get(node as usize / 64).is_some_and(|word| word & (1 << (node % 64)) != 0)
    }

    /// Number of members.
    pub(crate) fn len(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Keeps what is also in `other`.
    pub(crate) fn intersect(&mut self, other: &NodeSet) {
        for (position, word) in self.words.iter_mut().enumerate() {
            *word &= other.words.get(position).copied().unwrap_or(0);
        }
    }

    /// Takes out what is in `other`.
    pub(crate) fn subtract(&mut self, other: &NodeSet) {
        for (word, theirs) in self.words.iter_mut().zip(&other.words) {
            *word &= !theirs;
        }
    }

    /// Adds what is in `other`.
    pub(crate) fn unite(&mut self, other: &NodeSet) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (word, theirs) in self.words.iter_mut().zip(&other.words) {
            *word |= theirs;
        }
    }

    /// Whether all members are in `other`.
    pub(crate) fn is_within(&self, other: &NodeSet) -> bool {
        self.words
            .iter()
            .enumerate()
            .all(|(position, word)| word & !other.words.get(position).copied().unwrap_or(0) == 0)
    }

    /// Members, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(position, word)| Bits { word: *word, base: position as u32 * 64 })
    }

    /// Its members as one block.
    pub(crate) fn as_block(&self) -> NodeBlock<'_> {
        NodeBlock { words: &self.words, base: 0 }
    }

    /// Its members in blocks of so many words, ascending.
    pub(crate) fn blocks(&self, words: usize) -> impl Iterator<Item = NodeBlock<'_>> {
        let bases = (0..).step_by(words * 64);
        self.words.chunks(words).zip(bases).map(|(words, base)| NodeBlock { words, base })
    }
}

/// Members of a set that are neighbours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeBlock<'a> {
    words: &'a [u64],
    /// The first node that may be a member.
    pub(crate) base: u32,
}

impl<'a> NodeBlock<'a> {
    /// Number of members.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether any member is in `other` too.
    #[inline]
    pub(crate) fn meets(&self, other: &NodeSet) -> bool {
        let theirs = other.words.get(self.base as usize / 64..).unwrap_or_default();
        self.words.iter().zip(theirs).any(|(word, theirs)| word & theirs != 0)
    }

    /// Members, ascending.
    pub(crate) fn iter(self) -> impl Iterator<Item = u32> + 'a {
        let bases = (self.base..).step_by(64);
        self.words.iter().zip(bases).flat_map(|(word, base)| Bits { word: *word, base })
    }
}

impl FromIterator<u32> for NodeSet {
    fn from_iter<I: IntoIterator<Item = u32>>(nodes: I) -> NodeSet {
        let mut set = NodeSet::default();
        nodes.into_iter().for_each(|node| set.insert(node));
        set
    }
}

impl PartialEq for NodeSet {
    /// Whether the members are the same; for how many nodes there is room does not matter.
    fn eq(&self, other: &NodeSet) -> bool {
        let common = self.words.len().min(other.words.len());
        let (ours, theirs) = (self.words.split_at(common), other.words.split_at(common));
        ours.0 == theirs.0 && ours.1.iter().chain(theirs.1).all(|word| *word == 0)
    }
}

impl Eq for NodeSet {}

/// The set bits of one word.
struct Bits {
    word: u64,
    base: u32,
}

impl Iterator for Bits {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.word == 0 {
            return None;
        }
        let bit = self.word.trailing_zeros();
        self.word &= self.word - 1;
        Some(self.base + bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_combine() {
        let mut set: NodeSet = [1, 63, 64, 200].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [1, 63, 64, 200]);
        assert_eq!(set.len(), 4);
        set.subtract(&[63].into_iter().collect());
        set.intersect(&[1, 63, 200].into_iter().collect());
        assert_eq!(set.iter().collect::<Vec<_>>(), [1, 200]);
        assert!(set.is_within(&[1, 2, 200].into_iter().collect()));
        assert!(!set.is_within(&[1].into_iter().collect()));
        set.unite(&[300].into_iter().collect());
        assert_ne!(set, [1, 2, 200].into_iter().collect());
        set.subtract(&[300].into_iter().collect());
        assert_eq!(set, [1, 200].into_iter().collect());
        set.insert(300);
        assert!(set.contains(300) && !set.contains(299) && !set.contains(100_000));
    }
}
