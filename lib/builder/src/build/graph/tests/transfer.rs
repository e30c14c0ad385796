//! COPY, ADD and the small instructions.

use super::*;

#[test]
fn destinations_are_made_absolute() {
    assert_eq!(
        steps(
            "WORKDIR /w\nCOPY a b/\nCOPY a .\nCOPY a ../c\nCOPY a /d/\nARG e\nCOPY a $e\nCOPY a $e/x"
        ),
        [
            "WORKDIR /w",
            "COPY a -> /w/b/",
            "COPY a -> /w/",
            "COPY a -> /c",
            "COPY a -> /d/",
            "ARG e",
            "COPY a -> /w/",
            "COPY a -> /x",
        ]
    );
    assert_eq!(
        steps("WORKDIR /a/\nWORKDIR b\nWORKDIR ../c/./d\nENV x=/y\nWORKDIR $x/z"),
        ["WORKDIR /a", "WORKDIR /a/b", "WORKDIR /a/c/d", "ENV x=/y", "WORKDIR /y/z"]
    );
}

#[test]
fn what_is_expanded_and_what_is_not() {
    let text = "\
FROM scratch
ENV v=1
COPY --chown=$v:$v --chmod=${v}55 --exclude=$v --link $v \"$v\" /$v/
ADD --checksum=sha256:$v https://x/$v /
LABEL $v=$v \"a b\"='$v'
EXPOSE $v $v-2/udp
STOPSIGNAL $v
USER $v
VOLUME /$v [\"$v\"]
WORKDIR /$v
ENTRYPOINT [\"$v\"]
CMD $v
HEALTHCHECK CMD $v
SHELL [\"$v\"]
ONBUILD RUN $v
MAINTAINER $v
";
    let checked = checked(text, &Ask::default());
    let Operation::Transfer(copy) = &checked.plan.stages[0].steps[1].operation else { panic!() };
    assert_eq!(
        (copy.chown.as_deref(), &copy.chmod, copy.exclude.as_slice(), copy.link),
        (Some("1:1"), &Some(Chmod::Octal(0o155)), &["$v".to_owned()][..], true)
    );
    let Operation::Transfer(add) = &checked.plan.stages[0].steps[2].operation else { panic!() };
    assert_eq!(add.checksum.as_deref(), Some("sha256:1"));
    let text = to_text(&checked.plan);
    let lines: Vec<&str> = text.lines().skip(2).map(|line| line.trim_start()).collect();
    assert_eq!(
        lines,
        [
            "0.2 COPY 1 1 -> /1/",
            "0.3 ADD https://x/1 -> /",
            "0.4 LABEL 1=1 a b=$v",
            "0.5 EXPOSE 1/tcp 1-2/udp",
            "0.6 STOPSIGNAL 1",
            "0.7 USER 1",
            "0.8 VOLUME [\"/1\", \"[1]\"]",
            "0.9 WORKDIR /1",
            "0.10 ENTRYPOINT [\"$v\"]",
            "0.11 CMD [\"/bin/sh\", \"-c\", \"$v\"]",
            "0.12 HEALTHCHECK [\"CMD-SHELL\", \"$v\"]",
            "0.13 SHELL [\"$v\"]",
            "0.14 ONBUILD RUN $v",
            "0.15 MAINTAINER $v",
        ]
    );
}

#[test]
fn documents_are_files() {
    let text =
        "FROM scratch\nENV v=1\nCOPY <<a <<'b' <<-c /d/\n\"$v\" \\$v\na\n$v\nb\n\t'$v'\n\tc\n";
    let checked = checked(text, &Ask::default());
    let Operation::Transfer(copy) = &checked.plan.stages[0].steps[1].operation else { panic!() };
    let documents: Vec<(&str, &str)> =
        copy.documents.iter().map(|(name, content)| (name.as_str(), content.as_str())).collect();
    assert_eq!(documents, [("a", "\"1\" $v\n"), ("b", "$v\n"), ("c", "'1'\n")]);
}

#[test]
fn the_backtick_file_expands_documents_with_backslashes() {
    let text = "# escape=`\nFROM scratch\nENV v=1\nCOPY <<a /\n\\$v `$v\na\n";
    let checked = checked(text, &Ask::default());
    let Operation::Transfer(copy) = &checked.plan.stages[0].steps[1].operation else { panic!() };
    assert_eq!(copy.documents[0].1, "$v `1\n");
}

#[test]
fn mistakes() {
    for (body, expected) in [
        ("COPY https://x/a /", "2:6: source can't be a URL for COPY"),
        ("COPY git@github.com:a/b.git /", "2:6: source can't be a git ref for COPY"),
        (
            "COPY --chmod=9999 a /",
            "2:14: invalid chmod parameter: '9999'. it should be octal string and between 0 and 07777",
        ),
        ("ADD --checksum=sha256:0 a /", "2:16: checksum requires HTTP(S) or Git sources"),
        (
            "ADD --checksum=sha256:0 http://x/a http://x/b /",
            "2:16: checksum can't be specified for multiple sources",
        ),
        ("EXPOSE x", "2:8: invalid containerPort: x"),
        ("EXPOSE 80/ip", "2:8: invalid port: \"80/ip\": invalid proto: ip"),
        ("STOPSIGNAL SIGTREM", "2:12: invalid signal: SIGTREM (did you mean SIGTERM?)"),
        ("ARG e\nVOLUME $e", "3:8: VOLUME specified can not be an empty string"),
    ] {
        assert_eq!(errors(&format!("FROM scratch\n{body}\n")), [expected], "{body}");
    }
}

#[test]
fn one_mistake_does_not_hide_another() {
    assert_eq!(
        errors("FROM scratch\nCOPY --chmod=x ${ /\nEXPOSE a b\nSTOPSIGNAL 0\nCOPY --from=9 a b\n")
            .len(),
        6
    );
}
