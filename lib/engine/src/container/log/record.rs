//! One record of a log, and the two ways of writing it down.
//!
//! [`LogFormat::Cri`] is the Kubernetes form, `TIME STREAM F|P TEXT`, in which the text may be any
//! bytes but a line feed. [`LogFormat::Json`] is the form of Docker's `json-file` driver, in which
//! the text is UTF-8 and ends with its line feed.

use std::fmt;
use std::io::Write as _;

use serde::{Deserialize, Serialize};

/// Which of a container's streams a record came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output; with a terminal, everything.
    Stdout,
    /// Standard error.
    Stderr,
}

impl LogStream {
    /// Both, in the order of their file descriptors.
    pub const ALL: [LogStream; 2] = [LogStream::Stdout, LogStream::Stderr];

    /// The name in both formats.
    pub fn name(self) -> &'static str {
        match self {
            LogStream::Stdout => "stdout",
            LogStream::Stderr => "stderr",
        }
    }

    fn from_name(name: &[u8]) -> Option<LogStream> {
        LogStream::ALL.into_iter().find(|stream| stream.name().as_bytes() == name)
    }
}

/// A point in time: nanoseconds since 1970 (UTC). Prints as RFC 3339 with nine decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// The current time; 1970 on a clock that is set to before.
    pub fn now() -> Moment {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Moment(since.ok().and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or(0))
    }

    /// Reads what people write for `--since` and `--until`: Unix seconds with a fraction, RFC 3339
    /// (UTC without an offset, midnight without a time), or a duration before now such as `1h30m`.
    pub fn from_text(text: &str) -> Option<Moment> {
        let utc = || {
            let civil = text.parse::<jiff::civil::DateTime>().ok()?;
            let time = jiff::tz::Offset::UTC.to_timestamp(civil).ok()?;
            u64::try_from(time.as_nanosecond()).ok().map(Moment)
        };
        let ago = || {
            let span = text.parse::<jiff::SignedDuration>().ok()?;
            u64::try_from(span.as_nanos()).ok()
        };
        let before = |span| Moment(Moment::now().0.saturating_sub(span));
        unix_seconds(text)
            .or_else(|| Moment::parse(text))
            .or_else(utc)
            .or_else(|| ago().map(before))
    }

    /// Reads RFC 3339 as both formats write it.
    pub fn parse(text: &str) -> Option<Moment> {
        let nanoseconds = text.parse::<jiff::Timestamp>().ok()?.as_nanosecond();
        u64::try_from(nanoseconds).ok().map(Moment)
    }
}

fn unix_seconds(text: &str) -> Option<Moment> {
    const NANOSECONDS: u64 = 1_000_000_000;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction: u64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let whole = whole.parse::<u64>().ok()?.checked_mul(NANOSECONDS)?;
    whole.checked_add(fraction).map(Moment)
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::Timestamp::from_nanosecond(self.0.into());
        write!(f, "{:.9}", time.unwrap_or(jiff::Timestamp::MAX))
    }
}

/// How records are written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// As kubelet reads it: the format of the driver `local`.
    #[default]
    Cri,
    /// As Docker's driver `json-file` writes it.
    Json,
}

#[derive(Serialize)]
struct JsonOut<'a> {
    log: &'a str,
    stream: &'static str,
    time: &'a str,
}

#[derive(Deserialize)]
struct JsonIn<'a> {
    #[serde(borrow)]
    log: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    stream: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    time: std::borrow::Cow<'a, str>,
}

/// A record as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) time: Moment,
    pub(super) stream: LogStream,
    /// Without the line feed.
    pub(super) text: Vec<u8>,
    /// Whether the line ends with it.
    pub(super) ends: bool,
}

impl LogFormat {
    /// Adds a record to `out`. `time` is the printed moment, given once for many records; `text`
    /// holds no line feed.
    pub(super) fn write(
        self,
        out: &mut Vec<u8>,
        time: &str,
        stream: LogStream,
        text: &[u8],
        ends: bool,
    ) {
        match self {
            LogFormat::Cri => {
                let tag = if ends { "F" } else { "P" };
                // Writing into memory cannot fail.
                let _ = write!(out, "{time} {} {tag} ", stream.name());
                out.extend_from_slice(text);
            }
            LogFormat::Json => {
                let mut line = String::from_utf8_lossy(text).into_owned();
                if ends {
                    line.push('\n');
                }
                let record = JsonOut { log: &line, stream: stream.name(), time };
                let _ = serde_json::to_writer(&mut *out, &record);
            }
        }
        out.push(b'\n');
    }

    /// Reads one line of a file, given without its line feed; `None` when it is not a record.
    pub(super) fn parse(self, line: &[u8]) -> Option<Parsed> {
        match self {
            LogFormat::Cri => {
                let mut words = line.splitn(4, |&byte| byte == b' ');
                let time = std::str::from_utf8(words.next()?).ok().and_then(Moment::parse)?;
                let stream = LogStream::from_name(words.next()?)?;
                let tags = words.next()?;
                let text = words.next().unwrap_or_default().to_vec();
                // Further tags may follow after colons.
                let ends = tags.split(|&byte| byte == b':').next()? == b"F";
                Some(Parsed { time, stream, text, ends })
            }
            LogFormat::Json => {
                let record: JsonIn<'_> = serde_json::from_slice(line).ok()?;
                let mut text = record.log.unwrap_or_default().into_owned().into_bytes();
                let ends = text.last() == Some(&b'\n');
                if ends {
                    text.pop();
                }
                let time = Moment::parse(&record.time)?;
                Some(Parsed {
                    time,
                    stream: LogStream::from_name(record.stream.as_bytes())?,
                    text,
                    ends,
                })
            }
        }
    }
}
