//! Credential helpers: programs named `docker-credential-NAME` that keep secrets elsewhere.
//!
//! Promises: a helper sees only the environment that [`HelperEnvironment`] grants it, gets the
//! host and secrets on its standard input only, and is stopped, together with what it started,
//! when it takes too long or says too much. Its answer appears in no error, its complaint does.
//! Knows no files.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::super::HelperEnvironment;
use super::super::credential::{Credential, Secret, TOKEN_USER};
use super::super::files::Contents;
use super::super::members::Members;
use crate::error::{Error, ErrorKind, IoContext, Result};

/// How long a helper may take. A person may have to type a passphrase for it.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most that a helper may answer, in bytes; tokens are a few thousand.
const MAX_ANSWER: u64 = 256 << 10;
/// The most that is kept of what it says on standard error.
const MAX_COMPLAINT: u64 = 4 << 10;
/// An answer is used again for so long: a copy of a hundred repositories asks once.
const FRESH: Duration = Duration::from_secs(300);
/// What helpers print, by agreement, when they know nothing of a host.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// Runs helpers and remembers their answers for a while.
pub(super) struct Helpers {
    environment: HelperEnvironment,
    patience: Duration,
    answers: Mutex<HashMap<(String, String), (Instant, Credential)>>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username", default)]
    user: String,
    #[serde(rename = "Secret")]
    secret: Secret,
}

impl Helpers {
    pub(super) fn new(environment: HelperEnvironment) -> Helpers {
        Helpers { environment, patience: PATIENCE, answers: Mutex::default() }
    }

    #[cfg(test)]
    pub(super) fn with_patience(mut self, patience: Duration) -> Helpers {
        self.patience = patience;
        self
    }

    /// What helper `name` has for `server`; [`Credential::Anonymous`] if it has nothing.
    pub(super) fn find(&self, name: &str, server: &str) -> Result<Credential> {
        // Held while the helper runs, so that parallel questions wait for one answer.
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name.to_owned(), server.to_owned());
        if let Some((when, credential)) = answers.get(&key)
            && when.elapsed() < FRESH
        {
            return Ok(credential.clone());
        }
        let credential = match self.run(name, "get", server.as_bytes())? {
            Some(text) => {
                let answer: Answer = parse(name, &text)?;
                Credential::from_login(answer.user, answer.secret)
            }
            None => Credential::Anonymous,
        };
        answers.insert(key, (Instant::now(), credential.clone()));
        Ok(credential)
    }

    /// Gives helper `name` a credential for `server` to keep.
    pub(super) fn store(&self, name: &str, server: &str, credential: &Credential) -> Result<()> {
        let (user, secret) = match credential {
            Credential::Basic { user, password } => (user.as_str(), password),
            Credential::IdentityToken(token) => (TOKEN_USER, token),
            Credential::Anonymous | Credential::RegistryToken(_) => {
                return Err(fault(name, "it keeps passwords and identity tokens only"));
            }
        };
        let login = serde_json::json!({
            "ServerURL": server, "Username": user, "Secret": secret.expose(),
        });
        self.forget();
        self.run(name, "store", Zeroizing::new(login.to_string()).as_bytes()).map(drop)
    }

    /// Lets helper `name` forget `server`; false if it knew nothing.
    pub(super) fn erase(&self, name: &str, server: &str) -> Result<bool> {
        self.forget();
        // Some helpers succeed and some fail when there is nothing to erase: ask first.
        if self.find(name, server)? == Credential::Anonymous {
            return Ok(false);
        }
        self.forget();
        self.run(name, "erase", server.as_bytes()).map(|_| true)
    }

    /// Every server that helper `name` has something for.
    pub(super) fn list(&self, name: &str) -> Result<Vec<String>> {
        let Some(text) = self.run(name, "list", b"")? else { return Ok(Vec::new()) };
        let servers: Option<Members<String>> = parse(name, &text)?;
        Ok(servers.unwrap_or_default().0.into_iter().map(|(server, _)| server).collect())
    }

    fn forget(&self) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What the helper answers, or nothing if it does not know the host.
    fn run(&self, name: &str, verb: &str, input: &[u8]) -> Result<Option<Contents>> {
        let program = self.locate(name)?;
        let child = Command::new(&program)
            .arg(verb)
            .env_clear()
            .envs(self.environment.for_helper(name))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .doing(|| format!("starting credential helper {}", program.display()))?;
        let mut running = Running::new(child, input, self.patience);
        let answer = match running.answer() {
            Ok(answer) => answer,
            Err(why) => {
                running.stop();
                return Err(fault(name, &why));
            }
        };
        let (status, output) = answer;
        if status.success() {
            return Ok(Some(output));
        }
        // By agreement complaints are on standard output; some helpers do not know that.
        let said = String::from_utf8_lossy(&output);
        if said.trim() == NOT_FOUND {
            return Ok(None);
        }
        let said = if said.trim().is_empty() { running.complaint() } else { said.into_owned() };
        Err(fault(name, &format!("{verb} failed ({status}): {}", shown(&said))))
    }

    fn locate(&self, name: &str) -> Result<PathBuf> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if name.is_empty() || !name.bytes().all(plain) {
            let what = format!("{name:?} cannot be the name of a credential helper");
            return Err(Error::invalid(what));
        }
        let file = format!("docker-credential-{name}");
        let is_program = |path: &PathBuf| {
            std::fs::metadata(path)
                .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        let found = self.environment.search_path().map(|dir| dir.join(&file)).find(is_program);
        found.ok_or_else(|| fault(name, &format!("there is no program {file} in PATH")))
    }
}

fn parse<'a, T: Deserialize<'a>>(name: &str, text: &'a [u8]) -> Result<T> {
    // The parser's own words may repeat the secret.
    serde_json::from_slice(text).map_err(|_| fault(name, "its answer is not what was agreed on"))
}

fn fault(name: &str, why: &str) -> Error {
    Error::new(ErrorKind::Failed, format!("credential helper docker-credential-{name}: {why}"))
}

/// The first line of what a helper says, cut and made printable.
fn shown(said: &str) -> String {
    let line = said.trim().lines().next().unwrap_or("it gave no reason");
    line.chars().take(200).flat_map(|c| c.escape_debug()).collect()
}

/// A helper at work. Threads carry its three streams, since each of them may block.
struct Running {
    child: Child,
    output: Receiver<std::io::Result<Contents>>,
    errors: Receiver<std::io::Result<Contents>>,
    patience: Duration,
}

impl Running {
    fn new(mut child: Child, input: &[u8], patience: Duration) -> Running {
        if let Some(mut pipe) = child.stdin.take() {
            let input = Zeroizing::new(input.to_vec());
            // A helper need not read its input; `list` has none.
            std::thread::spawn(move || drop(pipe.write_all(&input)));
        }
        let output = collect(child.stdout.take(), MAX_ANSWER + 1, AtLimit::Stop);
        let errors = collect(child.stderr.take(), MAX_COMPLAINT, AtLimit::Discard);
        Running { child, output, errors, patience }
    }

    /// How it ended and what it said.
    fn answer(&mut self) -> Result<(ExitStatus, Contents), String> {
        let deadline = Instant::now() + self.patience;
        let late = || format!("it did not finish within {} s", self.patience.as_secs_f32());
        let output = self.output.recv_timeout(self.patience).map_err(|_| late())?;
        let output = output.map_err(|error| format!("reading its answer: {error}"))?;
        if output.len() as u64 > MAX_ANSWER {
            return Err(format!("its answer is larger than {MAX_ANSWER} bytes"));
        }
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok((status, output)),
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(None) => return Err(late()),
                Err(error) => return Err(format!("waiting for it: {error}")),
            }
        }
    }

    fn complaint(&self) -> String {
        // It has ended; only something that it left running could still hold the pipe.
        let bytes = self.errors.recv_timeout(Duration::from_secs(1));
        let bytes = bytes.ok().and_then(|read| read.ok()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn stop(&mut self) {
        // Not yet waited for, so the number still belongs to it.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// What to do with what comes after the limit.
#[derive(PartialEq)]
enum AtLimit {
    Stop,
    /// Throw it away, so that a talkative helper is not held up.
    Discard,
}

/// Reads `pipe` up to `limit` bytes, and reports them once.
fn collect(
    pipe: Option<impl Read + Send + 'static>,
    limit: u64,
    then: AtLimit,
) -> Receiver<std::io::Result<Contents>> {
    let (sender, receiver) = mpsc::channel();
    if let Some(mut pipe) = pipe {
        std::thread::spawn(move || {
            let mut bytes = Zeroizing::new(Vec::new());
            let mut read = pipe.by_ref().take(limit).read_to_end(&mut bytes).map(drop);
            if read.is_ok() && then == AtLimit::Discard {
                read = std::io::copy(&mut pipe, &mut std::io::sink()).map(drop);
            }
            let _ = sender.send(read.map(|()| bytes));
        });
    }
    receiver
}
