//! Which nodes carry the links of which others (`TreeWidth`).
//!
//! The nodes are cut into as many equal pieces as the tree is wide. The first of a piece is at the head of it: it connects
//! to the one above, and the rest of the piece is cut again below it. Every piece is a run of neighbours in the
//! configuration, which mostly share a rack and its switch.

use muster_model::ids::NodeIndex;

/// Heads of the pieces that the node is in, from the nearest to the furthest; the node itself is none of them. Empty for one
/// that connects to the controller itself, as all do in a tree of width 0.
pub(crate) fn heads_above(node: NodeIndex, node_count: usize, width: usize) -> Vec<NodeIndex> {
    let mut heads = Vec::new();
    let (mut start, mut end) = (0, node_count);
    let at = node.0 as usize;
    while width > 0 && at < end {
        let (piece_start, piece_end) = piece_of(at, start, end, width);
        if piece_start == at {
            break;
        }
        heads.extend(u32::try_from(piece_start).map(NodeIndex));
        (start, end) = (piece_start + 1, piece_end);
    }
    heads.reverse();
    heads
}

/// Whether the node has others below it.
pub(crate) fn is_head(node: NodeIndex, node_count: usize, width: usize) -> bool {
    // Pieces are runs, so the next node is below this one or nobody is.
    let next = NodeIndex(node.0.saturating_add(1));
    (next.0 as usize) < node_count && heads_above(next, node_count, width).first() == Some(&node)
}

/// The piece of `start..end`, cut into at most `width`, that holds `at`.
fn piece_of(at: usize, start: usize, end: usize, width: usize) -> (usize, usize) {
    let count = end - start;
    let pieces = width.min(count);
    let (size, longer) = (count / pieces, count % pieces);
    // The first `longer` pieces have one more.
    let offset = at - start;
    let piece = match offset < longer * (size + 1) {
        true => offset / (size + 1),
        false => longer + (offset - longer * (size + 1)) / size,
    };
    let piece_start = start + piece * size + piece.min(longer);
    (piece_start, piece_start + size + usize::from(piece < longer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn heads(node: u32, count: usize, width: usize) -> Vec<u32> {
        heads_above(NodeIndex(node), count, width).into_iter().map(|head| head.0).collect()
    }

    #[test]
    fn few_nodes_connect_to_the_controller() {
        assert!((0..50).all(|node| heads(node, 50, 50).is_empty()));
        assert!((0..50).all(|node| heads(node, 50, 0).is_empty()));
        assert!((0..50).all(|node| !is_head(NodeIndex(node), 50, 50)));
    }

    #[test]
    fn many_are_below_others() {
        // Three pieces of 5, 4 and 4; the four below the first head are cut into 2, 1 and 1.
        assert!(heads(0, 13, 3).is_empty());
        assert_eq!(heads(1, 13, 3), [0]);
        assert_eq!(heads(2, 13, 3), [1, 0]);
        assert_eq!(heads(3, 13, 3), [0]);
        assert!(heads(5, 13, 3).is_empty());
        assert_eq!(heads(12, 13, 3), [9]);
        assert!(is_head(NodeIndex(0), 13, 3));
        assert!(is_head(NodeIndex(1), 13, 3));
        assert!(!is_head(NodeIndex(2), 13, 3));
        assert!(!is_head(NodeIndex(4), 13, 3));
        assert!(!is_head(NodeIndex(12), 13, 3));
    }

    #[test]
    fn nobody_has_more_below_than_the_tree_is_wide() {
        for (count, width) in [(1, 1), (7, 1), (100, 3), (1000, 16), (4097, 16), (40_000, 50), (51, 50)] {
            let mut below: BTreeMap<Option<u32>, usize> = BTreeMap::new();
            let mut deepest = 0;
            for node in 0..count {
                let heads = heads(node, count as usize, width);
                deepest = deepest.max(heads.len());
                assert!(heads.iter().all(|head| *head < node), "a tree has no circles");
                *below.entry(heads.first().copied()).or_default() += 1;
            }
            assert!(below.values().all(|count| *count <= width), "{count} nodes, width {width}: {below:?}");
            assert!(
                width < 2 || deepest <= (f64::from(count).log(width as f64)).ceil() as usize,
                "{count} {width} {deepest}"
            );
            let are_heads = (0..count).filter(|node| is_head(NodeIndex(*node), count as usize, width)).count();
            assert_eq!(are_heads, below.len() - 1);
        }
    }
}
