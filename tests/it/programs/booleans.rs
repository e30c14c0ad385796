//! Boolean flags, as pflag reads them: whatever flag of whatever verb, from the programs' own help.

use crate::support::program::{Invocation, Sandbox};

const SPELLINGS: [&str; 6] = ["True", "1", "t", "FALSE", "0", "f"];

/// Verbs of a program, from its help, with those below them.
fn verbs(start: &dyn Fn(&[&str]) -> Invocation) -> Vec<String> {
    let help = start(&["--help"]).run().success().stdout;
    let list = help.split("Commands:\n").nth(1).expect("a list of verbs");
    let lines = list.lines().take_while(|line| !line.is_empty());
    lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).map(str::to_owned).collect()
}

/// The flags without a value, or with one that may be left out, by their long names.
fn booleans(help: &str) -> Vec<&str> {
    let flags = help.lines().filter_map(|line| {
        let (_, flag) = line.trim_start().split_once("--")?;
        let end = flag.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(flag.len());
        let (name, rest) = flag.split_at(end);
        let bare = rest.is_empty() || rest.starts_with("  ") || rest.starts_with("[=<BOOL>]");
        (line.trim_start().starts_with('-') && bare).then_some(name)
    });
    flags.filter(|name| !["help", "version"].contains(name)).collect()
}

#[test]
fn every_boolean_flag_takes_every_spelling_and_never_the_next_word() {
    let sandbox = Sandbox::new();
    let mut tried = 0;
    for (program, least) in [("creel-build", 20), ("creel-copy", 25), ("creel-inspect", 15)] {
        let start = |words: &[&str]| match program {
            "creel-build" => sandbox.build(words),
            "creel-copy" => sandbox.copy(words),
            _ => sandbox.inspect(words),
        };
        let mut count = 0;
        for verb in verbs(&start) {
            let help = start(&[&verb, "--help"]).run().success().stdout;
            let flags = booleans(&help);
            count += flags.len();
            for shift in 0..SPELLINGS.len().min(flags.len() * SPELLINGS.len()) {
                let spellings = SPELLINGS.iter().cycle().skip(shift);
                let given =
                    flags.iter().zip(spellings).map(|(flag, value)| format!("--{flag}={value}"));
                let words =
                    [vec![verb.clone()], given.collect(), vec!["--help".to_owned()]].concat();
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let output = start(&words).run().success();
                assert!(output.stdout.contains("Usage:"), "{output}");
            }
            if let Some(flag) = flags.first() {
                let wrong = start(&[&verb, &format!("--{flag}=maybe"), "--help"]).run().fails(2);
                wrong.says(&format!("--{flag}"));
            }
        }
        assert!(count >= least, "{program} has {count} boolean flags");
        tried += count;
    }
    assert!(tried > 80, "{tried}");
}

#[test]
fn values_of_booleans_do_what_they_say() {
    let sandbox = Sandbox::new();
    sandbox.write("work/Dockerfile", "FROM scratch\nCOPY f /\n");
    sandbox.write("work/f", "x");
    for (words, shown) in [
        (&["-q=false", "."][..], true),
        (&["--quiet=0", "."], true),
        (&["-q=True", "--no-cache=F", "--push=false", "."], false),
        (&["--quiet", "--quiet=f", "--no-cache=1", "."], true),
        (&["--quiet=false", "-q", "."], false),
    ] {
        let output = sandbox.build(words).run().success();
        assert_eq!(output.stderr.contains("COPY"), shown, "{output}");
    }
    // The word after a boolean is the context.
    sandbox.build(["--no-cache", "false"]).run().fails(3).says("false");
}
