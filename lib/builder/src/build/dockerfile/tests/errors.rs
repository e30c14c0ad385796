//! Mistakes: their texts and places, and that one does not hide another.

use super::*;

/// Messages with their places.
fn errors(text: &str) -> Vec<String> {
    let file = parse("f", text.as_bytes());
    let list = file.diagnostics.list();
    list.iter().map(|d| one_line(d, &file.source).replacen("error: ", "", 1)).collect()
}

#[test]
fn of_the_file() {
    for (text, expected) in [
        ("", "f:1:1: the Dockerfile cannot be empty"),
        ("# Hello\n# only comments\n", "f:1:1: file with no instructions"),
        ("ARG x\n", "f:1:1: dockerfile contains no stages to build"),
        ("RUN x\nFROM y\n", "f:1:1: no build stage in current context"),
    ] {
        assert_eq!(errors(text), [expected]);
    }
}

#[test]
fn of_single_instructions() {
    for (text, expected) in [
        ("FOO bar", "1: unknown instruction: FOO"),
        ("foo bar", "1: unknown instruction: foo"),
        ("EXPSE 80", "1: unknown instruction: EXPSE (did you mean EXPOSE?)"),
        ("copi a b", "1: unknown instruction: copi (did you mean copy?)"),
        ("WORKDIR", "1: WORKDIR requires exactly one argument"),
        ("USER", "1: USER requires exactly one argument"),
        ("STOPSIGNAL", "1: STOPSIGNAL requires exactly one argument"),
        ("MAINTAINER", "1: MAINTAINER requires exactly one argument"),
        ("ENV", "1: ENV requires at least one argument"),
        ("LABEL", "1: LABEL requires at least one argument"),
        ("ARG", "1: ARG requires at least one argument"),
        ("ONBUILD", "1: ONBUILD requires at least one argument"),
        ("HEALTHCHECK", "1: HEALTHCHECK requires at least one argument"),
        ("EXPOSE", "1: EXPOSE requires at least one argument"),
        ("VOLUME", "1: VOLUME requires at least one argument"),
        ("VOLUME [\"\"]", "8: VOLUME specified can not be an empty string"),
        ("SHELL", "1: SHELL requires at least one argument"),
        ("SHELL []", "7: SHELL requires at least one argument"),
        ("SHELL powershell -command", "7: SHELL requires the arguments to be in JSON form"),
        ("ENV PATH", "5: ENV must have two arguments"),
        ("LABEL =x", "7: LABEL names can not be blank"),
        ("ARG =x", "5: ARG names can not be blank"),
        ("ENV a=b c", "9: Syntax error - can't find = in \"c\". Must be of the form: name=value"),
        ("FROM", "1: FROM requires either one or three arguments"),
        ("FROM a b", "6: FROM requires either one or three arguments"),
        ("FROM a as b c", "6: FROM requires either one or three arguments"),
        ("FROM a of b", "6: FROM requires either one or three arguments"),
        (
            "FROM a AS 1x",
            "11: invalid name for build stage: \"1x\", name can't start with a number or contain symbols",
        ),
        (
            "COPY a",
            "6: COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        (
            "ADD [\"a\"]",
            "5: ADD requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        (
            "CMD [\"echo\", [\"nested\"]]",
            "5: when using JSON array syntax, arrays must be comprised of strings only",
        ),
        (
            "RUN [\"a\", 42]",
            "5: when using JSON array syntax, arrays must be comprised of strings only",
        ),
        (
            "HEALTHCHECK CMD [null]",
            "13: when using JSON array syntax, arrays must be comprised of strings only",
        ),
        ("ONBUILD ONBUILD RUN x", "9: Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD from scratch", "9: FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD MAINTAINER x", "9: MAINTAINER isn't allowed as an ONBUILD trigger"),
        ("HEALTHCHECK CMD", "13: Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK CMD []", "13: Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK NONE x", "13: HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CONNECT TCP 7000", "13: Unknown type \"CONNECT\" in HEALTHCHECK (try CMD)"),
        ("HEALTHCHECK --interval=50ns CMD x", "24: Interval \"interval\" cannot be less than 1ms"),
        ("HEALTHCHECK --timeout=-1s CMD x", "23: Interval \"timeout\" cannot be less than 1ms"),
        ("HEALTHCHECK --timeout=5 CMD x", "23: --timeout: \"5\" is no duration"),
        ("HEALTHCHECK --retries=-1 CMD x", "23: --retries cannot be negative (-1)"),
        ("HEALTHCHECK --retries=a CMD x", "23: --retries: \"a\" is no number"),
        ("RUN --network=hots x", "15: invalid network mode \"hots\" (did you mean host?)"),
        ("RUN --security=x y", "16: security \"x\" is not valid"),
        ("RUN --device=a,b=c x", "16: unexpected key 'b' in 'b=c'"),
        (
            "RUN --device=v.com/d=foo,name=v.com/d=bar x",
            "26: device name already set to v.com/d=foo",
        ),
    ] {
        let text = match text.starts_with("FROM") {
            true => format!("{text}\n"),
            false => format!("FROM x\n{text}\n"),
        };
        let line = if text.starts_with("FROM x\n") { 2 } else { 1 };
        assert_eq!(errors(&text), [format!("f:{line}:{expected}")], "{text}");
    }
}

#[test]
fn of_flags() {
    for (text, expected) in [
        ("RUN --mont=type=cache x", "5: unknown flag: --mont (did you mean mount?)"),
        ("COPY --user=me a b", "6: unknown flag: --user"),
        ("MAINTAINER --boo joe", "12: unknown flag: --boo"),
        ("CMD --version", "5: unknown flag: --version"),
        ("COPY --chown=a --chown=b a b", "16: duplicate flag specified: --chown"),
        ("RUN --mount type=cache x", "5: missing a value on flag: --mount"),
        ("COPY --link= a b", "6: missing a value on flag: --link"),
        ("COPY --link=no a b", "6: expecting boolean value for flag --link, not: no"),
        ("COPY --exclude a b", "6: missing a value on flag: --exclude"),
    ] {
        assert_eq!(errors(&format!("FROM x\n{text}\n")), [format!("f:2:{expected}")], "{text}");
    }
}

#[test]
fn flags_are_explained() {
    let file = parse("f", b"FROM x\nCMD --version\nUSER --x y\nRUN --mount type=bind x\n");
    let hints: Vec<&str> =
        file.diagnostics.list().iter().flat_map(|d| d.hints.iter().map(String::as_str)).collect();
    assert_eq!(
        hints,
        [
            "CMD takes no flags",
            "if it belongs to the command: CMD -- --version",
            "USER takes no flags",
            "the value belongs to the same word: --mount=VALUE",
        ]
    );
}

#[test]
fn all_are_told_at_once() {
    let text = "\
FROM a AS 0
COPY --chwn=x --link=maybe a
ENV a b=c
ENV x=y z
FROM
RUN --network=moon true
";
    assert_eq!(
        errors(text),
        [
            "f:1:11: invalid name for build stage: \"0\", name can't start with a number or contain symbols",
            "f:2:6: unknown flag: --chwn (did you mean chown?)",
            "f:2:15: expecting boolean value for flag --link, not: maybe",
            "f:2:28: COPY requires at least two arguments, but only one was provided. Destination could not be determined",
            "f:4:9: Syntax error - can't find = in \"z\". Must be of the form: name=value",
            "f:5:1: FROM requires either one or three arguments",
            "f:6:15: invalid network mode \"moon\"",
        ]
    );
}

#[test]
fn a_missing_continuation_is_one_mistake() {
    let text = "FROM x\nRUN apt-get update &&\n    apt-get install -y \\\n  curl &&\n    rm -rf /x\nUSER\n";
    let file = parse("f", text.as_bytes());
    let found = file.diagnostics.list();
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[0].message, "unknown instruction: apt-get");
    assert_eq!(
        found[0].hints,
        [
            "is a \\ missing at the end of the line above?",
            "the line below it is no instruction either"
        ]
    );
    assert_eq!(found[1].message, "USER requires exactly one argument");
}
