//! Instants and spans as the simulated cloud counts and prints them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// `at` + `span`, stopping at the end of representable time instead of failing.
pub(crate) fn after(at: Timestamp, span: Duration) -> Timestamp {
    SignedDuration::try_from(span).ok().and_then(|span| at.checked_add(span).ok()).unwrap_or(Timestamp::MAX)
}

/// `at` - `span`, stopping at the beginning of representable time.
pub(crate) fn before(at: Timestamp, span: Duration) -> Timestamp {
    SignedDuration::try_from(span).ok().and_then(|span| at.checked_sub(span).ok()).unwrap_or(Timestamp::MIN)
}

/// The span from `from` to `to`; zero where `to` is not later.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

/// Seven fractional digits and a `Z`, the form of most providers.
/// Source: MicrosoftDocs/azure-docs `articles/role-based-access-control/role-assignments-list-rest.md` (`createdOn`).
pub(crate) fn stamp(at: Timestamp) -> String {
    format!("{at:.7}")
}

/// Reads the date forms seen on the wire; anything else is no date.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let text = text.trim().replacen(' ', "T", 1);
    text.parse::<Timestamp>().ok().or_else(|| format!("{text}Z").parse::<Timestamp>().ok())
}

/// The `Date` header.
pub(crate) fn http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Whole seconds, rounded up, never below one: the only form of `Retry-After` that every client reads.
/// Source: azure-core 1.41.0 `polling/base_polling.py`.
pub(crate) fn retry_after(wait: Duration) -> u64 {
    let seconds = wait.as_secs();
    if wait.subsec_nanos() > 0 { seconds.saturating_add(1) } else { seconds }.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_every_form_seen_on_the_wire_are_read() {
        for text in [
            "2026-02-03T09:14:07.4420133Z",
            "2026-02-03T09:14:07+00:00",
            "2026-02-03T09:14:07",
            "2026-02-03 09:14:07.44",
            "2026-02-03 09:14:07Z",
        ] {
            assert_eq!(parse(text).map(|at| at.as_second()), Some(1_770_110_047), "{text}");
        }
        assert_eq!(parse("yesterday"), None);
    }

    #[test]
    fn retry_after_is_a_whole_number_of_at_least_one() {
        assert_eq!(retry_after(Duration::ZERO), 1);
        assert_eq!(retry_after(Duration::from_millis(1001)), 2);
        assert_eq!(retry_after(Duration::from_secs(36)), 36);
    }

    #[test]
    fn stamps_carry_seven_digits() {
        let at = Timestamp::from_second(1_770_110_047).unwrap();
        assert_eq!(stamp(at), "2026-02-03T09:14:07.0000000Z");
        assert_eq!(http_date(at), "Tue, 03 Feb 2026 09:14:07 GMT");
    }
}
