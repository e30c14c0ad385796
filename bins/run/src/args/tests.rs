//! Every flag of every verb, in every spelling that pflag takes.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Command};
use creel::cli;

use super::Cli;

/// Values of which at least one suits any flag.
const SAMPLES: [&str; 6] = ["1", "true", "missing", "auto", "full", "linux"];
const TRUE: [&str; 6] = ["1", "t", "T", "true", "True", "TRUE"];
const FALSE: [&str; 6] = ["0", "f", "F", "false", "False", "FALSE"];

/// A verb's words and its flags, global ones among them.
struct Verb {
    words: Vec<String>,
    flags: Vec<Arg>,
    arguments: usize,
}

fn collect(command: &Command, words: &[String], global: &[Arg], found: &mut Vec<Verb>) {
    let flags: Vec<Arg> =
        command.get_arguments().filter(|arg| !arg.is_positional()).chain(global).cloned().collect();
    let global: Vec<Arg> = flags.iter().filter(|arg| arg.is_global_set()).cloned().collect();
    for verb in command.get_subcommands() {
        let words = [words, &[verb.get_name().to_owned()]].concat();
        collect(verb, &words, &global, found);
    }
    if command.get_subcommands().next().is_none() {
        let arguments = command.get_positionals().filter(|arg| arg.is_required_set()).count();
        found.push(Verb { words: words.to_vec(), flags, arguments });
    }
}

fn verbs() -> Vec<Verb> {
    let mut found = Vec::new();
    collect(&cli::command::<Cli>(), &[], &[], &mut found);
    found
}

impl Verb {
    /// What clap makes of the verb with these flags.
    fn parse(&self, flags: &[String]) -> Result<ArgMatches, String> {
        let program = ["creel-run".to_owned()];
        let argument = std::iter::repeat_n("bash".to_owned(), self.arguments);
        let words = [&program[..], &self.words, flags].concat().into_iter().chain(argument);
        let words: Vec<OsString> = words.map(OsString::from).collect();
        let mut command = cli::command::<Cli>();
        let parsed = cli::matches(&mut command, words).map_err(|error| error.to_string())?;
        let mut matches = &parsed;
        while let Some((_, below)) = matches.subcommand() {
            matches = below;
        }
        Ok(matches.clone())
    }

    /// What a flag is worth after these words.
    fn value(&self, flag: &Arg, words: &[&str]) -> Result<Vec<OsString>, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let matches = self.parse(&words)?;
        let id = flag.get_id().as_str();
        if matches!(flag.get_action(), ArgAction::SetTrue) {
            return Ok(vec![matches.get_flag(id).to_string().into()]);
        }
        let raw = matches.get_raw(id).map(|values| values.map(OsString::from).collect());
        Ok(raw.unwrap_or_default())
    }
}

fn is_boolean(flag: &Arg) -> bool {
    if matches!(flag.get_action(), ArgAction::Help | ArgAction::Version) {
        return false;
    }
    let parser = clap::builder::ValueParser::bool();
    flag.get_value_parser().type_id() == parser.type_id()
}

fn names(flag: &Arg) -> Vec<String> {
    let aliases = flag.get_all_aliases().unwrap_or_default();
    let longs = flag.get_long().into_iter().chain(aliases).map(|name| format!("--{name}"));
    longs.chain(flag.get_short().map(|letter| format!("-{letter}"))).collect()
}

#[test]
fn values_are_read_however_they_are_attached() {
    let mut tried = 0;
    for verb in verbs() {
        for flag in verb.flags.iter().filter(|flag| !is_boolean(flag)) {
            if !matches!(flag.get_action(), ArgAction::Set | ArgAction::Append) {
                continue;
            }
            let long = format!("--{}", flag.get_long().unwrap_or_default());
            let sample = SAMPLES.iter().find_map(|sample| {
                let value = verb.value(flag, &[&format!("{long}={sample}")]).ok()?;
                Some((*sample, value))
            });
            let Some((sample, expected)) = sample else {
                panic!("{:?} {long}: no sample suits it", verb.words);
            };
            assert_eq!(expected, [sample], "{:?} {long}", verb.words);
            for name in names(flag) {
                let mut spellings =
                    vec![vec![name.clone(), sample.to_owned()], vec![format!("{name}={sample}")]];
                if !name.starts_with("--") {
                    spellings.push(vec![format!("{name}{sample}")]);
                }
                for spelling in &spellings {
                    let words: Vec<&str> = spelling.iter().map(String::as_str).collect();
                    assert_eq!(
                        verb.value(flag, &words).as_ref(),
                        Ok(&expected),
                        "{:?} {words:?}",
                        verb.words
                    );
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 300, "{tried}");
}

#[test]
fn booleans_take_what_go_takes_and_never_the_next_word() {
    let mut tried = 0;
    for verb in verbs() {
        for flag in verb.flags.iter().filter(|flag| is_boolean(flag)) {
            for name in names(flag) {
                assert_eq!(verb.value(flag, &[&name]).unwrap(), ["true"], "{name}");
                for (values, expected) in [(TRUE, "true"), (FALSE, "false")] {
                    for value in values {
                        let word = format!("{name}={value}");
                        assert_eq!(
                            verb.value(flag, &[&word]).as_deref(),
                            Ok(&[OsString::from(expected)][..]),
                            "{:?} {word}",
                            verb.words
                        );
                        // The last of several counts.
                        let both = verb.value(flag, &[&name, &word]).unwrap();
                        assert_eq!(both.last().unwrap(), expected, "{name} {word}");
                        tried += 1;
                    }
                }
                let error = verb.value(flag, &[&format!("{name}=maybe")]).unwrap_err();
                let long = format!("--{}", flag.get_long().unwrap_or_default());
                assert!(error.contains("\"maybe\"") && error.contains(&long), "{error}");
            }
        }
    }
    assert!(tried > 500, "{tried}");
}

/// Letters that stand together, as scripts for Docker and podman write them.
#[test]
fn letters_can_be_grouped() {
    let verbs = verbs();
    let run = verbs.iter().find(|verb| verb.words == ["run"]).unwrap();
    for (word, set) in [
        ("-it=false", "interactive=true tty=false env="),
        ("-it", "interactive=true tty=true env="),
        ("-ti=0", "interactive=false tty=true env="),
        ("-ieA=a", "interactive=true tty=false env=A=a"),
        ("-ite=A", "interactive=true tty=true env=A"),
        ("-eA=1", "interactive=false tty=false env=A=1"),
        ("-e=A=1", "interactive=false tty=false env=A=1"),
        ("-eit", "interactive=false tty=false env=it"),
        ("-e=", "interactive=false tty=false env=="),
    ] {
        let matches = run.parse(&[word.to_owned()]).unwrap();
        let flag = |id: &str| *matches.get_one::<bool>(id).unwrap();
        let env: Vec<String> =
            matches.get_many::<String>("env").into_iter().flatten().cloned().collect();
        let shown = format!(
            "interactive={} tty={} env={}",
            flag("interactive"),
            flag("tty"),
            env.join(" ")
        );
        assert_eq!(shown, set, "{word}");
    }
    for (word, says) in [("-tx", "-x"), ("-t=", "-="), ("--no-such-flag", "--no-such-flag")] {
        let words =
            run.parse(&[word.to_owned()]).unwrap().get_raw("words").map(|words| {
                words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>()
            });
        // What is no flag stands where the image would, and is refused there.
        assert_eq!(words.unwrap()[0], says, "{word}");
    }
}

#[test]
fn flags_of_docker_and_podman_are_known() {
    let verbs = verbs();
    let run = verbs.iter().find(|verb| verb.words == ["run"]).unwrap();
    let known: Vec<String> = run.flags.iter().flat_map(names).collect();
    let unknown: Vec<&str> = DOCKER
        .split_whitespace()
        .chain(PODMAN.split_whitespace())
        .filter(|name| !known.iter().any(|known| known == name))
        .collect();
    assert_eq!(unknown, [""; 0]);
}

/// `docker run --help` of Docker 28, with the names that it does not show.
const DOCKER: &str = "
    --add-host --annotation -a --attach --blkio-weight --blkio-weight-device --cap-add --cap-drop
    --cgroup-parent --cgroupns --cidfile --cpu-count --cpu-percent --cpu-period --cpu-quota
    --cpu-rt-period --cpu-rt-runtime -c --cpu-shares --cpus --cpuset-cpus --cpuset-mems -d --detach
    --detach-keys --device --device-cgroup-rule --device-read-bps --device-read-iops
    --device-write-bps --device-write-iops --disable-content-trust --dns --dns-opt --dns-option
    --dns-search --domainname --entrypoint -e --env --env-file --expose --gpus --group-add
    --health-cmd --health-interval --health-retries --health-start-interval --health-start-period
    --health-timeout --help -h --hostname --init -i --interactive --io-maxbandwidth --io-maxiops
    --ip --ip6 --ipc --isolation --kernel-memory -l --label --label-file --link --link-local-ip
    --log-driver --log-opt --mac-address -m --memory --memory-reservation --memory-swap
    --memory-swappiness --mount --name --net --network --net-alias --network-alias --no-healthcheck
    --oom-kill-disable --oom-score-adj --pid --pids-limit --platform --privileged -p --publish -P
    --publish-all --pull -q --quiet --read-only --restart --rm --runtime --security-opt --shm-size
    --sig-proxy --stop-signal --stop-timeout --storage-opt --sysctl --tmpfs -t --tty --ulimit
    --use-api-socket -u --user --userns --uts -v --volume --volume-driver --volumes-from -w
    --workdir";

/// `podman run --help` of podman 5, as far as Docker has no flag of that name.
const PODMAN: &str = "
    --arch --authfile --cert-dir --cgroup-conf --cgroups --chrootdirs --conmon-pidfile --creds
    --decryption-key --env-host --env-merge --gidmap --group-entry --health-log-destination
    --health-max-log-count --health-max-log-size --health-on-failure --health-startup-cmd
    --health-startup-interval --health-startup-retries --health-startup-success
    --health-startup-timeout --hosts-file --hostuser --http-proxy --image-volume --init-ctr
    --init-path --no-hostname --no-hosts --os --passwd --passwd-entry --personality --pidfile --pod
    --pod-id-file --preserve-fd --preserve-fds --rdt-class --read-only-tmpfs --replace --requires
    --retry --retry-delay --rmi --rootfs --sdnotify --seccomp-policy --secret --shm-size-systemd
    --signature-policy --subgidname --subuidname --systemd --timeout --tls-verify --tz --uidmap
    --umask --unsetenv --unsetenv-all --variant";
