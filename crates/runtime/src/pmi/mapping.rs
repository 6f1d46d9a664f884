//! Which ranks share a node, in the short form that MPI libraries read.

/// `(vector,(0,1,2),(1,1,1))` for the nodes of the ranks `0, 0, 1`, in the order of the ranks; nodes are counted from 0 on.
pub fn process_mapping(nodes_of_ranks: &[u32]) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for node in nodes_of_ranks {
        match runs.last_mut() {
            Some((last, tasks)) if last == node => *tasks += 1,
            _ => runs.push((*node, 1)),
        }
    }
    let mut blocks: Vec<(u32, u32, u32)> = Vec::new();
    for (node, tasks) in runs {
        match blocks.last_mut() {
            Some((first, nodes, each)) if *each == tasks && first.checked_add(*nodes) == Some(node) => *nodes += 1,
            _ => blocks.push((node, 1, tasks)),
        }
    }
    let blocks: String = blocks.iter().map(|(first, nodes, tasks)| format!(",({first},{nodes},{tasks})")).collect();
    format!("(vector{blocks})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_neighbours_make_one_block() {
        let check = |nodes: &[u32], expected: &str| assert_eq!(process_mapping(nodes), expected, "{nodes:?}");
        check(&[0], "(vector,(0,1,1))");
        // As real slurmstepd tells it.
        check(&[0, 0, 1], "(vector,(0,1,2),(1,1,1))");
        check(&[0, 0, 1, 1, 2, 2], "(vector,(0,3,2))");
        check(&[0, 1, 2, 0, 1, 2], "(vector,(0,3,1),(0,3,1))");
        check(&[1, 0, 1, 0], "(vector,(1,1,1),(0,2,1),(0,1,1))");
        check(&[], "(vector)");
    }

    /// What a library makes of it.
    fn read(text: &str) -> Vec<u32> {
        let blocks = text.trim_start_matches("(vector").trim_end_matches(')');
        let mut nodes = Vec::new();
        for block in blocks.split('(').map(|block| block.trim_end_matches([',', ')'])).filter(|block| !block.is_empty())
        {
            let numbers: Vec<u32> = block.split(',').map(|number| number.parse().unwrap()).collect();
            for node in numbers[0]..numbers[0] + numbers[1] {
                nodes.extend((0..numbers[2]).map(|_| node));
            }
        }
        nodes
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost(nodes in proptest::collection::vec(0u32..4, 0..30)) {
            proptest::prop_assert_eq!(read(&process_mapping(&nodes)), nodes);
        }
    }
}
