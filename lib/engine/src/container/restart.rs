//! When a container that has ended starts again.
//!
//! Owns the restart policies and their delays, as Docker's. Pure: the monitor asks, and waits.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The first delay; each further one is twice as long.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// No delay is longer.
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// A run that lasted this long makes the next delay the first one again.
const LONG_RUN: Duration = Duration::from_secs(10);

/// `--restart`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// Whenever it ends; after a boot also if it was stopped before.
    Always,
    /// Whenever it ends; after a boot unless it was stopped before.
    UnlessStopped,
    /// When it ends with another code than 0.
    OnFailure {
        /// Most starts in a row; 0 for no limit.
        #[serde(default)]
        retries: u32,
    },
}

impl RestartPolicy {
    /// Reads `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:N`.
    pub fn parse(text: &str) -> Result<RestartPolicy> {
        let (name, count) = match text.split_once(':') {
            Some((name, count)) => (name, Some(count)),
            None => (text, None),
        };
        let policy = match name {
            "" | "no" => RestartPolicy::No,
            "always" => RestartPolicy::Always,
            "unless-stopped" => RestartPolicy::UnlessStopped,
            "on-failure" => {
                let retries = count.map_or(Ok(0), str::parse).map_err(|_| {
                    Error::usage(format!(
                        "invalid restart policy {text:?}: the maximum retry count must be a number"
                    ))
                })?;
                return Ok(RestartPolicy::OnFailure { retries });
            }
            _ => {
                return Err(Error::usage(format!(
                    "invalid restart policy {text:?}: expected no, always, unless-stopped or \
                     on-failure[:MAX-RETRIES]"
                )));
            }
        };
        match count {
            None => Ok(policy),
            Some(_) => Err(Error::usage(format!(
                "invalid restart policy {text:?}: only on-failure takes a maximum retry count"
            ))),
        }
    }

    /// The name without a count, as `inspect` shows it.
    pub fn name(self) -> &'static str {
        match self {
            RestartPolicy::No => "no",
            RestartPolicy::Always => "always",
            RestartPolicy::UnlessStopped => "unless-stopped",
            RestartPolicy::OnFailure { .. } => "on-failure",
        }
    }

    /// Most starts in a row; 0 for no limit.
    pub fn retries(self) -> u32 {
        match self {
            RestartPolicy::OnFailure { retries } => retries,
            _ => 0,
        }
    }
}

/// The restarts of one container since it was started by hand.
#[derive(Clone, Debug, Default)]
pub struct Restarts {
    count: u32,
    delay: Option<Duration>,
}

impl Restarts {
    /// How often it was started again.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// How long to wait before it starts again after a run that `lasted` and ended with `code`;
    /// `None` when it stays ended.
    pub fn next_delay(
        &mut self,
        policy: RestartPolicy,
        code: i32,
        lasted: Duration,
    ) -> Option<Duration> {
        let again = match policy {
            RestartPolicy::No => false,
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
            RestartPolicy::OnFailure { retries } => {
                code != 0 && (retries == 0 || self.count < retries)
            }
        };
        if !again {
            return None;
        }
        let delay = match self.delay {
            Some(before) if lasted < LONG_RUN => (before * 2).min(LONGEST_DELAY),
            _ => FIRST_DELAY,
        };
        self.delay = Some(delay);
        self.count = self.count.saturating_add(1);
        Some(delay)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(5);

    #[test]
    fn policies_are_read_as_docker_reads_them() {
        for (text, policy) in [
            ("no", RestartPolicy::No),
            ("", RestartPolicy::No),
            ("always", RestartPolicy::Always),
            ("unless-stopped", RestartPolicy::UnlessStopped),
            ("on-failure", RestartPolicy::OnFailure { retries: 0 }),
            ("on-failure:7", RestartPolicy::OnFailure { retries: 7 }),
        ] {
            assert_eq!(RestartPolicy::parse(text).unwrap(), policy, "{text}");
        }
        for text in ["Always", "on-failure:x", "on-failure:-1", "always:3", "no:0", "never"] {
            let error = RestartPolicy::parse(text).unwrap_err().chain();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn delays_double_up_to_a_minute_and_a_long_run_resets_them() {
        let mut restarts = Restarts::default();
        let mut next =
            |lasted| restarts.next_delay(RestartPolicy::Always, 0, lasted).unwrap().as_millis();
        let delays: Vec<u128> = (0..12).map(|_| next(SHORT)).collect();
        let expected =
            [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000];
        assert_eq!(delays, expected);
        assert_eq!(next(Duration::from_secs(10)), 100);
        assert_eq!(next(SHORT), 200);
    }

    #[test]
    fn failures_are_retried_as_often_as_allowed() {
        let mut restarts = Restarts::default();
        let policy = RestartPolicy::OnFailure { retries: 2 };
        assert!(restarts.next_delay(policy, 1, SHORT).is_some());
        assert!(restarts.next_delay(policy, 1, SHORT).is_some());
        assert!(restarts.next_delay(policy, 1, SHORT).is_none());
        assert_eq!(restarts.count(), 2);
        assert!(Restarts::default().next_delay(policy, 0, SHORT).is_none());
        assert!(Restarts::default().next_delay(RestartPolicy::No, 1, SHORT).is_none());
    }
}
