//! A small hasher with a fixed key, so that nothing here depends on a random one.
//!
//! Tables that use it are only looked up, never iterated: their order must not reach a decision. Keys come from
//! requests that were accepted, and a bad distribution only costs time.

use std::hash::{BuildHasherDefault, Hasher};

/// For `HashMap`'s third parameter.
pub(crate) type FixedState = BuildHasherDefault<MixingHasher>;

/// Multiply and rotate, word by word.
#[derive(Debug, Clone, Default)]
pub(crate) struct MixingHasher {
    state: u64,
}

/// An odd number with well mixed bits (the golden ratio in 64 bits).
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

impl MixingHasher {
    fn add(&mut self, word: u64) {
        self.state = (self.state.rotate_left(5) ^ word).wrapping_mul(MULTIPLIER);
    }
}

impl Hasher for MixingHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.add(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.add(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.add(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.add(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.add(value as u64);
    }

    fn finish(&self) -> u64 {
        // The table takes its bits from both ends.
        self.state ^ (self.state >> 32)
    }
}
