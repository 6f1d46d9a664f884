//! Sets of CPUs and memory domains as the kernel takes them.

use muster_model::resources::IndexSet;

use crate::unit::TaskMemory;

/// Those of `wanted` that this machine has.
pub(super) fn cpu_list(wanted: &[u32], present: &[u32]) -> IndexSet {
    let mut set = IndexSet::default();
    wanted.iter().filter(|cpu| present.contains(cpu)).for_each(|cpu| set.insert(*cpu));
    set
}

/// The mask for the kernel, in whole words; empty for any CPU.
pub(super) fn affinity_mask(wanted: &[u32], present: &[u32]) -> Vec<u8> {
    let cpus = cpu_list(wanted, present);
    let Some(last) = cpus.iter().last() else {
        return Vec::new();
    };
    let mut words = vec![0usize; last as usize / usize::BITS as usize + 1];
    for cpu in cpus.iter() {
        if let Some(word) = words.get_mut(cpu as usize / usize::BITS as usize) {
            *word |= 1 << (cpu % usize::BITS);
        }
    }
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// The kernel's policy for the memory of a task, with the mask in words; `None` where nothing is wanted of it.
pub(super) fn memory_policy(memory: &TaskMemory) -> Option<(libc::c_int, Vec<libc::c_ulong>)> {
    /// Greatest number of a domain: that of the largest machines that Linux knows.
    const DOMAIN_MAX: u32 = 1023;
    let word_bits = libc::c_ulong::BITS;
    let last = memory.domains.iter().copied().filter(|domain| *domain <= DOMAIN_MAX).max()?;
    let mut words = vec![0; (last / word_bits) as usize + 1];
    for domain in memory.domains.iter().filter(|domain| **domain <= DOMAIN_MAX) {
        if let Some(word) = words.get_mut((domain / word_bits) as usize) {
            *word |= 1 << (domain % word_bits);
        }
    }
    Some((if memory.prefer { libc::MPOL_PREFERRED } else { libc::MPOL_BIND }, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_have_whole_words() {
        assert_eq!(affinity_mask(&[0, 2, 99], &[0, 1, 2]), 5usize.to_ne_bytes());
        assert_eq!(affinity_mask(&[64], &[64]).len(), 16);
        assert!(affinity_mask(&[7], &[0]).is_empty());
    }
}
