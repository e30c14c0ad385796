//! When to ask again: pauses between attempts, and what `Retry-After` asks for.
//!
//! Pure but for the jitter. Promise: attempts and pauses are bounded whatever a server says.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};

use super::failure::{Failure, Retry};
use super::options::ClientOptions;
use crate::error::Result;
use crate::progress::{Event, Listener};

/// The least pause when a server has too much to do and does not say for how long.
const THROTTLED_PAUSE: Duration = Duration::from_secs(1);

/// How patient a client is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    times: u32,
    first: Duration,
    longest: Duration,
}

impl Patience {
    pub(super) fn new(options: &ClientOptions) -> Patience {
        Patience {
            times: options.retry_times,
            first: options.retry_pause,
            longest: options.retry_pause_max,
        }
    }

    /// The pause before the next attempt after `failed` ones have failed, the last as `retry`
    /// says; `None` when it is time to give up.
    pub(super) fn pause(&self, failed: u32, retry: Retry) -> Option<Duration> {
        if failed > self.times {
            return None;
        }
        let doubled = self.first.saturating_mul(1 << failed.saturating_sub(1).min(16));
        let pause = match retry {
            Retry::Never => return None,
            Retry::Later => jittered(doubled),
            Retry::Throttled { after: Some(wanted) } => wanted.max(jittered(self.first)),
            Retry::Throttled { after: None } => jittered(doubled.max(THROTTLED_PAUSE)),
        };
        Some(self.capped(pause))
    }

    /// `pause`, or the longest that is waited at all.
    pub(super) fn capped(&self, pause: Duration) -> Duration {
        pause.min(self.longest)
    }
}

/// Does `attempt` until it succeeds, fails for good, or patience ends.
pub(super) async fn persist<T, F>(
    patience: &Patience,
    progress: &Listener,
    attempt: impl Fn() -> F,
) -> Result<T>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut failed = 0;
    loop {
        let failure = match attempt().await {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        failed += 1;
        let Some(pause) = patience.pause(failed, failure.retry) else {
            return Err(failure.given_up(failed));
        };
        progress.event(Event::Retrying { task: None, why: failure.error.chain() });
        tokio::time::sleep(pause).await;
    }
}

/// Between three quarters and five quarters of `pause`, so that many clients spread out.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(()) as u32;
    pause.mul_f64(0.75 + 0.5 * f64::from(random) / f64::from(u32::MAX))
}

/// Reads `Retry-After`: seconds or an HTTP date.
pub(super) fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(date.as_second().try_into().ok()?);
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_in_both_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:07 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_retry_after(value, now), seconds.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn pauses_grow_and_end() {
        let patience = Patience {
            times: 3,
            first: Duration::from_millis(100),
            longest: Duration::from_secs(5),
        };
        for (failed, low, high) in [(1, 75, 125), (2, 150, 250), (3, 300, 500)] {
            let pause = patience.pause(failed, Retry::Later).unwrap().as_millis();
            assert!((low..=high).contains(&pause), "{failed}: {pause}");
        }
        assert_eq!(patience.pause(4, Retry::Later), None);
        assert_eq!(patience.pause(1, Retry::Never), None);
        let wants = |seconds| Retry::Throttled { after: Some(Duration::from_secs(seconds)) };
        assert_eq!(patience.pause(1, wants(2)), Some(Duration::from_secs(2)));
        assert_eq!(patience.pause(1, wants(3600)), Some(Duration::from_secs(5)));
        assert!(
            patience.pause(1, Retry::Throttled { after: None }) >= Some(Duration::from_millis(750))
        );
    }
}
