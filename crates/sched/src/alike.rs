//! Where two versions of the rows of nodes differ.
//!
//! Views share what has not changed, so most rows can be told to be the same without being looked at: rows lie together
//! in leaves, and a leaf that both versions share holds the same rows.

use std::sync::Arc;

use imbl::Vector;
use muster_model::node::Node;

/// Indices of the rows that are other objects in `now` than in `before`, ascending; rows that only one has are left out.
pub(crate) fn changed_rows(before: &Vector<Arc<Node>>, now: &Vector<Arc<Node>>) -> Vec<u32> {
    let mut changed = Vec::new();
    if before.ptr_eq(now) {
        return changed;
    }
    let (mut leaves_before, mut leaves_now) = (before.leaves(), now.leaves());
    let (mut ours, mut theirs): (&[Arc<Node>], &[Arc<Node>]) = (&[], &[]);
    let mut at = 0;
    loop {
        // The leaves of both need not end at the same rows.
        while ours.is_empty() {
            let Some(leaf) = leaves_before.next() else { return changed };
            ours = leaf;
        }
        while theirs.is_empty() {
            let Some(leaf) = leaves_now.next() else { return changed };
            theirs = leaf;
        }
        let len = ours.len().min(theirs.len());
        let (one, other) = (&ours[..len], &theirs[..len]);
        if !std::ptr::eq(one, other) {
            let rows = (at..).zip(one.iter().zip(other));
            changed.extend(rows.filter(|(_, (one, other))| !Arc::ptr_eq(one, other)).map(|(row, _)| row));
        }
        at += len as u32;
        (ours, theirs) = (&ours[len..], &theirs[len..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_testkit::builders;

    fn rows(count: u32) -> Vector<Arc<Node>> {
        (0..count).map(|at| Arc::new(builders::node(builders::node_config(&format!("n{at}"), 4)))).collect()
    }

    #[test]
    fn only_rows_that_were_exchanged_differ() {
        for count in [1, 3, 64, 65, 1000] {
            let before = rows(count);
            assert!(changed_rows(&before, &before.clone()).is_empty());
            let mut now = before.clone();
            let last = count as usize - 1;
            for at in [0, last / 2, last] {
                now[at] = Arc::new(Node::clone(&now[at]));
            }
            let mut expected = vec![0, (last / 2) as u32, last as u32];
            expected.dedup();
            assert_eq!(changed_rows(&before, &now), expected, "of {count}");
        }
    }

    #[test]
    fn leaves_that_end_elsewhere_hold_the_same_rows() {
        let before = rows(300);
        let mut now = before.clone();
        let tail = now.split_off(100);
        now.append(tail);
        assert!(changed_rows(&before, &now).is_empty());
        now.push_front(before[0].clone());
        now.remove(0);
        now[150] = Arc::new(Node::clone(&now[150]));
        assert_eq!(changed_rows(&before, &now), [150]);
        // Rows that only one has are left out.
        now.pop_back();
        assert_eq!(changed_rows(&before, &now), [150]);
    }
}
