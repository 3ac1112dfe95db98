//! Counts how often reads of one account have shown what is young: assignments, and who is in which group.
//!
//! Nothing is read for it; it takes in what passes read anyway. How many reads are enough is core's to say
//! (`keyless_core::access`). A read that failed tells nothing either way; a complete one that misses it ends the row.
//!
//! A row outlives the process if the next one reads soon enough: a membership that ended and came back while nobody looked
//! must not count as older than it is, so a gap as long as a row in one process may have is the most that is bridged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use keyless_core::desired::Waits;
use keyless_core::id::{PrincipalId, StorageAccountId};
use keyless_core::observed::{Agreement, RoleAssignment, Shown};

use crate::clock::{DATE_GRAIN, ServerClock, later};
use crate::who::APART;

/// When a read was made, told cautiously in both directions, for the `Date` of an answer is cut to a second or wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// It was not earlier: what two reads are held apart by.
    least: Timestamp,
    /// It was not later: what an age begins with.
    most: Timestamp,
}

impl Moment {
    /// The moment of an answer that told `at`.
    pub(crate) fn of(at: Timestamp, clock: &ServerClock) -> Self {
        let least = clock.last().map_or(at, |last| last.min(at));
        let most = clock.now().unwrap_or(at).max(at).saturating_add(DATE_GRAIN).unwrap_or(Timestamp::MAX);
        Self { least, most }
    }
}

/// A row, and when it was last added to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Row {
    pub(crate) agreement: Agreement,
    /// The last read that showed it, whether it counted or not.
    pub(crate) seen: Timestamp,
}

impl Row {
    /// Whether a read at `moment` continues it, nobody having looked in between.
    fn reaches(&self, moment: Moment, bridged: Duration) -> bool {
        let Self { agreement: Agreement { first, last, reads: _ }, seen } = *self;
        // Another server's clock may have told them.
        let now = later(moment.most, APART);
        first <= now && last <= now && seen <= now && moment.most <= later(seen, bridged)
    }
}

/// What was shown, and by how many reads.
#[derive(Debug, Default)]
pub(crate) struct Agreements {
    rows: BTreeMap<Shown, Row>,
    /// What the last process left and nothing has been read of yet.
    earlier: BTreeMap<Shown, Row>,
    /// How long ago the last process may have read it.
    bridged: Duration,
}

impl Agreements {
    /// Takes in what the last process left: it counts from the first read that shows it, if that comes within `bridged`.
    pub(crate) fn recall(&mut self, rows: BTreeMap<Shown, Row>, bridged: Duration) {
        self.earlier = rows;
        self.bridged = bridged;
    }

    /// Lets go of what the last process left and no read of this one can continue any more.
    pub(crate) fn forget_unbridged(&mut self, now: Timestamp) {
        let bridged = self.bridged;
        self.earlier.retain(|_, row| now <= later(row.seen, bridged));
    }

    /// For the next process, with what nothing was read of since the last.
    pub(crate) fn noted(&self) -> BTreeMap<Shown, Row> {
        let mut noted = self.earlier.clone();
        noted.extend(self.rows.iter().map(|(shown, row)| (shown.clone(), *row)));
        noted
    }

    /// Takes in a complete list of the assignments at an account. What is of old is not counted, which bounds this.
    pub(crate) fn saw_assignments(
        &mut self,
        place: &StorageAccountId,
        list: &[RoleAssignment],
        moment: Moment,
        waits: &Waits,
    ) {
        let settled = SignedDuration::try_from(waits.settled_after()).unwrap_or(SignedDuration::MAX);
        let young = list.iter().filter_map(|assignment| {
            let made = assignment.created_on.max(assignment.updated_on)?;
            let shown = Shown::Assignment { at: place.clone(), id: assignment.id.clone(), made };
            (moment.least.duration_since(made) < settled).then_some(shown)
        });
        let young: BTreeSet<Shown> = young.collect();
        self.retain(|shown| match shown {
            Shown::Assignment { at, .. } => at != place || young.contains(shown),
            Shown::Member { .. } => true,
        });
        for shown in young {
            self.saw(shown, moment, waits);
        }
    }

    /// Takes in which groups a principal is in.
    pub(crate) fn saw_groups(
        &mut self,
        member: PrincipalId,
        groups: &BTreeSet<PrincipalId>,
        moment: Moment,
        waits: &Waits,
    ) {
        self.retain(|shown| match shown {
            Shown::Member { principal, group } => *principal != member || groups.contains(group),
            Shown::Assignment { .. } => true,
        });
        for group in groups {
            self.saw(Shown::Member { principal: member, group: *group }, moment, waits);
        }
    }

    fn retain(&mut self, keep: impl Fn(&Shown) -> bool) {
        self.rows.retain(|shown, _| keep(shown));
        self.earlier.retain(|shown, _| keep(shown));
    }

    fn saw(&mut self, shown: Shown, moment: Moment, waits: &Waits) {
        let begun = || Row { agreement: Agreement::begun(moment.most), seen: moment.least };
        let earlier = self.earlier.remove(&shown).filter(|row| row.reaches(moment, self.bridged));
        let row = self.rows.entry(shown).or_insert_with(|| earlier.unwrap_or_else(begun));
        row.agreement.seen_again(moment.least, waits.reads_apart());
        row.seen = row.seen.max(moment.least);
    }

    /// All of it.
    pub(crate) fn told(&self) -> BTreeMap<Shown, Agreement> {
        self.rows.iter().map(|(shown, row)| (shown.clone(), row.agreement)).collect()
    }

    /// Whether more reads of a principal's groups are needed before they prove what they show.
    pub(crate) fn await_groups(&self, principal: PrincipalId, waits: &Waits) -> bool {
        let of_it = |shown: &Shown| matches!(shown, Shown::Member { principal: member, .. } if *member == principal);
        self.rows.iter().any(|(shown, row)| of_it(shown) && !waits.are_met_by(&row.agreement))
    }

    /// Since when every read has shown a principal (first) in a group (second).
    pub(crate) fn member_since(&self) -> BTreeMap<(PrincipalId, PrincipalId), Timestamp> {
        let since = |(shown, row): (&Shown, &Row)| match shown {
            Shown::Member { principal, group } => Some(((*principal, *group), row.agreement.first)),
            Shown::Assignment { .. } => None,
        };
        self.rows.iter().filter_map(since).collect()
    }
}

#[cfg(test)]
mod tests {
    use keyless_core::catalog::BLOB_READER;
    use keyless_core::id::AssignmentName;

    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
    }

    fn read(minutes: i64) -> Moment {
        Moment { least: at(minutes), most: at(minutes) }
    }

    fn place(name: &str) -> StorageAccountId {
        let group = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg";
        StorageAccountId::parse(&format!("{group}/providers/Microsoft.Storage/storageAccounts/{name}")).unwrap()
    }

    fn assignment(number: u128, made: i64) -> RoleAssignment {
        let scope = place("stone").arm().clone();
        let name = AssignmentName(uuid::Uuid::from_u128(number));
        RoleAssignment {
            id: scope.role_assignment(name),
            name,
            scope,
            principal: PrincipalId(uuid::Uuid::from_u128(1)),
            principal_type: None,
            role: BLOB_READER,
            condition: None,
            description: None,
            created_on: Some(at(made)),
            updated_on: Some(at(made)),
        }
    }

    fn counts(agreements: &Agreements) -> Vec<u32> {
        agreements.told().values().map(|row| row.reads).collect()
    }

    #[test]
    fn a_list_that_misses_it_begins_the_count_anew_and_one_of_another_account_does_not() {
        let (mut agreements, waits) = (Agreements::default(), Waits::default());
        let (one, two) = (assignment(1, 0), assignment(2, 0));
        for (minute, list, expected) in [
            (0, vec![one.clone(), two.clone()], vec![1, 1]),
            (1, vec![one.clone(), two.clone()], vec![1, 1]),
            (4, vec![one.clone(), two.clone()], vec![2, 2]),
            (5, vec![two.clone()], vec![2]),
            (6, vec![one.clone(), two.clone()], vec![1, 2]),
            (8, vec![one.clone(), two.clone()], vec![1, 3]),
            (10, vec![one.clone(), two.clone()], vec![2, 3]),
        ] {
            agreements.saw_assignments(&place("stone"), &list, read(minute), &waits);
            agreements.saw_assignments(&place("sand"), &[], read(minute), &waits);
            assert_eq!(counts(&agreements), expected, "minute {minute}");
        }
    }

    #[test]
    fn an_assignment_that_was_made_anew_is_another_one() {
        let (mut agreements, waits) = (Agreements::default(), Waits::default());
        agreements.saw_assignments(&place("stone"), &[assignment(1, 0)], read(1), &waits);
        agreements.saw_assignments(&place("stone"), &[assignment(1, 0)], read(9), &waits);
        assert_eq!(counts(&agreements), [2]);
        agreements.saw_assignments(&place("stone"), &[assignment(1, 10)], read(20), &waits);
        assert_eq!(counts(&agreements), [1]);
    }

    #[test]
    fn what_is_of_old_is_not_counted() {
        let (mut agreements, waits) = (Agreements::default(), Waits::default());
        let list: Vec<RoleAssignment> = (0..1_000).map(|number| assignment(number, -500)).collect();
        agreements.saw_assignments(&place("stone"), &list, read(0), &waits);
        assert!(agreements.told().is_empty());
    }

    #[test]
    fn the_groups_of_one_principal_say_nothing_of_another() {
        let (mut agreements, waits) = (Agreements::default(), Waits::default());
        let id = |number| PrincipalId(uuid::Uuid::from_u128(number));
        agreements.saw_groups(id(1), &BTreeSet::from([id(7), id(8)]), read(0), &waits);
        agreements.saw_groups(id(2), &BTreeSet::from([id(7)]), read(1), &waits);
        agreements.saw_groups(id(1), &BTreeSet::from([id(8)]), read(2), &waits);
        let since = agreements.member_since();
        assert_eq!(since, BTreeMap::from([((id(1), id(8)), at(0)), ((id(2), id(7)), at(1))]));
    }

    #[test]
    fn what_the_last_process_left_counts_only_from_a_read_that_comes_soon_and_shows_it() {
        let waits = Waits::default();
        let id = |number| PrincipalId(uuid::Uuid::from_u128(number));
        let mut last = Agreements::default();
        for minute in [0, 5, 10] {
            last.saw_groups(id(1), &BTreeSet::from([id(7), id(8)]), read(minute), &waits);
        }
        let since = |minute, groups: &[u128]| {
            let mut next = Agreements::default();
            next.recall(last.noted(), Duration::from_secs(600));
            assert!(next.member_since().is_empty(), "nothing counts before it is read");
            next.saw_groups(id(1), &groups.iter().copied().map(id).collect(), read(minute), &waits);
            next.saw_groups(id(1), &BTreeSet::from([id(7), id(8)]), read(minute), &waits);
            let since = next.member_since();
            [7, 8].map(|group| (since[&(id(1), id(group))].as_second() - at(0).as_second()) / 60)
        };
        assert_eq!(since(12, &[7, 8]), [0, 0]);
        assert_eq!(since(20, &[7, 8]), [0, 0]);
        assert_eq!(since(21, &[7, 8]), [21, 21], "nobody looked for too long");
        assert_eq!(since(12, &[7]), [0, 12], "the first read does not show it");
        assert_eq!(since(9, &[7, 8]), [9, 9], "it is newer than now");
        let mut next = Agreements::default();
        next.recall(last.noted(), Duration::from_secs(600));
        let skewed = at(10) - SignedDuration::from_secs(3);
        next.saw_groups(id(1), &BTreeSet::from([id(7)]), Moment { least: skewed, most: skewed }, &waits);
        assert_eq!(next.member_since()[&(id(1), id(7))], at(0), "servers' clocks are not quite the same");
        next.recall(last.noted(), Duration::from_secs(600));
        next.forget_unbridged(at(20));
        assert_eq!(next.noted().len(), 2);
        next.forget_unbridged(at(21));
        assert_eq!(next.noted().len(), 1, "only what was read by this process");
    }
}
