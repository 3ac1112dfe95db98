//! Forces single rules open, to see who notices: a rule whose absence nobody notices is one that nobody tests.
//!
//! Only with the feature `ablate`, which nothing that is shipped has; without it the questions below are constants.

use crate::gate::Gate;

/// A rule that can be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ablation {
    /// A gate is open, whatever was read.
    Gate(Gate),
    /// Plans are not judged a second time.
    Lint,
    /// A pass goes on although the files have changed.
    Revision,
    /// A pass goes on although another step comes first, or none, by what was read again.
    SameStep,
    /// What a gate rests on is not forgotten before it is read again, and not read again.
    Confirm,
    /// The key goes off last: without, the order is that of a published script, which turns it off first of all.
    /// Source: <https://github.com/shpengmsft/aml_tools>.
    OffLast,
    /// The key goes on before a workspace goes back to it: without, the order is that of the articles.
    /// Source: <https://learn.microsoft.com/azure/machine-learning/how-to-disable-local-auth-storage>, "Revert to use shared
    /// keys".
    OnFirst,
}

#[cfg(feature = "ablate")]
mod forced {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::Ablation;

    thread_local! {
        static FORCED: RefCell<BTreeSet<Ablation>> = const { RefCell::new(BTreeSet::new()) };
    }

    /// Runs `what` in this thread without the rules of `forced`.
    pub fn without<T>(forced: &BTreeSet<Ablation>, what: impl FnOnce() -> T) -> T {
        let before = FORCED.replace(forced.clone());
        let done = what();
        FORCED.set(before);
        done
    }

    pub(super) fn is_forced(ablation: Ablation) -> bool {
        FORCED.with_borrow(|forced| forced.contains(&ablation))
    }
}

#[cfg(feature = "ablate")]
pub use forced::without;

/// Whether a rule is taken away.
#[cfg(feature = "ablate")]
#[must_use]
pub fn is_gone(ablation: Ablation) -> bool {
    forced::is_forced(ablation)
}

/// Whether a rule is taken away: never.
#[cfg(not(feature = "ablate"))]
#[must_use]
pub const fn is_gone(_: Ablation) -> bool {
    false
}
