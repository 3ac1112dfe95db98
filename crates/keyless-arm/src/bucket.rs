//! One token bucket, with what Azure has said about its own. The time comes in; nothing waits here.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::quota::Rate;

/// How long a quota is left alone that was refused without `Retry-After`, at first; doubles with each such refusal.
/// Design decision: the recorded waits of Azure are mostly of this size.
const UNTOLD_WAIT: Duration = Duration::from_secs(5);

/// How long a quota is left alone that is down to what others are to have, when Azure says so again; doubles as well.
const LOW_WAIT: Duration = Duration::from_secs(1);

/// Both end their growth here: a bucket that Azure refills by the second is full again in less, and one that it refills
/// by the hour is not asked more than once a minute.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A sleep that ends exactly on time must find a whole call in spite of rounding.
const ROUNDING: f64 = 1e-6;

/// One token bucket on tokio's clock. Without a rate it only knows open and closed.
pub(crate) struct Bucket {
    /// The share of Azure's rate that this client may use.
    rate: Option<Rate>,
    /// The part of Azure's bucket that is left to others.
    headroom: f64,
    /// May be below zero: as much has to come back before the next call.
    level: f64,
    at: Instant,
    /// Places that are kept for writes whose gates are being read.
    reserved: u32,
    closed_until: Option<Instant>,
    /// Refusals in a row that named no time.
    refusals: u32,
    /// Answers in a row that left nothing for us.
    lows: u32,
    /// How full Azure's own bucket was at most, by the header that tells.
    fullest: BTreeMap<String, f64>,
}

impl Bucket {
    /// A full bucket. `published` is Azure's own rate.
    pub(crate) fn new(published: Option<Rate>, headroom: f64, now: Instant) -> Self {
        let kept = 1.0 - headroom;
        let rate = published.map(|rate| Rate::new(rate.capacity * kept, rate.per_second * kept));
        Self {
            rate,
            headroom,
            level: rate.map_or(0.0, |rate| rate.capacity),
            at: now,
            reserved: 0,
            closed_until: None,
            refusals: 0,
            lows: 0,
            fullest: BTreeMap::new(),
        }
    }

    /// How long it is still closed.
    pub(crate) fn closed_for(&self, now: Instant) -> Duration {
        self.closed_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// When there is a place behind `ahead` others, as far as can be told now; `now` if there is one.
    pub(crate) fn ready(&mut self, now: Instant, ahead: u32) -> Instant {
        self.refill(now);
        let opens = self.closed_until.map_or(now, |until| until.max(now));
        let Some(rate) = self.rate else { return opens };
        let missing = 1.0 + f64::from(ahead) + f64::from(self.reserved) - self.level;
        if missing <= ROUNDING {
            return opens;
        }
        let wait = Duration::try_from_secs_f64(missing / rate.per_second).unwrap_or(LONGEST_WAIT);
        let refilled = now.checked_add(wait.max(Duration::from_millis(1))).unwrap_or(now + LONGEST_WAIT);
        refilled.max(opens)
    }

    /// Takes one place, whether or not there is one: ask [`Bucket::ready`] first.
    pub(crate) fn take(&mut self, now: Instant) {
        self.refill(now);
        self.level -= 1.0;
    }

    /// Keeps one place.
    pub(crate) fn reserve(&mut self) {
        self.reserved += 1;
    }

    /// Gives a kept place back.
    pub(crate) fn release(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
    }

    fn refill(&mut self, now: Instant) {
        let Some(rate) = self.rate else { return };
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + elapsed * rate.per_second).min(rate.capacity);
        self.at = self.at.max(now);
    }

    /// Azure said in the header `gauge` how much is left of a bucket that holds `full`, or more if it was seen fuller
    /// (older ones hold thousands). What others are to have is not ours; more than was thought is not believed.
    pub(crate) fn heard(&mut self, gauge: &str, left: f64, full: f64, now: Instant) {
        if !left.is_finite() || left < 0.0 {
            return;
        }
        self.refill(now);
        let fullest = self.fullest.entry(gauge.to_owned()).or_insert(full);
        *fullest = fullest.max(left);
        let ours = left - self.headroom * *fullest;
        self.level = self.level.min(ours);
        if ours >= 1.0 {
            self.lows = 0;
        } else if self.closed_for(now).is_zero() {
            // The refill that was counted on has not come, or nothing is known about it.
            if self.lows > 0 || self.rate.is_none() {
                self.close(grown(LOW_WAIT, self.lows.saturating_sub(1)), now);
            }
            self.lows = self.lows.saturating_add(1);
        }
    }

    /// Azure refused: nothing more is sent until `wait` is over; without one, for a while that grows.
    pub(crate) fn refused(&mut self, wait: Option<Duration>, now: Instant) {
        match wait.filter(|wait| !wait.is_zero()) {
            Some(wait) => self.close(wait, now),
            // Of the calls that were under way together the first one counts.
            None if !self.closed_for(now).is_zero() => {}
            None => {
                self.close(grown(UNTOLD_WAIT, self.refusals), now);
                self.refusals = self.refusals.saturating_add(1);
            }
        }
    }

    /// Azure let a call through.
    pub(crate) fn passed(&mut self) {
        self.refusals = 0;
    }

    fn close(&mut self, wait: Duration, now: Instant) {
        let Some(until) = now.checked_add(wait) else { return };
        self.closed_until = self.closed_until.max(Some(until));
    }
}

fn grown(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX).max(1)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const READS: Rate = Rate::new(250.0, 25.0);
    const SUBSCRIPTION: &str = "x-ms-ratelimit-remaining-subscription-reads";

    fn after(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// How many may be sent at once.
    fn burst(bucket: &mut Bucket, now: Instant) -> u32 {
        let mut sent = 0;
        while bucket.ready(now, 0) <= now {
            bucket.take(now);
            sent += 1;
        }
        sent
    }

    #[test]
    fn the_share_of_others_is_never_used() {
        let now = Instant::now();
        for (headroom, left, ours) in [
            (0.2, 249.0, 199),
            (0.2, 60.0, 10),
            (0.2, 50.0, 0),
            (0.5, 130.0, 5),
            (0.5, 40.0, 0),
            (0.0, 40.0, 40),
            (0.2, 11_999.0, 200),
            (0.2, 250.0, 200),
        ] {
            let mut bucket = Bucket::new(Some(READS), headroom, now);
            bucket.heard(SUBSCRIPTION, left, 250.0, now);
            assert_eq!(burst(&mut bucket, now), ours, "{left} left, headroom {headroom}");
        }
    }

    #[test]
    fn what_is_missing_of_the_share_of_others_comes_back_first() {
        let now = Instant::now();
        let mut bucket = Bucket::new(Some(READS), 0.5, now);
        bucket.heard(SUBSCRIPTION, 40.0, 250.0, now);
        // 85 calls below the 125 of the others, refilled for us by 12.5 a second, and one for ourselves.
        let ready = bucket.ready(now, 0).duration_since(now);
        assert!(ready >= after(86.0 / 12.5 - 0.01) && ready <= after(86.0 / 12.5 + 0.01), "{ready:?}");
    }

    #[test]
    fn an_older_bucket_of_thousands_leaves_its_own_share() {
        let mut now = Instant::now();
        let mut bucket = Bucket::new(Some(READS), 0.2, now);
        bucket.heard(SUBSCRIPTION, 11_999.0, 250.0, now);
        bucket.heard(SUBSCRIPTION, 2401.0, 250.0, now);
        assert_eq!(burst(&mut bucket, now), 1);
        // It is refilled by the hour, so asking again finds no more, and the pauses grow.
        let mut pauses = Vec::new();
        for _ in 0..9 {
            bucket.heard(SUBSCRIPTION, 2399.0, 250.0, now);
            let ready = bucket.ready(now, 0);
            pauses.push(ready.duration_since(now).as_secs());
            now = ready;
            bucket.take(now);
        }
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        bucket.heard(SUBSCRIPTION, 11_999.0, 250.0, now);
        assert!(bucket.ready(now + after(1.0), 0) <= now + after(1.0));
    }

    #[test]
    fn a_provider_without_a_published_rate_is_left_alone_when_it_says_so() {
        let now = Instant::now();
        let gauge = "x-ms-ratelimit-remaining-subscription-resource-requests";
        let mut bucket = Bucket::new(None, 0.2, now);
        bucket.heard(gauge, 119.0, 0.0, now);
        assert_eq!(bucket.ready(now, 1000), now);
        bucket.heard(gauge, 20.0, 0.0, now);
        assert_eq!(bucket.ready(now, 0), now + LOW_WAIT);
    }

    #[test]
    fn refusals_without_a_time_wait_longer_and_longer_until_one_call_passes() {
        let mut now = Instant::now();
        let mut bucket = Bucket::new(None, 0.2, now);
        let mut waits = Vec::new();
        for wait in [None, Some(Duration::ZERO), None, None, None, None] {
            bucket.refused(wait, now);
            bucket.refused(None, now);
            waits.push(bucket.closed_for(now).as_secs());
            now += bucket.closed_for(now);
        }
        assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
        bucket.passed();
        bucket.refused(None, now);
        assert_eq!(bucket.closed_for(now), UNTOLD_WAIT);
        bucket.refused(Some(after(17.0)), now);
        bucket.refused(Some(after(3.0)), now);
        assert_eq!(bucket.closed_for(now), after(17.0), "the longest counts");
    }

    #[test]
    fn a_kept_place_is_nobody_elses_and_can_be_given_back() {
        let now = Instant::now();
        let mut bucket = Bucket::new(Some(Rate::new(2.0, 1.0)), 0.0, now);
        bucket.reserve();
        assert_eq!(burst(&mut bucket, now), 1);
        bucket.release();
        assert_eq!(burst(&mut bucket, now), 1);
    }
}
