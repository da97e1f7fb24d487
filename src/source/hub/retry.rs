//! How long to wait before a request that failed is made again.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::source::SourceError;

/// The pause after the first failure of a request; it doubles with each that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause. The Hub counts requests over five minutes (<https://huggingface.co/docs/hub/rate-limits>), so that
/// who asks for a longer one does not mean to serve at all.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

impl SourceError {
    /// Whether the same request may succeed a little later.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Network { .. } | Self::RateLimited { .. } | Self::Unavailable { .. })
    }

    /// Whether nobody answers who can be believed, so that only the cache is left.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Network { .. } | Self::Untrusted { .. } | Self::Unavailable { .. })
    }

    /// How long to wait before the request is made again after so many failures in a row: as long as the Hub asks, or
    /// twice as long as the last time. `None` where the Hub asks for more than anybody should wait.
    pub(super) fn pause(&self, failures: u32) -> Option<Duration> {
        let asked = match self {
            Self::RateLimited { retry_after } => *retry_after,
            Self::Unavailable { retry_after } => Some(*retry_after),
            _ => None,
        };
        match asked {
            Some(asked) => (asked <= LONGEST_PAUSE).then_some(asked.max(FIRST_PAUSE)),
            None => Some((FIRST_PAUSE * 2u32.saturating_pow(failures.saturating_sub(1).min(10))).min(LONGEST_PAUSE)),
        }
    }

    /// What happened, in the middle of a sentence about a pause.
    pub(super) fn reason(&self) -> String {
        let asks = |asked: &Duration| format!(" and asks to wait {} s", asked.as_secs());
        match self {
            Self::Network { reason } => reason.clone(),
            Self::Untrusted { host, reason } => format!("the certificate of '{host}' is not trusted: {reason}"),
            Self::RateLimited { retry_after } => {
                format!("the Hub limits the rate of requests{}", retry_after.as_ref().map(asks).unwrap_or_default())
            }
            Self::Unavailable { retry_after } => format!("the Hub is not available now{}", asks(retry_after)),
            other => other.to_string(),
        }
    }
}

/// How long an answer asks to wait: by `Retry-After`, in seconds or as a date, or by the `RateLimit` that the Hub sends
/// with the seconds until it counts anew.
pub fn asked(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let by_date = |text: &str| httpdate::parse_http_date(text).ok();
    if let Some(text) = text(RETRY_AFTER.as_str()) {
        let seconds = text.parse().ok().map(Duration::from_secs);
        // A date that has passed asks for no pause.
        let asked = seconds.or_else(|| by_date(text).map(|date| date.duration_since(now).unwrap_or_default()));
        if asked.is_some() {
            return asked;
        }
    }
    let reset = text("ratelimit")?.split(';').find_map(|part| part.trim().strip_prefix("t="))?;
    reset.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn what_the_hub_asks_for_is_read_in_every_form() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let cases = [
            ("retry-after", "120", Some(120)),
            ("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("retry-after", "Sunday, 06-Nov-94 08:50:07 GMT", Some(30)),
            ("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("retry-after", "soon", None),
            ("retry-after", "-1", None),
            ("ratelimit", "\"api\";r=0;t=55", Some(55)),
        ];
        for (name, value, expected) in cases {
            let headers = HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]);
            assert_eq!(asked(&headers, now), expected.map(Duration::from_secs), "{name}: {value}");
        }
    }

    #[test]
    fn pauses_are_as_long_as_asked_and_never_too_long() {
        let asks = |seconds| SourceError::Unavailable { retry_after: Duration::from_secs(seconds) }.pause(1);
        assert_eq!(asks(0), Some(FIRST_PAUSE));
        assert_eq!(asks(30), Some(Duration::from_secs(30)));
        assert_eq!(asks(3600), None);
        let silent = SourceError::RateLimited { retry_after: None };
        assert_eq!(silent.pause(1), Some(FIRST_PAUSE));
        assert_eq!(silent.pause(3), Some(4 * FIRST_PAUSE));
        assert_eq!(silent.pause(u32::MAX), Some(LONGEST_PAUSE));
    }
}
