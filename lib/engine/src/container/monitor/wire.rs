//! What goes over a monitor's socket: frames of a kind, a length and bytes.
//!
//! A frame is one byte that says its kind, the length of its payload as four bytes (little
//! endian), and the payload.

use serde::{Deserialize, Serialize};

use super::super::restart::RestartPolicy;
use super::PROTOCOL_VERSION;
use crate::error::{Error, ErrorKind, Result};

/// Bytes before a payload.
const HEAD: usize = 5;
/// The longest payload that is accepted.
const MAX_PAYLOAD: usize = 64 << 10;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// From the client: a request, as JSON.
    Request,
    /// From the client: bytes for standard input.
    Input,
    /// From the client: no more bytes for standard input.
    InputEnd,
    /// To the client: bytes of standard output.
    Output,
    /// To the client: bytes of standard error.
    ErrorOutput,
    /// To the client: the answer to a request, as JSON.
    Answer,
}

impl FrameKind {
    const BYTES: [(u8, FrameKind); 6] = [
        (b'R', FrameKind::Request),
        (b'I', FrameKind::Input),
        (b'C', FrameKind::InputEnd),
        (b'O', FrameKind::Output),
        (b'E', FrameKind::ErrorOutput),
        (b'A', FrameKind::Answer),
    ];

    fn byte(self) -> u8 {
        FrameKind::BYTES.iter().find(|(_, kind)| *kind == self).map_or(0, |(byte, _)| *byte)
    }

    fn from_byte(byte: u8) -> Option<FrameKind> {
        FrameKind::BYTES.iter().find(|(known, _)| *known == byte).map(|(_, kind)| *kind)
    }
}

/// Adds a frame to `out`; a long payload becomes several frames.
pub(super) fn put_frame(out: &mut Vec<u8>, kind: FrameKind, payload: &[u8]) {
    let mut put = |part: &[u8]| {
        out.push(kind.byte());
        out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(part);
    };
    if payload.is_empty() {
        put(payload);
    }
    payload.chunks(MAX_PAYLOAD).for_each(put);
}

/// Takes the first whole frame out of `bytes`; `None` when there is none yet.
pub(super) fn take_frame(bytes: &mut Vec<u8>) -> Result<Option<(FrameKind, Vec<u8>)>> {
    let &[kind, a, b, c, d, ..] = bytes.as_slice() else { return Ok(None) };
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    let kind = FrameKind::from_byte(kind).filter(|_| length <= MAX_PAYLOAD);
    let kind = kind.ok_or_else(|| Error::invalid("not a message of a container's monitor"))?;
    let Some(payload) = bytes.get(HEAD..HEAD + length).map(<[u8]>::to_vec) else {
        return Ok(None);
    };
    bytes.drain(..HEAD + length);
    Ok(Some((kind, payload)))
}

/// What a client asks of a monitor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub enum Request {
    /// Connect to the standard streams until the container ends.
    Attach {
        /// Write to standard input.
        stdin: bool,
        /// Read standard output.
        stdout: bool,
        /// Read standard error.
        stderr: bool,
    },
    /// Set the size of the container's terminal.
    Resize {
        /// Rows.
        rows: u16,
        /// Columns.
        columns: u16,
    },
    /// Send a signal to the first process.
    Signal {
        /// Its number.
        number: i32,
        /// Whether the container is meant to stay ended: its policy does not start it again.
        stays_ended: bool,
    },
    /// End the container, by force after a while, and answer once it has ended.
    Stop {
        /// The signal to begin with; the container's own if absent.
        signal: Option<i32>,
        /// Seconds until it is killed, negative for ever; the container's own if absent.
        timeout: Option<i64>,
    },
    /// Answer with the exit code.
    Wait {
        /// When.
        condition: WaitCondition,
    },
    /// Change the restart policy.
    SetRestart {
        /// The new one.
        policy: RestartPolicy,
    },
}

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitCondition {
    /// The end of a run, whether or not another follows.
    NextExit,
    /// An end that no restart follows.
    NotRunning,
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    version: u32,
    request: serde_json::Value,
}

impl Request {
    /// The payload of a request's frame.
    pub(super) fn to_payload(&self) -> Result<Vec<u8>> {
        let failed = |error| Error::caused(ErrorKind::Failed, "writing a request", error);
        let request = serde_json::to_value(self).map_err(failed)?;
        let envelope = Envelope { version: PROTOCOL_VERSION, request };
        serde_json::to_vec(&envelope).map_err(failed)
    }

    /// Reads such a payload.
    pub(super) fn from_payload(payload: &[u8]) -> Result<Request> {
        let unknown = |error| {
            Error::caused(
                ErrorKind::Unsupported,
                "the container's monitor is of another release and does not know this request",
                error,
            )
        };
        let envelope: Envelope = serde_json::from_slice(payload).map_err(unknown)?;
        serde_json::from_value(envelope.request).map_err(unknown)
    }
}

/// Why a monitor did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The container does not run just now.
    pub not_running: bool,
    /// In words.
    pub text: String,
}

/// What a monitor answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Done.
    Done,
    /// The container ended with this code.
    Exited(i32),
    /// Not done.
    Refused(Refusal),
}

impl Answer {
    /// The payload of an answer's frame.
    pub(super) fn to_payload(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads such a payload.
    pub(super) fn from_payload(payload: &[u8]) -> Result<Answer> {
        serde_json::from_slice(payload)
            .map_err(|error| Error::caused(ErrorKind::Invalid, "reading a monitor's answer", error))
    }
}
