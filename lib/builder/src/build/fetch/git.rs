//! Calling git: which commit a reference means, and its files in a directory.
//!
//! A depth of one is asked for first; where a server cannot do that, all of its history comes.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;

use super::super::bases::Remote;
use super::address::{GitAddress, check_commit, is_commit};
use super::tidy::Tidy;
use super::watch::bound;
use crate::config::Secret;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::registry::WebAddress;
use crate::sys::{Root, Time, spawn_tied};

/// Most that is read of what git writes.
const MAX_OUTPUT: u64 = 4 << 20;
/// Of what git complains about, so much is shown.
const MAX_SHOWN: usize = 600;
/// What git may speak: not `ext`, which runs commands, and no files of this machine.
const PROTOCOLS: &str = "http:https:ssh:git";
/// Settings that hold whatever a repository says.
const SETTINGS: [(&str, &str); 12] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.symlinks", "true"),
    ("core.autocrlf", "false"),
    ("credential.helper", ""),
    ("advice.detachedHead", "false"),
    ("init.defaultBranch", "main"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("transfer.bundleURI", "false"),
    // Who sends nothing for a minute is given up.
    ("http.lowSpeedLimit", "1000"),
    ("http.lowSpeedTime", "60"),
];

/// The git program, and what its environment has besides what is set here: the search path,
/// proxies, certificates.
#[derive(Clone, Debug, Default)]
pub struct GitSettings {
    /// The program.
    pub program: PathBuf,
    /// Variables.
    pub env: Vec<(OsString, OsString)>,
}

/// Who asks.
#[derive(Clone, Debug, Default)]
pub struct GitAccess {
    /// A value of `Authorization`, for the repository's own host alone.
    pub authorization: Option<Secret>,
    /// The socket of an SSH agent.
    pub agent: Option<PathBuf>,
    /// Whether ssh may use the keys that a person keeps in files.
    pub own_keys: bool,
}

impl GitAccess {
    /// The value of `Authorization` that a token makes, as code hosts take it.
    pub fn token(token: &str) -> Secret {
        let pair = format!("x-access-token:{}", token.trim());
        Secret::new(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))
    }
}

/// The commit that an address means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its whole ID.
    pub id: String,
    /// The full name of the reference that it was found by.
    reference: Option<String>,
}

/// Calls git.
pub struct Git<'a> {
    settings: &'a GitSettings,
    /// Most bytes of a repository on disk.
    limit: u64,
    access: GitAccess,
    /// An empty directory: git's home.
    home: PathBuf,
}

impl<'a> Git<'a> {
    /// Git with an empty directory of its own.
    pub fn new(remote: &'a Remote, access: GitAccess, home: PathBuf) -> Git<'a> {
        Git { settings: &remote.git, limit: remote.max_fetch, access, home }
    }

    /// The commit that an address means now. A whole commit ID costs no request.
    ///
    /// # Errors
    /// NotFound for a reference that the repository does not have, Corrupt for another commit than
    /// the one that the address demands.
    pub fn resolve(&self, address: &GitAddress) -> Result<Commit> {
        let doing = || format!("asking {} for its references", address.remote);
        let reference = address.reference.as_deref();
        let whole = |text: &&str| is_commit(text);
        let commit = match reference.or(address.commit.as_deref()).filter(whole) {
            Some(id) => Commit { id: id.to_owned(), reference: None },
            None => self.ask(address, reference).map_err(|error| error.while_doing(doing()))?,
        };
        match &address.commit {
            Some(wanted) if !commit.id.starts_with(wanted.as_str()) => {
                Err(Error::corrupt(format!(
                    "{} of {} is commit {} (expected: {wanted})",
                    reference.unwrap_or("HEAD"),
                    address.remote,
                    commit.id
                )))
            }
            _ => Ok(commit),
        }
    }

    fn ask(&self, address: &GitAddress, reference: Option<&str>) -> Result<Commit> {
        // Of equal names the branch counts, as for `git checkout`.
        let names: Vec<String> = match reference {
            None => vec!["HEAD".to_owned()],
            Some(full) if full.starts_with("refs/") => vec![full.to_owned()],
            Some(name) => ["heads/", "tags/", ""].map(|kind| format!("refs/{kind}{name}")).to_vec(),
        };
        let mut arguments = vec!["ls-remote".to_owned(), "--".to_owned(), address.remote.clone()];
        for name in &names {
            arguments.push(name.clone());
            // The commit that an annotated tag stands for.
            arguments.push(format!("{name}^{{}}"));
        }
        let told = self.run(&self.home, address, &arguments)?;
        let told = String::from_utf8_lossy(&told);
        let lines: Vec<(&str, &str)> = told.lines().filter_map(|l| l.split_once('\t')).collect();
        let find = |name: &str| lines.iter().find(|(_, known)| *known == name).map(|(id, _)| *id);
        for name in names {
            let id = find(&format!("{name}^{{}}")).or_else(|| find(&name));
            if let Some(id) = id.filter(|id| is_commit(id)) {
                return Ok(Commit { id: id.to_owned(), reference: Some(name) });
            }
        }
        Err(match reference {
            None => Error::not_found("the repository has no default branch"),
            Some(name) => Error::not_found(format!(
                "the repository has no branch or tag {name} (a commit needs its whole ID)"
            )),
        })
    }

    /// Puts the files of a commit into the empty directory `to`; its time, in seconds since 1970.
    pub fn checkout(
        &self,
        address: &GitAddress,
        commit: &Commit,
        keep_git: bool,
        to: &Path,
    ) -> Result<i64> {
        let doing = || format!("fetching {} of {}", commit.id, address.remote);
        self.fetch(address, commit, to).map_err(|error| error.while_doing(doing()))?;
        let run = |arguments: &[&str]| self.run(to, address, arguments);
        let time = run(&["log", "-1", "--format=%ct", &commit.id])?;
        let time = String::from_utf8_lossy(&time).trim().parse::<i64>().map_err(|error| {
            Error::caused(ErrorKind::Invalid, format!("reading the time of {}", commit.id), error)
        })?;
        run(&["checkout", "-q", "--detach", &commit.id])?;
        if address.submodules && Root::open(to)?.lookup(b".gitmodules").is_ok_and(|f| f.is_some()) {
            let update = ["submodule", "update", "-q", "--init", "--recursive"];
            let shallow = run(&[&update[..], &["--depth=1"]].concat());
            let updated = shallow.or_else(|error| match is_final(&error) {
                true => Err(error),
                false => run(&update),
            });
            updated.map_err(|error| {
                error.while_doing(format!("fetching the submodules of {}", address.remote))
            })?;
        }
        let made = (!address.made_now).then_some(Time { secs: time, nanos: 0 });
        Tidy { keep_git, time: made }.apply(Root::open(to)?.dir())?;
        Ok(time)
    }

    fn fetch(&self, address: &GitAddress, commit: &Commit, to: &Path) -> Result<()> {
        let format = if commit.id.len() == 64 { "sha256" } else { "sha1" };
        let format = format!("--object-format={format}");
        let run = |arguments: &[&str]| self.run(to, address, arguments);
        run(&["init", "-q", "--template=", &format])?;
        run(&["remote", "add", "--", "origin", &address.remote])?;
        let named = commit.reference.as_ref().map(|name| {
            let kept = match name.strip_prefix("refs/heads/") {
                Some(branch) => format!("refs/remotes/origin/{branch}"),
                None if name.starts_with("refs/tags/") => name.clone(),
                None => "refs/creel/wanted".to_owned(),
            };
            format!("+{name}:{kept}")
        });
        let all = "+refs/*:refs/creel/*";
        let mut attempts: Vec<Vec<&str>> = Vec::new();
        for (depth, what) in [
            (true, named.as_deref()),
            (true, Some(commit.id.as_str())),
            (false, named.as_deref()),
            (false, Some(all)),
        ] {
            let Some(what) = what else { continue };
            let mut arguments = vec!["fetch", "-q", "--no-tags", "--no-recurse-submodules"];
            arguments.extend(depth.then_some("--depth=1"));
            arguments.extend(["origin", what]);
            attempts.push(arguments);
        }
        let object = format!("{}^{{commit}}", commit.id);
        let mut first = None;
        for arguments in attempts {
            match run(&arguments) {
                Ok(_) if run(&["cat-file", "-e", &object]).is_ok() => return Ok(()),
                Ok(_) => {}
                Err(error) if is_final(&error) => return Err(error),
                Err(error) => drop(first.get_or_insert(error)),
            }
        }
        Err(first.unwrap_or_else(|| Error::not_found("the repository does not have it")))
    }

    /// Runs git in a directory to its end; what it wrote.
    fn run(
        &self,
        place: &Path,
        address: &GitAddress,
        arguments: &[impl AsRef<OsStr>],
    ) -> Result<Vec<u8>> {
        let mut command = Command::new(&self.settings.program);
        command.args(arguments).current_dir(place).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.envs(self.settings.env.iter().cloned()).envs(self.environment(address));
        let mut child = spawn_tied(&mut command).map_err(|error| self.cannot_start(error))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (ends, end) = std::sync::mpsc::channel();
        let (out, said, over) = std::thread::scope(|scope| {
            let said = scope.spawn(move || read(stderr));
            let watched = &child;
            let over = scope.spawn(move || bound(place, self.limit, watched, &end));
            let (out, said) = (read(stdout), said.join().unwrap_or_default());
            drop(ends);
            (out, said, over.join().unwrap_or(Ok(false)))
        });
        let ended = child.wait().doing(|| "waiting for git")?;
        if over? {
            return Err(Error::invalid(format!(
                "the repository takes up more than the limit of {} bytes (--max-fetch)",
                self.limit
            )));
        }
        match ended.success() {
            true if out.len() as u64 > MAX_OUTPUT => {
                Err(Error::invalid("git tells of more references than can be looked through"))
            }
            true => Ok(out),
            false => Err(failure(&said)),
        }
    }

    fn cannot_start(&self, error: std::io::Error) -> Error {
        let program = self.settings.program.display();
        match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::not_found(format!("{program} is not installed: git repositories need it"))
            }
            _ => Error::io(format!("starting {program}"), error),
        }
    }

    /// What git is told by variables: nobody else can read those.
    fn environment(&self, address: &GitAddress) -> Vec<(OsString, OsString)> {
        let mut env: Vec<(OsString, OsString)> = Vec::new();
        let mut set = |name: &str, value: &OsStr| env.push((name.into(), value.to_owned()));
        for (name, value) in [
            ("LC_ALL", "C"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_SYSTEM", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", ""),
            ("SSH_ASKPASS", ""),
            ("GIT_PROTOCOL_FROM_USER", "0"),
            ("GIT_ALLOW_PROTOCOL", PROTOCOLS),
            ("GIT_SSH_VARIANT", "ssh"),
        ] {
            set(name, value.as_ref());
        }
        set("HOME", self.home.as_os_str());
        set("XDG_CONFIG_HOME", self.home.as_os_str());
        let mut ssh = "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=yes \
             -o ConnectTimeout=30 -o ServerAliveInterval=20 -o ForwardAgent=no \
             -o PermitLocalCommand=no"
            .to_owned();
        if !self.access.own_keys {
            ssh.push_str(" -o IdentityFile=/dev/null");
        }
        match &self.access.agent {
            Some(socket) => set("SSH_AUTH_SOCK", socket.as_os_str()),
            None => ssh.push_str(" -o IdentityAgent=none"),
        }
        set("GIT_SSH_COMMAND", ssh.as_ref());
        let secret = self.access.authorization.as_ref().or(address.authorization.as_ref());
        let header = secret.zip(WebAddress::parse(&address.remote).ok()).map(|(secret, at)| {
            // What is for one host is not sent to where that host leads us.
            (
                format!("http.{}.extraHeader", at.origin()),
                format!("Authorization: {}", secret.expose()),
            )
        });
        let redirects = if header.is_some() { "false" } else { "initial" };
        let mut settings: Vec<(&str, &str)> = SETTINGS.to_vec();
        settings.push(("http.followRedirects", redirects));
        settings.extend(header.as_ref().map(|(name, value)| (name.as_str(), value.as_str())));
        set("GIT_CONFIG_COUNT", settings.len().to_string().as_ref());
        for (number, (name, value)) in settings.iter().enumerate() {
            set(&format!("GIT_CONFIG_KEY_{number}"), name.as_ref());
            set(&format!("GIT_CONFIG_VALUE_{number}"), value.as_ref());
        }
        env
    }
}

/// Whether it is no use to ask in another way: who cannot be reached, does not let us in or sends
/// too much is not asked four times.
fn is_final(error: &Error) -> bool {
    use ErrorKind::{Denied, Invalid, Unauthorized, Unavailable};
    matches!(error.kind(), Unavailable | Unauthorized | Denied | Invalid)
}

/// All that a pipe gives; of what is more than the limit, one byte is kept.
fn read(pipe: Option<impl Read>) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = pipe.by_ref().take(MAX_OUTPUT + 1).read_to_end(&mut out);
        // Whoever writes more shall not wait for us.
        let _ = std::io::copy(&mut pipe, &mut std::io::sink());
    }
    out
}

/// What git's complaint amounts to.
fn failure(said: &[u8]) -> Error {
    let said = String::from_utf8_lossy(said);
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut text = lines.collect::<Vec<_>>().join("; ");
    text.retain(|c| !c.is_control());
    if let Some((end, _)) = text.char_indices().nth(MAX_SHOWN) {
        text.truncate(end);
    }
    let says = |signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
    let (kind, hint) = if says(&[
        "terminal prompts disabled",
        "could not read Username",
        "Authentication failed",
        "Permission denied (",
        "returned error: 401",
        "returned error: 403",
    ]) {
        (ErrorKind::Unauthorized, " (a secret GIT_AUTH_TOKEN or --ssh may let git in)")
    } else if says(&["Host key verification failed"]) {
        (ErrorKind::Denied, " (the host's key must be in known_hosts)")
    } else if says(&["not allowed", "unable to update url base from redirection"]) {
        (ErrorKind::Denied, "")
    } else if says(&["not found", "does not exist", "access denied or repository not exported"]) {
        (ErrorKind::NotFound, "")
    } else if says(&[
        "Could not resolve host",
        "unable to look up",
        "unable to connect",
        "Failed to connect",
        "Connection refused",
        "Connection timed out",
        "Connection reset",
        "Couldn't connect",
        "early EOF",
        "returned error: 5",
    ]) {
        (ErrorKind::Unavailable, "")
    } else {
        (ErrorKind::Failed, "")
    };
    Error::new(kind, format!("git: {text}{hint}"))
}

/// Checks what `ADD --checksum` says of a repository.
pub(in crate::build) fn expect(address: &mut GitAddress, commit: &str) -> Result<()> {
    check_commit(commit)?;
    match &address.commit {
        Some(known) if known != commit => {
            Err(Error::invalid(format!("two commits are expected: {known} and {commit}")))
        }
        _ => {
            address.commit = Some(commit.to_owned());
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_have_kinds() {
        for (said, kind) in [
            (
                "fatal: could not read Username for 'https://x': terminal prompts disabled",
                ErrorKind::Unauthorized,
            ),
            (
                "git@x: Permission denied (publickey).\nfatal: Could not read",
                ErrorKind::Unauthorized,
            ),
            ("fatal: transport 'ext' not allowed", ErrorKind::Denied),
            ("fatal: repository 'https://x/a.git/' not found", ErrorKind::NotFound),
            (
                "fatal: unable to access 'https://x/': Could not resolve host: x",
                ErrorKind::Unavailable,
            ),
            ("fatal: something else", ErrorKind::Failed),
        ] {
            assert_eq!(failure(said.as_bytes()).kind(), kind, "{said}");
        }
        assert_eq!(failure(b"a\n\x1b[31mb\n").to_string(), "git: a; [31mb");
    }

    #[test]
    fn secrets_are_in_variables_for_one_host() {
        let settings = &GitSettings::default();
        let authorization = Some(GitAccess::token("word\n"));
        let access = GitAccess { authorization, ..GitAccess::default() };
        let git = Git { settings, limit: 0, access, home: PathBuf::from("/nowhere") };
        let address = GitAddress { remote: "https://x:8/a.git".into(), ..GitAddress::default() };
        let env = git.environment(&address);
        let has = |text: &str| env.iter().any(|(_, value)| value == text);
        assert!(has("http.https://x:8/.extraHeader"));
        assert!(has("Authorization: Basic eC1hY2Nlc3MtdG9rZW46d29yZA=="));
        assert!(has("http.followRedirects") && !has("initial"));
    }
}
