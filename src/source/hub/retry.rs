//! Decides whether and when a failed request is repeated.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::source::SourceError;

/// The pause after the first failure of a request; it doubles with every further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause. The Hub's rate limits apply to windows of five minutes, so a server that asks for a longer pause does
/// not intend to answer (<https://huggingface.co/docs/hub/rate-limits>).
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

impl SourceError {
    /// Whether the same request may succeed a little later.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Network { .. } | Self::RateLimited { .. } | Self::Unavailable { .. })
    }

    /// Whether no trustworthy server answers, so that only the cache can be used.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Network { .. } | Self::Untrusted { .. } | Self::Unavailable { .. })
    }

    /// How long to wait after so many failures in a row: as long as the Hub asks, or else twice as long as the last time.
    /// `None` if the Hub asks for more than [`LONGEST_PAUSE`].
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

    /// What happened, as a clause for a message about a pause.
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

/// How long a response asks to wait: by `Retry-After`, in seconds or as a date, or by the Hub's `RateLimit`, whose `t` is
/// the number of seconds until the window ends.
pub fn requested_pause(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let by_date = |text: &str| httpdate::parse_http_date(text).ok();
    if let Some(text) = text(RETRY_AFTER.as_str()) {
        let seconds = text.parse().ok().map(Duration::from_secs);
        // A date in the past asks for no pause.
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
            assert_eq!(requested_pause(&headers, now), expected.map(Duration::from_secs), "{name}: {value}");
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
