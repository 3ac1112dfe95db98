//! Lengths of time in words.

use std::time::Duration;

/// A length as files say it: `7d`, `1d 12h`, `45m`.
pub(crate) fn span(length: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    let days = length.as_secs() / DAY;
    let rest = length.saturating_sub(Duration::from_secs(days.saturating_mul(DAY)));
    match (days, rest.is_zero()) {
        (0, _) => humantime::format_duration(rest).to_string(),
        (_, true) => format!("{days}d"),
        (_, false) => format!("{days}d {}", humantime::format_duration(rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_said_as_files_say_them() {
        for text in ["7d", "1d", "400d", "1d 12h", "45m", "1h 30m", "10s", "0s"] {
            assert_eq!(span(humantime::parse_duration(text).unwrap()), text);
        }
    }
}
