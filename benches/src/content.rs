//! File content from a seed: the same on every machine, compressible or not.

use std::io::Read;
use std::sync::LazyLock;

/// How well some content compresses.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Words: gzip leaves three tenths of it.
    Text,
    /// Noise: no compressor gains anything.
    Noise,
}

/// A small generator of numbers (splitmix64): its output is part of the benchmark's input, so it
/// must not change with some library's version.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to, not including, 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// A thousand words of one to twelve letters, each with a blank behind it.
static WORDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut random = Random::new(1);
    let letter = |random: &mut Random| b'a' + (random.next() % 26) as u8;
    let word = |random: &mut Random| {
        let length = 1 + random.next() % 12;
        let mut word: Vec<u8> = (0..length).map(|_| letter(random)).collect();
        word.push(b' ');
        word
    };
    (0..1024).map(|_| word(&mut random)).collect()
});

/// An endless stream; made in blocks, so that its bytes do not depend on how it is read.
pub(crate) struct Content {
    random: Random,
    kind: Kind,
    block: Vec<u8>,
    used: usize,
}

impl Content {
    const BLOCK: usize = 16 * 1024;

    pub(crate) fn new(kind: Kind, seed: u64) -> Content {
        Content { random: Random::new(seed), kind, block: Vec::new(), used: 0 }
    }

    fn refill(&mut self) {
        self.used = 0;
        match self.kind {
            Kind::Noise => {
                self.block.resize(Self::BLOCK, 0);
                self.random.fill(&mut self.block);
            }
            Kind::Text => {
                self.block.clear();
                while self.block.len() < Self::BLOCK {
                    let word = &WORDS[self.random.next() as usize % WORDS.len()];
                    self.block.extend_from_slice(word);
                }
            }
        }
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.used == self.block.len() {
            self.refill();
        }
        let count = buffer.len().min(self.block.len() - self.used);
        buffer[..count].copy_from_slice(&self.block[self.used..self.used + count]);
        self.used += count;
        Ok(count)
    }
}
