//! Flags of `docker run` and `podman run` that nothing here carries out, as one table: each is
//! taken where it asks for what is so anyway, and otherwise answered with a reason.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use creel::error::{Error, Result};

/// Why a run with such a flag is refused.
#[derive(Clone, Copy)]
struct Refused(&'static str);

/// What a flag takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Switch,
    Boolean,
    Value,
}

struct Other {
    long: &'static str,
    short: Option<char>,
    alias: Option<&'static str>,
    takes: Takes,
    /// Values that ask for nothing but what is so anyway.
    harmless: &'static [&'static str],
    answer: Refused,
}

use Takes::{Boolean, Switch, Value};

/// One row of the table.
const fn other(
    long: &'static str,
    takes: Takes,
    harmless: &'static [&'static str],
    answer: Refused,
) -> Other {
    Other { long, short: None, alias: None, takes, harmless, answer }
}

/// The same with one letter.
const fn lettered(long: &'static str, short: char, takes: Takes, answer: Refused) -> Other {
    Other { long, short: Some(short), alias: None, takes, harmless: &[], answer }
}

const LATER: Refused = Refused(
    "is not supported yet: this release has no published ports, named networks and health checks",
);
const WINDOWS: Refused = Refused("is for Windows containers only");
const REAL_TIME: Refused = Refused("is not supported: containers get no real-time CPU budget");
const NO_PASSWD: Refused =
    Refused("is not supported: the image's /etc/passwd and /etc/group are used as they are");
const SUBIDS: Refused = Refused("is not supported: use --userns auto, --uidmap or --gidmap");

#[rustfmt::skip]
const OTHERS: &[Other] = &[
    // Docker's, and podman's of the same name.
    lettered("publish", 'p', Value, LATER),
    lettered("publish-all", 'P', Switch, LATER),
    other("volumes-from", Value, &[], LATER),
    other("link", Value, &[], LATER),
    other("link-local-ip", Value, &[], LATER),
    other("ip", Value, &[], LATER),
    other("ip6", Value, &[], LATER),
    other("mac-address", Value, &[], LATER),
    Other { alias: Some("net-alias"), ..other("network-alias", Value, &[], LATER) },
    other("health-cmd", Value, &["none"], LATER),
    other("health-interval", Value, &["", "0", "0s", "disable"], LATER),
    other("health-timeout", Value, &["", "0", "0s"], LATER),
    other("health-retries", Value, &["0"], LATER),
    other("health-start-period", Value, &["", "0", "0s"], LATER),
    other("health-start-interval", Value, &["", "0", "0s"], LATER),
    other("no-healthcheck", Switch, &["true"], LATER),
    other("cpu-count", Value, &["0"], WINDOWS),
    other("cpu-percent", Value, &["0"], WINDOWS),
    other("io-maxbandwidth", Value, &["", "0"], WINDOWS),
    other("io-maxiops", Value, &["0"], WINDOWS),
    other("isolation", Value, &["", "default"], WINDOWS),
    other("cpu-rt-period", Value, &["0"], REAL_TIME),
    other("cpu-rt-runtime", Value, &["0"], REAL_TIME),
    other("disable-content-trust", Boolean, &["true"], Refused("is not supported: signatures of Docker Content Trust cannot be verified; --policy names what images must fulfil")),
    other("storage-opt", Value, &[], Refused("is not supported: a container's file system has no quota of its own")),
    other("use-api-socket", Switch, &[], Refused("is not supported: there is no engine with a socket; mount one with -v")),
    other("volume-driver", Value, &["", "local"], Refused("is not supported: volumes are directories of the local store")),
    // Podman's alone.
    other("cgroup-conf", Value, &[], Refused("is not supported: use the flags for limits")),
    other("cgroups", Value, &["enabled"], Refused("is not supported: every container has a cgroup")),
    other("chrootdirs", Value, &[], Refused("is not supported")),
    other("conmon-pidfile", Value, &[], Refused("is not supported: creel-run itself watches the container, --pidfile names its first process")),
    other("decryption-key", Value, &[], Refused("is not supported: encrypted images cannot be read")),
    other("env-merge", Value, &[], Refused("is not supported: use -e")),
    other("group-entry", Value, &[], NO_PASSWD),
    other("health-log-destination", Value, &["", "local"], LATER),
    other("health-max-log-count", Value, &[], LATER),
    other("health-max-log-size", Value, &[], LATER),
    other("health-on-failure", Value, &["", "none"], LATER),
    other("health-startup-cmd", Value, &[], LATER),
    other("health-startup-interval", Value, &[], LATER),
    other("health-startup-retries", Value, &[], LATER),
    other("health-startup-success", Value, &[], LATER),
    other("health-startup-timeout", Value, &[], LATER),
    other("hosts-file", Value, &[], Refused("is not supported: use --add-host, or mount a file at /etc/hosts")),
    other("hostuser", Value, &[], NO_PASSWD),
    other("image-volume", Value, &["", "anonymous", "bind"], Refused("is not supported: volumes of the image become volumes without a name")),
    other("init-ctr", Value, &[], LATER),
    other("no-hostname", Switch, &[], Refused("is not supported: mount a file at /etc/hostname")),
    other("passwd", Boolean, &["true", "false"], NO_PASSWD),
    other("passwd-entry", Value, &[], NO_PASSWD),
    other("personality", Value, &[], Refused("is not supported")),
    other("pod", Value, &[], LATER),
    other("pod-id-file", Value, &[], LATER),
    other("preserve-fd", Value, &[], Refused("is not supported: a container gets its three streams and no other file")),
    other("preserve-fds", Value, &["0"], Refused("is not supported: a container gets its three streams and no other file")),
    other("rdt-class", Value, &[], Refused("is not supported")),
    other("requires", Value, &[], LATER),
    other("rmi", Switch, &[], Refused("is not supported: remove the image with creel-copy rm")),
    other("sdnotify", Value, &["ignore"], Refused("is not supported")),
    other("seccomp-policy", Value, &["", "default"], Refused("is not supported: use --security-opt seccomp=FILE")),
    other("secret", Value, &[], Refused("is not supported: mount a file with -v")),
    other("shm-size-systemd", Value, &[], Refused("is not supported: use --tmpfs")),
    other("signature-policy", Value, &[], Refused("is not supported: use --policy")),
    other("subgidname", Value, &[], SUBIDS),
    other("subuidname", Value, &[], SUBIDS),
    other("systemd", Value, &["false", "true"], Refused("is not supported: mount what systemd needs with --tmpfs /run and --tmpfs /tmp")),
    other("tz", Value, &[], Refused("is not supported: set the variable TZ with -e, or mount a file at /etc/localtime")),
];

/// Which of them were given, with their values.
#[derive(Debug, Default)]
pub struct OtherArgs(Vec<(&'static str, Vec<String>)>);

impl OtherArgs {
    /// Refuses what cannot be.
    pub fn check(&self) -> Result<()> {
        for (long, values) in &self.0 {
            let Some(other) = OTHERS.iter().find(|other| other.long == *long) else { continue };
            if values.iter().all(|value| other.harmless.contains(&value.as_str())) {
                continue;
            }
            let Refused(why) = other.answer;
            return Err(Error::unsupported(format!("--{long} {why}")));
        }
        Ok(())
    }
}

impl Args for OtherArgs {
    fn augment_args(command: Command) -> Command {
        command.args(OTHERS.iter().map(Other::arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        OtherArgs::augment_args(command)
    }
}

impl FromArgMatches for OtherArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<OtherArgs, clap::Error> {
        let given = OTHERS.iter().filter_map(|other| Some((other.long, other.given(matches)?)));
        Ok(OtherArgs(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = OtherArgs::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Other {
    fn arg(&self) -> Arg {
        let mut arg = Arg::new(self.long).long(self.long).hide(true);
        if let Some(short) = self.short {
            arg = arg.short(short);
        }
        if let Some(alias) = self.alias {
            arg = arg.alias(alias);
        }
        match self.takes {
            Switch => arg.action(ArgAction::SetTrue),
            Boolean => arg
                .action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_parser(clap::value_parser!(bool)),
            Value => arg.action(ArgAction::Append),
        }
    }

    /// The values that were given; `None` if it was not said.
    fn given(&self, matches: &ArgMatches) -> Option<Vec<String>> {
        match self.takes {
            Switch => matches.get_flag(self.long).then(|| vec!["true".to_owned()]),
            Boolean => matches.get_one::<bool>(self.long).map(|value| vec![value.to_string()]),
            Value => Some(matches.get_many::<String>(self.long)?.cloned().collect()),
        }
    }
}
