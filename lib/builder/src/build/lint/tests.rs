#![allow(clippy::unwrap_used)]

use super::*;
use crate::build::check::{self, Checked, Request};
use crate::build::diagnostic::Severity;
use crate::build::dockerignore::Ignore;
use crate::build::graph::{BaseImage, PlanOptions};
use crate::spec::Platform;

#[derive(Default)]
struct Ask<'a> {
    ignore: Option<&'a str>,
    files: &'a [&'a str],
    arguments: &'a [(&'a str, &'a str)],
    target: Option<&'a str>,
    base: Option<BaseImage>,
}

fn checked(text: &str, ask: &Ask<'_>) -> Checked {
    let ignore = Ignore::parse(ask.ignore.unwrap_or_default().as_bytes()).unwrap();
    let exists = |name: &str| ask.files.contains(&name);
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let options = PlanOptions {
        target: ask.target.map(str::to_owned),
        build_arguments: ask.arguments.iter().map(pair).collect(),
        platform: Platform::new("linux", "amd64", None),
        build_platform: Platform::new("linux", "amd64", None),
        all_stages: ask.target.is_none(),
        ..PlanOptions::default()
    };
    let context = Some(ContextFiles { ignore: &ignore, exists: &exists });
    let request = Request { name: "f", bytes: text.as_bytes(), options, context };
    check::check(request, &mut |_, _| ask.base.clone())
}

/// Warnings as `line Rule: message`.
fn warnings_of(text: &str, ask: &Ask<'_>) -> Vec<String> {
    let checked = checked(text, ask);
    let warnings = checked.found.iter().filter(|found| found.severity == Severity::Warning);
    let shown = |found: &Diagnostic| {
        let line = checked.file.source.line_of(found.span.start);
        format!("{line} {}: {}", found.rule.unwrap_or_default(), found.message)
    };
    warnings.map(shown).collect()
}

fn warnings(text: &str) -> Vec<String> {
    warnings_of(text, &Ask::default())
}

/// Rows of a file and what is said about it.
fn check(rows: &[(&str, &[&str])]) {
    for (text, expected) in rows {
        assert_eq!(warnings(text), *expected, "{text}");
    }
}

#[test]
fn casing() {
    check(&[
        (
            "# x\n#\nFROM scratch AS BadStageName\n#\nFROM scratch as base2\nFROM scratch AS base3\n",
            &[
                "3 StageNameCasing: Stage name 'BadStageName' should be lowercase",
                "5 FromAsCasing: 'as' and 'FROM' keywords' casing do not match",
            ],
        ),
        (
            "from scratch AS base\nfrom scratch as base2\n",
            &["1 FromAsCasing: 'AS' and 'from' keywords' casing do not match"],
        ),
        (
            "From scratch as base\nFROM scratch AS base2\n",
            &[
                "1 ConsistentInstructionCasing: Command 'From' should match the case of the command majority (uppercase)",
            ],
        ),
        (
            "frOM scratch as base\nfrom scratch as base2\n",
            &[
                "1 ConsistentInstructionCasing: Command 'frOM' should match the case of the command majority (lowercase)",
            ],
        ),
        (
            "FROM scratch\ncopy a /foo\nCOPY a /bar\n",
            &[
                "2 ConsistentInstructionCasing: Command 'copy' should match the case of the command majority (uppercase)",
            ],
        ),
        (
            "FROM scratch\ncopy a /foo\ncopy a /bar\n",
            &[
                "1 ConsistentInstructionCasing: Command 'FROM' should match the case of the command majority (lowercase)",
            ],
        ),
        ("from scratch\ncopy a /foo\ncopy a /bar\n", &[]),
        // Global arguments do not vote.
        ("arg a=1\narg b=1\narg c=1\nFROM scratch\n", &[]),
    ]);
}

#[test]
fn the_text() {
    check(&[
        (
            "FROM scratch\nCOPY a \\\n\n.\nCOPY a \\\n.\n",
            &["3 NoEmptyContinuation: Empty continuation line"],
        ),
        (
            "FROM scratch AS b\nFROM scratch AS B\n",
            &[
                "2 StageNameCasing: Stage name 'B' should be lowercase",
                "2 DuplicateStageName: Duplicate stage name \"b\", stage names should be unique",
            ],
        ),
        (
            "FROM scratch AS scratch\nFROM scratch AS context\n",
            &[
                "1 ReservedStageName: Stage name should not use the same name as reserved stage \"scratch\"",
                "2 ReservedStageName: Stage name should not use the same name as reserved stage \"context\"",
            ],
        ),
        (
            "FROM scratch\nMAINTAINER me@example.org\n",
            &[
                "2 MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label",
            ],
        ),
    ]);
}

#[test]
fn descriptions_are_experimental() {
    let text = "\
# check=experimental=InvalidDefinitionDescription
# bar this is the bar
ARG foo=bar
# BasE this is the BasE image
FROM scratch AS base
# definitely a bad comment
ARG version=latest
# definitely a bad comment
ARG foo=baz bar=qux
# version this is the version
ARG version=2
# not about what is below
#
ARG bit=bat
# about something else
COPY a .
";
    let rule = "InvalidDefinitionDescription: Comment for";
    assert_eq!(
        warnings(text),
        [
            format!("3 {rule} ARG should follow the format: `# foo <description>`"),
            format!("5 {rule} FROM should follow the format: `# base <description>`"),
            format!("7 {rule} ARG should follow the format: `# version <description>`"),
            format!("9 {rule} ARG should follow the format: `# <arg_key> <description>`"),
        ]
    );
    assert_eq!(warnings(&text.replacen("experimental", "skip", 1)), Vec::<String>::new());
}

#[test]
fn commands() {
    let json = |name| {
        format!(
            "JSON arguments recommended for {name} to prevent unintended behavior related to OS signals"
        )
    };
    let once = |name| {
        format!(
            "Multiple {name} instructions should not be used in the same stage because only the last one will be used"
        )
    };
    assert_eq!(
        warnings("FROM scratch\nCMD mycommand\n"),
        [format!("2 JSONArgsRecommended: {}", json("CMD"))]
    );
    assert_eq!(
        warnings("FROM scratch\nENTRYPOINT x\n"),
        [format!("2 JSONArgsRecommended: {}", json("ENTRYPOINT"))]
    );
    assert_eq!(
        warnings(
            "FROM scratch\nENTRYPOINT [\"a\"]\nENTRYPOINT [\"b\"]\nCMD [\"a\"]\nCMD [\"b\"]\nHEALTHCHECK CMD [\"a\"]\nHEALTHCHECK NONE\n"
        ),
        [
            format!("2 MultipleInstructionsDisallowed: {}", once("ENTRYPOINT")),
            format!("4 MultipleInstructionsDisallowed: {}", once("CMD")),
            format!("6 MultipleInstructionsDisallowed: {}", once("HEALTHCHECK")),
        ]
    );
    check(&[
        ("FROM scratch\nSHELL [\"/usr/bin/custom\"]\nCMD mycommand\n", &[]),
        (
            "FROM scratch AS base\nSHELL [\"/usr/bin/custom\"]\nFROM base\nENTRYPOINT mycommand\n",
            &[],
        ),
        ("FROM scratch AS a\nCMD [\"/a\"]\nFROM a AS b\nCMD [\"/b\"]\n", &[]),
        (
            "FROM scratch\nENV testkey value\nLABEL key value\nENV a=b\n",
            &[
                "2 LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format",
                "3 LegacyKeyValueFormat: \"LABEL key=value\" should be used instead of legacy \"LABEL key value\" format",
            ],
        ),
        (
            "FROM scratch\nWORKDIR app/\nWORKDIR b\n",
            &[
                "2 WorkdirRelativePath: Relative workdir \"app/\" can have unexpected results if the base image changes",
            ],
        ),
        ("FROM scratch AS a\nWORKDIR /app\nFROM a AS b\nWORKDIR subdir/\n", &[]),
        (
            "FROM scratch\nEXPOSE 80/TcP 8080/TCP 8080/udp\n",
            &[
                "2 ExposeProtoCasing: Defined protocol '80/TcP' in EXPOSE instruction should be lowercase",
                "2 ExposeProtoCasing: Defined protocol '8080/TCP' in EXPOSE instruction should be lowercase",
            ],
        ),
        (
            "FROM scratch\nEXPOSE 127.0.0.1:80:80 [::1]:8080:8080 5000:5000 8000\n",
            &[
                "2 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'",
                "2 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '[::1]:8080:8080'",
                "2 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '5000:5000'",
            ],
        ),
    ]);
}

#[test]
fn undefined_variables() {
    let found =
        |text: &str| warnings_of(text, &Ask { base: Some(BaseImage::default()), ..Ask::default() });
    for (text, expected) in [
        ("FROM x:1\nARG foo\nCOPY Dockerfile${foo} .\n", &[][..]),
        ("FROM x:1 AS base\nARG foo=a\nFROM base\nCOPY $foo .\n", &[]),
        ("FROM x:1\nRUN echo $whatever\n", &[]),
        (
            "FROM x:1\nCOPY $foo .\nARG foo=bar\n",
            &["2 UndefinedVar: Usage of undefined variable '$foo'"],
        ),
        (
            "FROM x:1\nARG DIR_ASSETS=assets/\nCOPY $DIR_ASSET .\n",
            &[
                "3 UndefinedVar: Usage of undefined variable '$DIR_ASSET' (did you mean $DIR_ASSETS?)",
            ],
        ),
        (
            "FROM x:1\nENV PATH=$PAHT:/tmp/bin\n",
            &["2 UndefinedVar: Usage of undefined variable '$PAHT' (did you mean $PATH?)"],
        ),
        (
            "FROM x:1\nENV A=$HOME_DIR\nCOPY <<E /\n$body\nE\n",
            &[
                "2 UndefinedVar: Usage of undefined variable '$HOME_DIR'",
                "3 UndefinedVar: Usage of undefined variable '$body'",
            ],
        ),
    ] {
        assert_eq!(found(text), expected, "{text}");
    }
    // What an unknown base may define is not told; bases define in capitals.
    check(&[
        ("FROM x:1\nENV A=$JAVA_HOME\n", &[]),
        ("FROM x:1\nCOPY $foo .\n", &["2 UndefinedVar: Usage of undefined variable '$foo'"]),
        (
            "FROM x:1\nENV A=$PAHT\n",
            &["2 UndefinedVar: Usage of undefined variable '$PAHT' (did you mean $PATH?)"],
        ),
    ]);
    // Without a target all stages are looked at.
    let text = "FROM scratch AS first\nCOPY $foo .\nFROM scratch AS second\nCOPY $bar .\n";
    assert_eq!(warnings(text).len(), 2);
    let ask = Ask { target: Some("second"), ..Ask::default() };
    assert_eq!(warnings_of(text, &ask), ["4 UndefinedVar: Usage of undefined variable '$bar'"]);
}

#[test]
fn bases() {
    check(&[
        ("ARG base=scratch\nFROM $base\n", &[]),
        ("FROM --platform=$BUILDPLATFORM scratch\n", &[]),
        ("ARG DEBUG\nFROM scratch${DEBUG}\n", &[]),
        ("ARG DEBUG\nFROM scra${DEBUG:-tch}\n", &[]),
        (
            "FROM --platform=$BULIDPLATFORM scratch\n",
            &[
                "1 UndefinedArgInFrom: FROM argument 'BULIDPLATFORM' is not declared (did you mean BUILDPLATFORM?)",
            ],
        ),
        (
            "ARG tag=1\nFROM busybox:${tag}${version} AS b\n",
            &["2 UndefinedArgInFrom: FROM argument 'version' is not declared"],
        ),
        (
            "FROM --platform=$TARGETPLATFORM scratch\n",
            &[
                "1 RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
            ],
        ),
        (
            "FROM --platform=${TARGETPLATFORM} scratch\n",
            &[
                "1 RedundantTargetPlatform: Setting platform to predefined ${TARGETPLATFORM} in FROM is redundant as this is the default behavior",
            ],
        ),
        (
            "FROM --platform=linux/amd64 scratch\n",
            &[
                "1 FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value \"linux/amd64\"",
            ],
        ),
        ("FROM --platform=linux/amd64 scratch AS my_amd64_stage\n", &[]),
        ("FROM --platform=linux/amd64 scratch AS linux\n", &[]),
    ]);
    let given = |text: &str, name: &str, value: &str| {
        warnings_of(text, &Ask { arguments: &[(name, value)], ..Ask::default() })
    };
    let rule = "InvalidDefaultArgInFrom: Default value for ARG";
    let end = "results in empty or invalid base image name";
    assert_eq!(given("ARG V\nFROM busybox:$V\n", "V", "1"), [format!("2 {rule} busybox:$V {end}")]);
    assert_eq!(given("ARG I\nFROM $I\n", "I", "b:1"), [format!("2 {rule} $I {end}")]);
    assert_eq!(
        given("ARG S=\"box:\"\nFROM busy${S}\n", "S", "box:1"),
        [format!("2 {rule} busy${{S}} {end}")]
    );
    assert_eq!(given("ARG V=\"\"\nFROM busybox:stable${V}\n", "V", "-musl"), Vec::<String>::new());
    let arm =
        BaseImage { platform: Some(Platform::new("linux", "arm64", None)), ..BaseImage::default() };
    assert_eq!(
        warnings_of("FROM base:1\n", &Ask { base: Some(arm), ..Ask::default() }),
        [
            "1 InvalidBaseImagePlatform: Base image docker.io/library/base:1 was pulled with platform \"linux/arm64\", expected \"linux/amd64\" for current build"
        ]
    );
}

#[test]
fn secrets_in_variables() {
    let text = "\
FROM scratch
ARG SECRET_PASSPHRASE
ENV SUPER_Secret=foo
ENV password=bar secret=baz
ARG super_duper_secret_token=foo auth=bar
ENV apikey=bar sunflower=foo
ENV git_key=
ENV PUBLIC_KEY=
ARG public_token SECRET_PASSPHRASE_FILE AUTH_MODULE_VERSION
ENV password_file=bar secret_File=baz
# check=skip=SecretsUsedInArgOrEnv // allow secret in environment
ENV password=bar
# check=skip=all // is local to only this instruction
ARG alternate_password
";
    let row = |line: usize, what: &str| {
        format!(
            "{line} SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data ({what})"
        )
    };
    assert_eq!(
        warnings(text),
        [
            row(2, "ARG \"SECRET_PASSPHRASE\""),
            row(3, "ENV \"SUPER_Secret\""),
            row(4, "ENV \"password\""),
            row(4, "ENV \"secret\""),
            row(5, "ARG \"super_duper_secret_token\""),
            row(5, "ARG \"auth\""),
            row(6, "ENV \"apikey\""),
            row(7, "ENV \"git_key\""),
        ]
    );
}

#[test]
fn ignored_files() {
    let text = "FROM scratch\nCOPY Dockerfile .\nADD ./Dockerfile /windy\nCOPY . /all\nCOPY --from=x:1 Dockerfile /\n";
    let found = |ignore| warnings_of(text, &Ask { ignore: Some(ignore), ..Ask::default() });
    assert_eq!(
        found("x\nDockerfile\n"),
        [
            "2 CopyIgnoredFile: Attempting to Copy file \"Dockerfile\" that is excluded by .dockerignore",
            "3 CopyIgnoredFile: Attempting to Add file \"Dockerfile\" that is excluded by .dockerignore",
        ]
    );
    let hints: Vec<String> =
        checked(text, &Ask { ignore: Some("x\nDockerfile\n"), ..Ask::default() })
            .found
            .into_iter()
            .flat_map(|found| found.hints)
            .collect();
    assert_eq!(hints[0], "line 2 of it: Dockerfile");
    assert_eq!(found("**\n!Dockerfile\n"), Vec::<String>::new());
    assert_eq!(found(".*\n"), Vec::<String>::new());
    assert_eq!(
        found("*")[2],
        "4 CopyIgnoredFile: Attempting to Copy file \".\" that is excluded by .dockerignore"
    );
}

#[test]
fn options_choose() {
    for (first, expected) in [
        ("#check=skip=all", &[][..]),
        ("#check=skip=ConsistentInstructionCasing,FromAsCasing", &[]),
        ("#check=skip=ConsistentInstructionCasing", &["FromAsCasing"]),
        ("# check = skip=FromAsCasing;error=true", &["ConsistentInstructionCasing"]),
    ] {
        let text = format!("{first}\nFROM scratch as base\ncopy Dockerfile .\n");
        let checked = checked(&text, &Ask::default());
        let rules: Vec<&str> = checked.found.iter().filter_map(|found| found.rule).collect();
        assert_eq!(rules, expected, "{first}");
        let violation = first.contains("error=true");
        assert_eq!(checked.violation.is_some(), violation, "{first}");
        assert_eq!(checked.is_good(), !violation);
    }
    let argument = [("BUILDKIT_DOCKERFILE_CHECK", "skip=ConsistentInstructionCasing;error=true")];
    let ask = Ask { arguments: &argument, ..Ask::default() };
    let checked = checked("#check=skip=all\nFROM scratch as base\ncopy Dockerfile .\n", &ask);
    assert_eq!(checked.violation.as_deref(), Some("lint violation found for rules: FromAsCasing"));
}

#[test]
fn mistakes_in_options() {
    let of = |text: &str, severity| -> Vec<String> {
        let all = checked(text, &Ask::default()).found.into_iter();
        all.filter(|found| found.severity == severity).map(|found| found.message).collect()
    };
    assert_eq!(
        of("# check=what\nFROM scratch\n", Severity::Error),
        ["failed to parse check options: invalid check option \"what\""]
    );
    assert_eq!(
        of("# check=skip=StageNameCase\nFROM scratch\n", Severity::Note),
        ["there is no rule \"StageNameCase\""]
    );
    assert_eq!(
        of("# check=skip=StageNameCasin\nFROM scratch\n", Severity::Note),
        ["there is no rule \"StageNameCasin\" (did you mean StageNameCasing?)"]
    );
    assert_eq!(
        of("# syntax=example.com/other:1 x\nFROM scratch\n", Severity::Note),
        ["the front end example.com/other:1 is not used: this program reads the file itself"]
    );
    for usual in
        ["docker/dockerfile:1", "docker.io/docker/dockerfile", "docker/dockerfile-upstream:master"]
    {
        assert_eq!(
            of(&format!("# syntax={usual}\nFROM scratch\n"), Severity::Note),
            Vec::<String>::new()
        );
    }
}

#[test]
fn our_rules_are_no_errors_unless_named() {
    let text = |check: &str| format!("# check={check}\nFROM scratch\nRUN a | b\n");
    let violation = |check: &str| checked(&text(check), &Ask::default()).violation;
    assert_eq!(violation("error=true"), None);
    assert_eq!(
        violation("error=true;experimental=PipefailMissing").as_deref(),
        Some("lint violation found for rules: PipefailMissing")
    );
}

#[test]
fn scripts() {
    let errexit =
        "HeredocErrexit: A failure in this script is not noticed unless it is in the last command";
    let pipe = "PipefailMissing: A failure in front of a pipe is not noticed";
    for (body, expected) in [
        ("RUN <<E\na\nb\nE", vec![format!("2 {errexit}")]),
        ("RUN <<E\nset -e\na\nb\nE", vec![]),
        ("RUN <<E\na && b\nE", vec![format!("2 {errexit}")]),
        ("RUN <<E\na\nE", vec![]),
        ("RUN <<E\n#!/bin/sh\na\nb\nE", vec![]),
        ("RUN <<E bash\na\nb\nE", vec![]),
        ("SHELL [\"/bin/sh\", \"-ec\"]\nRUN <<E\na\nb\nE", vec![]),
        ("SHELL [\"python3\", \"-c\"]\nRUN <<E\na\nb | c\nE", vec![]),
        ("RUN a | b", vec![format!("2 {pipe}")]),
        ("RUN a || b", vec![]),
        ("RUN echo 'a | b'", vec![]),
        ("RUN set -eux -o pipefail && a | b", vec![]),
        ("SHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]\nRUN a | b", vec![]),
        ("SHELL [\"/bin/bash\", \"-euo\", \"pipefail\", \"-c\"]\nRUN a | b", vec![]),
        ("RUN [\"a\", \"|\", \"b\"]", vec![]),
    ] {
        assert_eq!(warnings(&format!("FROM scratch\n{body}\n")), expected, "{body}");
    }
}

#[test]
fn package_lists() {
    let left = "AptListsLeft: Package lists stay in the image";
    for (body, expected) in [
        ("RUN apt-get update && apt-get install -y x", vec![format!("2 {left}")]),
        ("RUN apt update && apt install -y x && rm -rf /var/lib/apt/lists/*", vec![]),
        ("RUN --mount=type=cache,target=/var/lib/apt apt-get update", vec![]),
        ("RUN --mount=type=cache,target=/var/cache/apt apt-get update", vec![format!("2 {left}")]),
        ("RUN apt-get install x", vec![]),
    ] {
        assert_eq!(warnings(&format!("FROM debian:12\n{body}\n")), expected, "{body}");
    }
    // A stage of which only files are taken may keep what it likes.
    check(&[("FROM debian:12 AS a\nRUN apt-get update\nFROM scratch\nCOPY --from=a /x /\n", &[])]);
}

#[test]
fn images_without_a_version() {
    check(&[
        (
            "FROM debian\n",
            &[
                "1 UnpinnedBaseImage: Base image docker.io/library/debian has no version: latest is another image tomorrow",
            ],
        ),
        (
            "FROM debian:latest\n",
            &[
                "1 UnpinnedBaseImage: Base image docker.io/library/debian has no version: latest is another image tomorrow",
            ],
        ),
        ("FROM debian:12\nFROM scratch\n", &[]),
        (
            "FROM debian@sha256:0000000000000000000000000000000000000000000000000000000000000000\n",
            &[],
        ),
        ("# check=skip=UnpinnedBaseImage\nFROM debian\n", &[]),
    ]);
}

#[test]
fn secret_files() {
    let copied = |body: &str, ask: &Ask<'_>| warnings_of(&format!("FROM scratch\n{body}\n"), ask);
    assert_eq!(
        copied("COPY .env app/id_rsa server.key a.pem .env.example /x/", &Ask::default()),
        [
            "2 SecretFileCopied: \".env\" usually holds secrets",
            "2 SecretFileCopied: \"app/id_rsa\" usually holds secrets",
            "2 SecretFileCopied: \"server.key\" usually holds secrets",
        ]
    );
    let ask = Ask { files: &[".env", ".npmrc"], ignore: Some(".npmrc"), ..Ask::default() };
    assert_eq!(
        copied("COPY . /x/", &ask),
        ["2 SecretFileCopied: \".env\" of the context is copied and usually holds secrets"]
    );
    assert_eq!(copied("COPY --from=x:1 .env /x/", &ask), Vec::<String>::new());
}

#[test]
fn the_others() {
    check(&[
        (
            "FROM scratch\nCOPY a b /c\n",
            &["2 SourcesNeedDirectory: Several sources go to \"/c\", which is no directory"],
        ),
        ("FROM scratch\nCOPY a b /c/\nCOPY a b .\nCOPY a* b /d\nCOPY a /e\n", &[]),
        (
            "FROM scratch\nONBUILD NOPE x\nONBUILD RUN --mout=x y\nONBUILD RUN x\n",
            &[
                "2 InvalidOnbuildTrigger: ONBUILD holds an instruction that images built on this one cannot execute",
                "3 InvalidOnbuildTrigger: ONBUILD holds an instruction that images built on this one cannot execute",
            ],
        ),
    ]);
}

#[test]
fn mistakes_do_not_hide_advice() {
    let text = "FROM scratch AS BadStageName\nMAINTAINER me@example.org\nBADCMD\n";
    let checked = checked(text, &Ask::default());
    let shown: Vec<(usize, Severity)> = checked
        .found
        .iter()
        .map(|f| (checked.file.source.line_of(f.span.start), f.severity))
        .collect();
    assert_eq!(shown, [(1, Severity::Warning), (2, Severity::Warning), (3, Severity::Error)]);
}
