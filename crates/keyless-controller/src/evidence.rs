//! Reads who uses a key, by service and call, and who was refused since the last change: a metric for each service, so it
//! is read only when asked for, and kept for a while.
//!
//! What is kept names people. What decides is read anew: a confirmation never gets anything from here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use keyless_arm::api::{Answer, ReadArm};
use keyless_arm::error::ArmError;
use keyless_core::id::{LogAnalyticsId, StorageAccountId};
use keyless_core::observed::{KeyCallers, KeyDetails, KeyUsage, Reading, ServiceUse, Signed, StorageService, Traffic};
use tokio::time::Instant;

use crate::failed::failed;

/// How often things are read, by how far metrics lag (15 minutes): what is not there yet cannot be read sooner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// How long the names behind a shut gate are told again without a new read: an hour.
    pub(crate) names: Duration,
    /// How often it is asked who was refused: every five minutes one request for each watched account, and four more where
    /// somebody was.
    pub(crate) watch: Duration,
    /// How long after something no more is told of what was before it.
    pub(crate) settled: Duration,
    /// Metrics come by the minute, so a window must hold one.
    shortest: Duration,
}

impl Pace {
    /// Design decision: four times the lag, a third and a fifteenth of it.
    pub(crate) fn of(metrics_lag: Duration) -> Self {
        Self {
            names: metrics_lag.saturating_mul(4),
            settled: metrics_lag.saturating_mul(4),
            watch: metrics_lag / 3,
            shortest: metrics_lag / 15,
        }
    }
}

/// How long a pass waits for the resource logs, with all that may hold a request back. Design decision: longer than such a
/// query takes as a rule, and shorter than anybody notices in an hour.
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// What was read of each account.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    kept: Mutex<BTreeMap<StorageAccountId, Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    /// With the length of the window they are about.
    names: Option<(Instant, Duration, Reading<KeyDetails>)>,
    /// With the start of the window they are about.
    denials: Option<(Instant, Timestamp, Reading<KeyDetails>)>,
    /// With where they are from and the length of the window they are about.
    callers: Option<(Instant, LogAnalyticsId, Duration, Reading<KeyCallers>)>,
}

/// A window of time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

impl Evidence {
    fn kept(&self) -> MutexGuard<'_, BTreeMap<StorageAccountId, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets accounts that no document asks about any more.
    pub(crate) fn keep_only(&self, keys: &BTreeSet<StorageAccountId>) {
        self.kept().retain(|key, _| keys.contains(key));
    }

    /// Lets the logs be asked again at once where they failed: a person was here.
    pub(crate) fn forgive(&self) {
        for kept in self.kept().values_mut() {
            kept.callers.take_if(|(.., callers)| callers.failure().is_some());
        }
    }

    /// Who uses the key in the window, which is `idle` long. Without `keep` it is read whatever is kept.
    pub(crate) async fn names(
        &self,
        read: &dyn ReadArm,
        account: &StorageAccountId,
        window: Window,
        idle: Duration,
        keep: Option<Pace>,
    ) -> Reading<KeyDetails> {
        let kept = self.kept().get(account).and_then(|kept| kept.names.clone());
        if let (Some((since, length, names)), Some(pace)) = (kept, keep)
            && length == idle
            && since.elapsed() < pace.names
        {
            return names;
        }
        let names = by_service(read, account, window).await;
        let known = matches!(names, Reading::Known { .. }).then(|| (Instant::now(), idle, names.clone()));
        self.kept().entry(account.clone()).or_default().names = known;
        names
    }

    /// Who called in the window, by the resource logs. They decide nothing, so a failure is kept as long as an answer is:
    /// logs that are down cost no more than logs that answer.
    pub(crate) async fn callers(
        &self,
        read: &dyn ReadArm,
        logs: &LogAnalyticsId,
        account: &StorageAccountId,
        Window { from, to }: Window,
        for_as_long: Duration,
    ) -> Reading<KeyCallers> {
        let length = Duration::try_from(to.duration_since(from)).unwrap_or_default();
        let kept = self.kept().get(account).and_then(|kept| kept.callers.clone());
        if let Some((since, of, about, callers)) = kept
            && of == *logs
            && about == length
            && since.elapsed() < for_as_long
        {
            return callers;
        }
        let callers = match tokio::time::timeout(ASK_WITHIN, read.key_callers(logs, account, from, to)).await {
            Ok(Ok(Answer { value, at, request_id: _ })) => Reading::known(value, at),
            Ok(Err(error)) => failed(&error),
            Err(_) => Reading::unknown(format!("the logs did not answer within {} seconds", ASK_WITHIN.as_secs())),
        };
        let kept = (Instant::now(), logs.clone(), length, callers.clone());
        self.kept().entry(account.clone()).or_default().callers = Some(kept);
        callers
    }

    /// Who was refused from an instant on. `now` is the server's time.
    pub(crate) async fn denials(
        &self,
        read: &dyn ReadArm,
        account: &StorageAccountId,
        from: Timestamp,
        now: Timestamp,
        pace: Pace,
    ) -> Reading<KeyDetails> {
        let kept = self.kept().get(account).and_then(|kept| kept.denials.clone());
        if let Some((since, known_from, denials)) = kept
            && known_from == from
            && since.elapsed() < pace.watch
        {
            return denials;
        }
        let denials = refused(read, account, Window { from, to: now }, pace.shortest).await;
        let known = matches!(denials, Reading::Known { .. }).then(|| (Instant::now(), from, denials.clone()));
        self.kept().entry(account.clone()).or_default().denials = known;
        denials
    }
}

/// All services, one after the other: it is no hurry.
async fn by_service(read: &dyn ReadArm, account: &StorageAccountId, window: Window) -> Reading<KeyDetails> {
    match ask_services(read, account, window).await {
        Ok((details, at)) => Reading::known(details, at),
        Err(error) => failed(&error),
    }
}

async fn ask_services(
    read: &dyn ReadArm,
    account: &StorageAccountId,
    Window { from, to }: Window,
) -> Result<(KeyDetails, Timestamp), ArmError> {
    let mut all = KeyDetails { from, to, complete: true, uses: Vec::new() };
    let mut oldest: Option<Timestamp> = None;
    for service in StorageService::ALL {
        let Answer { value, at, request_id: _ } = read.service_usage(account, service, from, to).await?;
        let KeyDetails { from: _, to: _, complete, uses } = value;
        all.complete &= complete;
        all.uses.extend(uses);
        oldest = Some(oldest.map_or(at, |oldest| oldest.min(at)));
    }
    Ok((all, oldest.unwrap_or(to)))
}

/// First the account as a whole; by service only if anybody was refused.
async fn refused(
    read: &dyn ReadArm,
    account: &StorageAccountId,
    window: Window,
    shortest: Duration,
) -> Reading<KeyDetails> {
    let Window { from, to } = window;
    let nobody = |complete| KeyDetails { from, to, complete, uses: Vec::new() };
    let length = Duration::try_from(to.duration_since(from)).unwrap_or_default();
    if length.is_zero() || length < shortest {
        return Reading::known(nobody(true), to);
    }
    let (usage, at) = match read.key_usage(account, from, to).await {
        Ok(Answer { value, at, request_id: _ }) => (value, at),
        Err(error) => return failed(&error),
    };
    let KeyUsage { complete, account_key_failed, sas_failed, oauth_refused, .. } = usage;
    let kinds = [(Signed::AccountKey, account_key_failed), (Signed::Sas, sas_failed), (Signed::OAuth, oauth_refused)];
    if kinds.iter().all(|(_, traffic)| traffic.count == 0) {
        return Reading::known(nobody(complete), at);
    }
    match by_service(read, account, window).await {
        Reading::Known { mut value, at } => {
            value.uses.retain(|one| one.refused);
            Reading::known(value, at)
        }
        // That somebody was refused is known, and worth telling without the names.
        Reading::Unknown { .. } | Reading::NotRead => {
            let known = |(signed, traffic): (Signed, Traffic)| ServiceUse {
                service: None,
                api: String::new(),
                signed,
                refused: true,
                traffic,
            };
            let uses = kinds.into_iter().filter(|(_, traffic)| traffic.count > 0).map(known).collect();
            Reading::known(KeyDetails { uses, ..nobody(complete) }, at)
        }
    }
}
