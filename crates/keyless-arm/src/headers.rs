//! Reading response headers.

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;

/// No honest server asks for more; a longer wait is cut to it.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    // Regions are put into headers as they are (`locations/East US/`), so only UTF-8 is asked for.
    let value = std::str::from_utf8(headers.get(name)?.as_bytes()).ok()?.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

/// The server's clock.
pub(crate) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    http_date(&text(headers, "date")?)
}

fn http_date(text: &str) -> Option<Timestamp> {
    Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp())
}

/// How long the server asks to wait: seconds (also fractions, on polls), milliseconds, or a date after `now`.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let number = |name: &str| text(headers, name).and_then(|text| text.parse::<f64>().ok());
    let seconds = ["retry-after-ms", "x-ms-retry-after-ms"]
        .iter()
        .find_map(|name| number(name).map(|ms| ms / 1000.0))
        .or_else(|| number("retry-after"));
    match seconds {
        Some(seconds) if seconds.is_finite() && seconds >= 0.0 => {
            Some(Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_RETRY_AFTER).min(LONGEST_RETRY_AFTER))
        }
        Some(_) => None,
        None => {
            let until = http_date(&text(headers, "retry-after")?)?;
            let wait = Duration::try_from(until.duration_since(now)).unwrap_or_default();
            Some(wait.min(LONGEST_RETRY_AFTER))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn check(name: &'static str, value: &str, expected: Option<Duration>) {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        let now = "1994-11-06T08:49:30Z".parse().unwrap();
        assert_eq!(retry_after(&headers, now), expected, "{name}: {value}");
    }

    #[test]
    fn retry_after_is_read_in_every_spelling() {
        check("retry-after", "17", Some(Duration::from_secs(17)));
        check("Retry-After", "0.05", Some(Duration::from_millis(50)));
        check("retry-after", "0", Some(Duration::ZERO));
        check("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT", Some(Duration::from_secs(7)));
        check("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT", Some(Duration::ZERO));
        check("x-ms-retry-after-ms", "1500", Some(Duration::from_millis(1500)));
        check("retry-after", "1e300", Some(LONGEST_RETRY_AFTER));
        for nonsense in ["-1", "NaN", "inf", "soon", ""] {
            check("retry-after", nonsense, None);
        }
    }

    #[test]
    fn the_servers_clock_is_read() {
        let mut headers = HeaderMap::new();
        headers.insert("date", HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(date(&headers), Some("1994-11-06T08:49:37Z".parse().unwrap()));
        headers.insert("date", HeaderValue::from_static("yesterday"));
        assert_eq!(date(&headers), None);
    }
}
