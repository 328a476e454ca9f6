//! The random quantities of one fault of a sequence, each with a key of its own.

use sim::world::Key;

/// The random quantities of one fault of a sequence.
pub struct Draws {
    pub key: Key,
    /// It lasts no longer than this, for the sake of those that follow.
    pub lasts_ms_max: u64,
}

impl Draws {
    /// A uniform number from `low` to `high`, both included.
    pub fn range(&self, purpose: &str, (low, high): (u64, u64)) -> u64 {
        self.key.derive(purpose).stream().range(low, high)
    }

    /// A uniform number from 0 to `bound`, which is not included.
    pub fn below(&self, purpose: &str, bound: u64) -> u64 {
        self.key.derive(purpose).stream().below(bound)
    }

    /// How long something lasts.
    pub fn lasts_ms(&self, purpose: &str, range: (u64, u64)) -> u64 {
        self.range(purpose, range).min(self.lasts_ms_max).max(1)
    }

    /// How long something lasts that is only one of `parts` stages of a fault.
    pub fn stage_ms(&self, purpose: &str, range: (u64, u64), parts: u64) -> u64 {
        self.range(purpose, range).min(self.lasts_ms_max / parts).max(1)
    }

    /// `unit` times a power of two, of which there are `grades`.
    pub fn grade(&self, purpose: &str, unit: u64, grades: u64) -> u64 {
        unit << self.below(purpose, grades)
    }

    /// A probability: 2 to the power of minus `least` to minus `most`.
    pub fn rate(&self, purpose: &str, (least, most): (u64, u64)) -> f64 {
        0.5_f64.powi(self.range(purpose, (least, most)) as i32)
    }

    /// Minus the number in one case of two.
    pub fn signed(&self, purpose: &str, magnitude: u64) -> i64 {
        let magnitude = magnitude.cast_signed();
        if self.below(purpose, 2) == 1 { -magnitude } else { magnitude }
    }

    /// The names in an order of their own.
    pub fn shuffled(&self, purpose: &str, names: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut names = names.into_iter().collect::<Vec<_>>();
        let mut stream = self.key.derive(purpose).stream();
        // Fisher–Yates.
        for last in (1..names.len()).rev() {
            names.swap(last, stream.below(last as u64 + 1) as usize);
        }
        names
    }
}
