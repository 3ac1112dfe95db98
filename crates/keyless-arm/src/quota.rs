//! What Azure allows, and which allowance a call falls under. The governor keeps this client below it.
//! Sources: <https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling> and
//! MicrosoftDocs/azure-docs `includes/azure-storage-limits-azure-resource-manager.md`.

use keyless_core::id::SubscriptionId;

use crate::error::SetupError;

/// One token bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// How many calls may come at once.
    pub capacity: f64,
    /// How many calls are added each second.
    pub per_second: f64,
}

impl Rate {
    pub(crate) const fn new(capacity: f64, per_second: f64) -> Self {
        Self { capacity, per_second }
    }
}

/// What Azure allows, and how much of it is left to others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// GETs per subscription: 250, refilled by 25 a second.
    pub reads: Rate,
    /// PUT, PATCH and POST per subscription: 200, refilled by 10 a second.
    pub writes: Rate,
    /// DELETEs per subscription: 200, refilled by 10 a second.
    pub deletes: Rate,
    /// GETs of single accounts at the storage provider: 800 in 5 minutes.
    pub storage_reads: Rate,
    /// Lists at the storage provider: 100 in 5 minutes.
    pub storage_lists: Rate,
    /// Writes at the storage provider: 1,200 an hour.
    pub storage_writes: Rate,
    /// The part of each bucket, from 0 to below 1, that is never used.
    pub headroom: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            reads: Rate::new(250.0, 25.0),
            writes: Rate::new(200.0, 10.0),
            deletes: Rate::new(200.0, 10.0),
            storage_reads: Rate::new(800.0, 800.0 / 300.0),
            storage_lists: Rate::new(100.0, 100.0 / 300.0),
            storage_writes: Rate::new(1200.0, 1200.0 / 3600.0),
            headroom: 0.2,
        }
    }
}

impl Limits {
    pub(crate) fn check(&self) -> Result<(), SetupError> {
        let problems = self.problems();
        if problems.is_empty() { Ok(()) } else { Err(SetupError::Limits(problems.join("; "))) }
    }

    /// What would never let a call through, one sentence each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let Self { reads, writes, deletes, storage_reads, storage_lists, storage_writes, headroom } = self;
        if !(0.0..1.0).contains(headroom) {
            return vec![format!("the headroom {headroom} is not between 0 and 1")];
        }
        let mut problems = Vec::new();
        for (name, rate) in [
            ("reads", reads),
            ("writes", writes),
            ("deletes", deletes),
            ("storage reads", storage_reads),
            ("storage lists", storage_lists),
            ("storage writes", storage_writes),
        ] {
            let whole = rate.capacity * (1.0 - headroom) >= 1.0;
            if !whole || !rate.capacity.is_finite() || rate.per_second <= 0.0 || !rate.per_second.is_finite() {
                problems.push(format!("{name}: after headroom less than one call remains, or nothing is refilled"));
            }
        }
        problems
    }
}

/// The class of operation that Azure counts apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// A GET of one thing.
    Read,
    /// A GET of many things; a read for the resource manager.
    List,
    /// PUT, PATCH, POST.
    Write,
    /// DELETE.
    Delete,
}

/// Who answers below the resource manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Provider {
    /// The resource manager's own resources.
    Resources,
    Storage,
    MachineLearning,
    Authorization,
    Insights,
    ManagedIdentity,
    OperationalInsights,
}

/// Which quota a call falls under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) subscription: Option<SubscriptionId>,
    pub(crate) provider: Provider,
    pub(crate) class: Class,
}

impl Quota {
    /// The class at the resource manager, to whom a list is a read.
    pub(crate) fn managed(self) -> Class {
        if self.class == Class::List { Class::Read } else { self.class }
    }
}

/// Where a refusal or a count came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Throttle {
    ResourceManager,
    Provider,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_would_never_let_a_call_through_are_refused() {
        for bad in [
            Limits { headroom: 1.0, ..Limits::default() },
            Limits { headroom: -0.1, ..Limits::default() },
            Limits { reads: Rate::new(1.0, 1.0), ..Limits::default() },
            Limits { writes: Rate::new(200.0, 0.0), ..Limits::default() },
            Limits { deletes: Rate::new(f64::NAN, 1.0), ..Limits::default() },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        assert_eq!(Limits::default().check(), Ok(()));
    }
}
