//! What a process leaves in `stateDir` for the next one, beside the settled mark: conveniences, all of them.
//!
//! Who is in which group since when, how often what is young was shown, whose keys were taken, what is fought over, and
//! since when an account is watched. Losing it costs waiting, or a fight is noticed later; never safety. So a file that is
//! damaged, of another version, of another owner or newer than now is told and ignored, and what is in it counts only
//! where nothing can have come between: see `agreements` and `fights`. It holds ids, times and names of logins, and no
//! secret. A file that could not be replaced is removed, for what was true when it was written may be so no more.

mod form;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use keyless_arm::small_file::Unfit;
use keyless_core::id::{StorageAccountId, WorkspaceId};
use keyless_core::observed::{KeysTaken, Shown, WatchFrom};
use keyless_core::setting::Setting;
use tokio::time::Instant;

use crate::agreements::Row;
use crate::fights::Bout;
use crate::mark::StateDir;
use crate::memory::Holders;

use form::{VERSION, decoded, encoded};

/// The file's name.
const FILE: &str = "notes.json";

/// A larger file is not read, and of more the oldest rows are left out: some 20,000 memberships and young grants stay.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// The file is written at most so often while the process runs, or once per interval; a death costs what came since.
pub(crate) const PACE: Duration = Duration::from_secs(5);

/// When it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// If this long has passed since it last was.
    After(Duration),
    /// Now: the process ends.
    AtTheEnd,
}

/// What is known of one account.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Noted {
    pub(crate) shown: BTreeMap<Shown, Row>,
    pub(crate) keys_taken: BTreeMap<WorkspaceId, KeysTaken>,
    pub(crate) bouts: BTreeMap<Setting, Bout>,
    pub(crate) watch: Option<WatchFrom>,
    /// Until when something may have signed with the key.
    pub(crate) signed_until: Option<Timestamp>,
    /// What signed with it when it was looked at last.
    pub(crate) on_key: Holders<bool>,
    /// Whether it was looked at once who is on identity already.
    pub(crate) looked_for_switches: bool,
}

impl Noted {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Whether both say the same but for how lately, and so how often, each row was shown.
    fn differs_in_reads_only(&self, other: &Self) -> bool {
        let Self { shown, keys_taken, bouts, watch, signed_until, on_key, looked_for_switches } = self;
        let begun = |(shown, row): (&Shown, &Row)| (shown.clone(), row.agreement.first);
        keys_taken == &other.keys_taken
            && bouts == &other.bouts
            && watch == &other.watch
            && on_key == &other.on_key
            && signed_until == &other.signed_until
            && looked_for_switches == &other.looked_for_switches
            && shown.len() == other.shown.len()
            && shown.iter().map(begun).eq(other.shown.iter().map(begun))
    }
}

/// Why the file is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("it could not be read")]
    Read(#[source] Unfit),
    #[error("it is damaged")]
    Damaged(#[source] serde_json::Error),
    #[error("it is of version {0}, and this is version {VERSION}")]
    Version(u32),
    #[error("it is of owner `{0}`")]
    Owner(String),
    #[error("it is of {0}, which has not come yet")]
    Ahead(Timestamp),
}

/// What is not kept for the next process.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    #[error("what this process remembers could not be kept; a restart costs waiting")]
    All(#[source] io::Error),
    #[error(
        "more than {MOST_BYTES} bytes are remembered, so the {0} oldest reads are not kept; a restart costs waiting"
    )]
    Oldest(usize),
}

/// The file.
#[derive(Debug)]
pub(crate) struct Notes {
    /// How long rows whose reads are all that is new may wait: half of what a restart bridges.
    reads_wait: Duration,
    /// After how long an unchanged loss is told again.
    reminder: Duration,
    most_bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the last process left a file, which must not outlive what this one knows.
    left: bool,
    written: Option<Written>,
    told: Option<Instant>,
}

#[derive(Debug)]
struct Written {
    at: Instant,
    /// Whether it was kept as a whole.
    kept: bool,
    noted: BTreeMap<StorageAccountId, Noted>,
}

impl Notes {
    /// `bridged` is how long a gap in the reads over a restart may be, `reminder` how often a loss is told.
    pub(crate) fn new(bridged: Duration, reminder: Duration) -> Self {
        Self { reads_wait: bridged / 2, reminder, most_bytes: MOST_BYTES, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what the last process left; nothing where there is no file.
    pub(crate) fn read(
        &self,
        state_dir: &StateDir,
        owner: &str,
        now: Timestamp,
    ) -> Result<BTreeMap<StorageAccountId, Noted>, Unusable> {
        let kept = state_dir.kept(FILE, self.most_bytes);
        self.state().left = !matches!(kept, Ok(None));
        match kept.map_err(Unusable::Read)? {
            None => Ok(BTreeMap::new()),
            Some(bytes) => decoded(&bytes, owner, now),
        }
    }

    /// Whether the time of a write has come.
    pub(crate) fn is_due(&self, when: When) -> bool {
        match (when, &self.state().written) {
            (When::After(pace), Some(written)) => written.at.elapsed() >= pace,
            (When::After(_), None) | (When::AtTheEnd, _) => true,
        }
    }

    /// Writes the file if that says something new. It waits for the disk, and one write at a time may be under way. Returns
    /// what is lost, where that is to be told.
    pub(crate) fn write(
        &self,
        state_dir: &StateDir,
        owner: &str,
        now: Timestamp,
        when: When,
        mut noted: BTreeMap<StorageAccountId, Noted>,
    ) -> Option<Lost> {
        noted.retain(|_, noted| !noted.is_nothing());
        {
            let state = self.state();
            if !self.is_news(&state, &noted, when) {
                return None;
            }
        }
        let lost = self.keep(state_dir, owner, now, &noted);
        let mut state = self.state();
        // Where nothing could be kept, nothing is left either.
        state.left = false;
        let kept = !matches!(lost, Some(Lost::All(_)));
        state.written = Some(Written { at: Instant::now(), kept, noted });
        if lost.is_none() {
            state.told = None;
        } else if state.told.is_none_or(|told| told.elapsed() >= self.reminder) {
            state.told = Some(Instant::now());
            return lost;
        }
        None
    }

    fn is_news(&self, state: &State, noted: &BTreeMap<StorageAccountId, Noted>, when: When) -> bool {
        let Some(written) = &state.written else { return state.left || !noted.is_empty() };
        if !written.kept {
            return true;
        }
        let same = written.noted.len() == noted.len()
            && written
                .noted
                .iter()
                .zip(noted)
                .all(|((a, before), (b, after))| a == b && before.differs_in_reads_only(after));
        let reads_count = when == When::AtTheEnd || written.at.elapsed() >= self.reads_wait;
        !same || (reads_count && written.noted != *noted)
    }

    fn keep(
        &self,
        state_dir: &StateDir,
        owner: &str,
        now: Timestamp,
        noted: &BTreeMap<StorageAccountId, Noted>,
    ) -> Option<Lost> {
        let fitting = self.fitting(owner, now, noted);
        let kept = fitting.and_then(|(bytes, dropped)| state_dir.keep(FILE, bytes).map(|()| dropped));
        match kept {
            Ok(0) => None,
            Ok(dropped) => Some(Lost::Oldest(dropped)),
            Err(error) => {
                // If this fails too, the next process finds out by itself what of it is too old, but not what was undone.
                if let Err(error) = state_dir.forget(FILE) {
                    tracing::debug!(error = %error, "what was remembered before could not be removed");
                }
                Some(Lost::All(error))
            }
        }
    }

    /// The content, and how many of the rows that were shown longest ago are left out to make it small enough.
    fn fitting(
        &self,
        owner: &str,
        now: Timestamp,
        noted: &BTreeMap<StorageAccountId, Noted>,
    ) -> io::Result<(Vec<u8>, usize)> {
        let bytes = encoded(noted, owner, now)?;
        if bytes.len() <= self.most_bytes {
            return Ok((bytes, 0));
        }
        let mut rows: Vec<(Timestamp, &StorageAccountId, &Shown)> = noted
            .iter()
            .flat_map(|(key, noted)| noted.shown.iter().map(move |(shown, row)| (row.seen, key, shown)))
            .collect();
        rows.sort_unstable();
        let (all, mut fewer) = (rows.len(), noted.clone());
        let mut rows = rows.into_iter();
        while rows.len() > 0 {
            // An eighth at a time: rows are of different lengths.
            for (_, key, shown) in rows.by_ref().take(all / 8 + 1) {
                if let Some(noted) = fewer.get_mut(key) {
                    noted.shown.remove(shown);
                }
            }
            let bytes = encoded(&fewer, owner, now)?;
            if bytes.len() <= self.most_bytes {
                return Ok((bytes, all - rows.len()));
            }
        }
        Err(io::Error::other(format!("it would be larger than {} bytes without any reads too", self.most_bytes)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use keyless_core::desired::Waits;
    use keyless_core::id::PrincipalId;
    use keyless_core::observed::{Again, KeyTimes, WatchCause};

    use super::*;
    use crate::agreements::{Agreements, Moment};
    use crate::clock::ServerClock;

    const HOUR: Duration = Duration::from_secs(3600);
    const BRIDGED: Duration = Duration::from_secs(600);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn account(name: &str) -> StorageAccountId {
        let group = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg";
        StorageAccountId::parse(&format!("{group}/providers/Microsoft.Storage/storageAccounts/{name}")).unwrap()
    }

    /// One account with this many members of a group, all of them seen at each of these seconds.
    fn members(count: u128, seconds: &[i64]) -> BTreeMap<StorageAccountId, Noted> {
        let mut agreements = Agreements::default();
        for second in seconds {
            for member in 0..count {
                let (id, group) =
                    (PrincipalId(uuid::Uuid::from_u128(member)), PrincipalId(uuid::Uuid::from_u128(1 << 90)));
                // The first are seen longest ago.
                let moment = Moment::of(at(second + i64::try_from(member).unwrap()), &ServerClock::default());
                agreements.saw_groups(id, &BTreeSet::from([group]), moment, &Waits::default());
            }
        }
        let noted = Noted { shown: agreements.noted(), ..Noted::default() };
        BTreeMap::from([(account("stone"), noted)])
    }

    /// Watched since before the file is written.
    fn watched(second: i64) -> BTreeMap<StorageAccountId, Noted> {
        let watch = Some(WatchFrom { at: at(second - 1_000), because: WatchCause::FirstSeenSwitched });
        BTreeMap::from([(account("stone"), Noted { watch, looked_for_switches: true, ..Noted::default() })])
    }

    struct Desk {
        dir: tempfile::TempDir,
        state_dir: StateDir,
        notes: Notes,
    }

    impl Desk {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let state_dir = StateDir::open(dir.path()).unwrap();
            Self { dir, state_dir, notes: Notes::new(BRIDGED, HOUR) }
        }

        fn write(&self, noted: BTreeMap<StorageAccountId, Noted>) -> Option<Lost> {
            self.notes.write(&self.state_dir, "keyless", at(0), When::After(PACE), noted)
        }

        /// As the next process reads it.
        fn read(&self) -> BTreeMap<StorageAccountId, Noted> {
            Notes::new(BRIDGED, HOUR).read(&self.state_dir, "keyless", at(0)).unwrap()
        }

        fn is_there(&self) -> bool {
            self.dir.path().join(FILE).exists()
        }

        /// From now on nothing can be written over the file.
        fn breaks(&self) {
            fs::create_dir(self.dir.path().join("notes.json.new")).unwrap();
        }

        fn is_mended(&self) {
            fs::remove_dir(self.dir.path().join("notes.json.new")).unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_written_is_read() {
        let desk = Desk::new();
        assert!(desk.write(BTreeMap::new()).is_none());
        assert!(!desk.is_there(), "there is nothing to say");
        let mut noted = members(2, &[0, 400]);
        noted.get_mut(&account("stone")).unwrap().watch = watched(7)[&account("stone")].watch;
        assert!(desk.write(noted.clone()).is_none());
        assert_eq!(desk.read(), noted);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_whose_age_is_not_told_are_forgotten_and_that_they_are_owed_is_not() {
        let told = KeyTimes { key1: Some(at(-9)), key2: Some(at(-8)) };
        let half = KeyTimes { key2: None, ..told };
        for (keys, again, read) in [
            (Some(told), Again::NotYet, Some(Some(told))),
            (Some(told), Again::Due, Some(Some(told))),
            (Some(told), Again::Done, Some(Some(told))),
            (Some(half), Again::NotYet, Some(None)),
            (Some(KeyTimes::default()), Again::Due, Some(None)),
            (None, Again::Due, Some(None)),
            (Some(half), Again::Done, None),
        ] {
            let id = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers\
                      /Microsoft.MachineLearningServices/workspaces/fraud";
            let keys_taken = BTreeMap::from([(WorkspaceId::parse(id).unwrap(), KeysTaken { keys, again })]);
            let desk = Desk::new();
            let noted = Noted { keys_taken, looked_for_switches: true, ..Noted::default() };
            desk.write(BTreeMap::from([(account("stone"), noted)]));
            let known = desk.read().remove(&account("stone")).unwrap().keys_taken;
            let known: Vec<KeysTaken> = known.into_values().collect();
            let expected: Vec<KeysTaken> = read.map(|keys| KeysTaken { keys, again }).into_iter().collect();
            assert_eq!(known, expected, "{keys:?} {again:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_over_does_not_come_back_though_there_is_nothing_else_to_note() {
        let first = Desk::new();
        first.write(watched(0));
        let next = Notes::new(BRIDGED, HOUR);
        assert_eq!(next.read(&first.state_dir, "keyless", at(0)).unwrap(), watched(0));
        next.write(&first.state_dir, "keyless", at(1), When::After(PACE), BTreeMap::new());
        assert_eq!(first.read(), BTreeMap::new());
        // Nor does what was not understood.
        fs::write(first.dir.path().join(FILE), "{}").unwrap();
        let next = Notes::new(BRIDGED, HOUR);
        assert!(next.read(&first.state_dir, "keyless", at(0)).is_err());
        next.write(&first.state_dir, "keyless", at(1), When::After(PACE), BTreeMap::new());
        assert_eq!(first.read(), BTreeMap::new());
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_cannot_be_replaced_is_removed_and_that_is_told_once_and_as_a_reminder() {
        let desk = Desk::new();
        assert!(desk.write(watched(0)).is_none() && desk.is_there());
        desk.breaks();
        assert!(matches!(desk.write(watched(1)), Some(Lost::All(_))));
        assert!(!desk.is_there(), "a later process would believe what is so no more");
        for second in 2..100 {
            assert!(desk.write(watched(second)).is_none());
        }
        tokio::time::advance(HOUR).await;
        assert!(matches!(desk.write(watched(100)), Some(Lost::All(_))), "a reminder");
        desk.is_mended();
        assert!(desk.write(watched(100)).is_none());
        assert_eq!(desk.read(), watched(100), "the same content is tried again");
        desk.breaks();
        assert!(desk.write(watched(101)).is_some(), "lost again is news");
    }

    #[tokio::test(start_paused = true)]
    async fn of_too_much_what_was_shown_longest_ago_is_left_out_and_that_is_told_once() {
        let desk = Desk::new();
        let desk = Desk { notes: Notes { most_bytes: 10_000, ..desk.notes }, ..desk };
        let lost = desk.write(members(100, &[0])).unwrap();
        let kept = desk.read().remove(&account("stone")).unwrap();
        let Lost::Oldest(left_out) = lost else { panic!("{lost}") };
        assert_eq!(kept.shown.len() + left_out, 100);
        assert!(kept.shown.len() >= 30, "{}", kept.shown.len());
        let mut seen: Vec<i64> = kept.shown.values().map(|row| row.seen.as_second() - at(0).as_second()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (i64::try_from(left_out).unwrap()..100).collect::<Vec<_>>());
        assert!(desk.write(members(101, &[0])).is_none());
        assert!(fs::metadata(desk.dir.path().join(FILE)).unwrap().len() <= 10_000);
    }

    #[tokio::test(start_paused = true)]
    async fn that_the_same_was_read_again_is_written_seldom_and_at_the_end() {
        let desk = Desk::new();
        let modified = |noted: &BTreeMap<StorageAccountId, Noted>| desk.read() == *noted;
        let (mut read, begun) = (vec![0], Instant::now());
        desk.write(members(3, &read));
        let mut written = 0;
        while begun.elapsed() < HOUR {
            tokio::time::advance(Duration::from_secs(5)).await;
            read.push(i64::try_from(begun.elapsed().as_secs()).unwrap());
            let noted = members(3, &read);
            desk.write(noted.clone());
            written += usize::from(modified(&noted));
        }
        assert_eq!(written, 12, "every five minutes");
        let noted = members(3, &[read.clone(), vec![3_604]].concat());
        desk.write(noted.clone());
        assert!(!modified(&noted));
        desk.notes.write(&desk.state_dir, "keyless", at(0), When::AtTheEnd, noted.clone());
        assert!(modified(&noted));
        let noted = members(4, &read);
        desk.write(noted.clone());
        assert!(modified(&noted), "who is new is news");
    }

    #[test]
    fn whatever_is_noted_is_news_but_that_the_same_was_read_again() {
        let id = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers\
                  /Microsoft.MachineLearningServices/workspaces/fraud";
        let bout = Bout { words: None, set: true, right: true, reversals: vec![], names: vec![], held_until: None };
        let taken = KeysTaken { keys: None, again: Again::Due };
        let watch = WatchFrom { at: at(0), because: WatchCause::FirstSeenSwitched };
        let holds = Holders { files: true, ..Holders::default() };
        let nothing = Noted::default();
        for news in [
            Noted { keys_taken: BTreeMap::from([(WorkspaceId::parse(id).unwrap(), taken)]), ..Noted::default() },
            Noted { bouts: BTreeMap::from([(Setting::SharedKey, bout)]), ..Noted::default() },
            Noted { watch: Some(watch), ..Noted::default() },
            Noted { signed_until: Some(at(0)), ..Noted::default() },
            Noted { on_key: holds, ..Noted::default() },
            Noted { looked_for_switches: true, ..Noted::default() },
            members(1, &[0]).remove(&account("stone")).unwrap(),
        ] {
            assert!(!nothing.differs_in_reads_only(&news), "{news:?}");
            assert!(news.differs_in_reads_only(&news.clone()));
        }
        let [once, again] = [&[0][..], &[0, 5]].map(|reads| members(1, reads).remove(&account("stone")).unwrap());
        assert!(once != again && once.differs_in_reads_only(&again));
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_of_a_server_whose_clock_is_a_little_ahead_is_used() {
        let desk = Desk::new();
        let write = |second| {
            let notes = Notes::new(BRIDGED, HOUR);
            notes.write(&desk.state_dir, "keyless", at(second), When::AtTheEnd, watched(-9));
        };
        write(5);
        assert_eq!(desk.read(), watched(-9));
        write(6);
        let read = Notes::new(BRIDGED, HOUR).read(&desk.state_dir, "keyless", at(0));
        assert!(matches!(read, Err(Unusable::Ahead(_))));
    }
}
