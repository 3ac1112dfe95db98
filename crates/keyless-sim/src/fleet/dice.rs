//! The one source of chance of a fleet.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Chance from a seed, the same on every machine.
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number below `bound`; 0 if there is none.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { self.0.random_range(0..bound) }
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in `percent` of a hundred cases.
    pub(super) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        items.shuffle(&mut self.0);
    }

    pub(super) fn guid(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.0.random()).into_uuid().to_string()
    }

    /// The id, in `percent` of a hundred cases spelled as some part of Azure spells ids: all in lower case, or with
    /// single segments in another case.
    pub(super) fn recase(&mut self, id: &str, percent: usize) -> String {
        if !self.percent(percent) {
            return id.to_owned();
        }
        match self.below(3) {
            0 => id.to_lowercase(),
            1 => id.replace("/resourceGroups/", "/resourcegroups/"),
            _ => id
                .replace("/Microsoft.MachineLearningServices/", "/microsoft.machinelearningservices/")
                .replace("/Microsoft.Storage/storageAccounts/", "/microsoft.storage/storageaccounts/"),
        }
    }
}
