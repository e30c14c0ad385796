//! Arguments of the instructions.

use super::*;

/// One instruction and what it becomes.
fn check(rows: &[(&str, &str)]) {
    for (text, expected) in rows {
        assert_eq!(body(text), format!("{expected}\n"), "{text}");
    }
}

#[test]
fn env_and_label() {
    check(&[
        ("ENV name value", r#"ENV "name" "value""#),
        ("env name=value", r#"ENV "name"="value""#),
        ("ENV name=value name2=value2", r#"ENV "name"="value" "name2"="value2""#),
        (r#"ENV name="value value1""#, r#"ENV "name"="\"value value1\"""#),
        (r"ENV name=value\ value2", r#"ENV "name"="value\\ value2""#),
        (
            r#"ENV name='value"double quote"value2'"#,
            r#"ENV "name"="'value\"double quote\"value2'""#,
        ),
        (r#"ENV name="a\"b""#, r#"ENV "name"="\"a\\\"b\"""#),
        (r"ENV name='a\'b", r#"ENV "name"="'a\\'b""#),
        (r"ENV name='a\'b''", r#"ENV "name"="'a\\'b''""#),
        ("ENV a= b=c", r#"ENV "a"="" "b"="c""#),
        ("ENV a=b\\ c \\\n  d=\"e \\\n f\" \\", r#"ENV "a"="b\\ c" "d"="\"e  f\"""#),
        ("ENV SCUBA 1 DUBA 3", r#"ENV "SCUBA" "1 DUBA 3""#),
        ("ENV GOPATH \\\n\\go", r#"ENV "GOPATH" "\\go""#),
        ("LABEL\tmaintainer\tA B <a@b>", r#"LABEL "maintainer" "A B <a@b>""#),
        ("LABEL \"a b\"=c", r#"LABEL "\"a b\""="c""#),
    ]);
}

#[test]
fn arg() {
    check(&[
        ("ARG foo bar=baz", r#"ARG "foo" "bar"="baz""#),
        ("ARG abc=\"123 456\" def", r#"ARG "abc"="\"123 456\"" "def""#),
        ("ARG a=", r#"ARG "a"="""#),
        ("ARG a=b=c", r#"ARG "a"="b=c""#),
    ]);
}

#[test]
fn exec_and_shell_forms() {
    check(&[
        ("CMD []", "CMD []"),
        ("CMD [\"\"]", r#"CMD [""]"#),
        ("CMD [\t\"a\",\t\"b\"\t]\t", r#"CMD ["a", "b"]"#),
        (
            r#"CMD ["abc 123", "♥", "\" \\ \/ \b \f \n \r \t \u0000"]"#,
            r#"CMD ["abc 123", "♥", "\" \\ / \u{8} \u{c} \n \r \t \0"]"#,
        ),
        ("CMD ['echo','x']", r#"CMD "['echo','x']""#),
        (r#"CMD ["echo", "x""#, r#"CMD "[\"echo\", \"x\"""#),
        (r#"CMD ["echo", "x]"#, r#"CMD "[\"echo\", \"x]""#),
        (r#"CMD '["echo"]'"#, r#"CMD "'[\"echo\"]'""#),
        (r#"RUN ["a"] && c"#, r#"RUN "[\"a\"] && c""#),
        ("CMD", r#"CMD """#),
        ("RUN", r#"RUN """#),
        ("ENTRYPOINT", r#"ENTRYPOINT """#),
        ("ENTRYPOINT [\"a\", \"\", \"b\"]", r#"ENTRYPOINT ["a", "", "b"]"#),
        (
            "RUN    sh -c 'echo root:testpass \\\n        > /tmp/passwd'",
            "RUN \"sh -c 'echo root:testpass         > /tmp/passwd'\"",
        ),
        ("CMD -- --version", r#"CMD "--version""#),
        ("CMD -- [ \"a\" ]", r#"CMD ["a"]"#),
        ("SHELL [\"powershell\", \"-command\"]", r#"SHELL ["powershell", "-command"]"#),
    ]);
}

#[test]
fn copy_and_add() {
    check(&[
        ("COPY\t.\t/go/src", r#"COPY "." -> "/go/src""#),
        ("ADD null /", r#"ADD "null" -> "/""#),
        ("COPY [ \"test file\", \"/tmp\" ]", r#"COPY "test file" -> "/tmp""#),
        (r#"ADD \conf\\" /.znc"#, r#"ADD "\\conf\\\\\"" -> "/.znc""#),
        ("COPY a 'b c' /d", r#"COPY "a" "'b" "c'" -> "/d""#),
        ("COPY -- foo /tmp/", r#"COPY "foo" -> "/tmp/""#),
        (
            "COPY --chown=a:b --link --chmod=755 -- --from /x",
            r#"COPY "--from" -> "/x" chown="a:b" chmod="755" link=true"#,
        ),
        (
            "COPY --from=0 --link=FALSE --parents=true a /",
            r#"COPY "a" -> "/" from="0" parents=true"#,
        ),
        ("COPY --exclude=a --exclude='b c' x /", r#"COPY "x" -> "/" exclude="a" exclude="b c""#),
        (
            "ADD --checksum=sha256:00 --keep-git-dir --unpack=false u /",
            r#"ADD "u" -> "/" checksum="sha256:00" keep-git-dir=true unpack=false"#,
        ),
        ("COPY --chown= a /", r#"COPY "a" -> "/" chown="""#),
        ("COPY --chown=\"a\\ b\" a /", r#"COPY "a" -> "/" chown="a b""#),
    ]);
}

#[test]
fn the_others() {
    check(&[
        ("EXPOSE 8500 8600/udp  8400-8410/tcp", r#"EXPOSE "8500" "8600/udp" "8400-8410/tcp""#),
        ("USER docker:root", r#"USER "docker:root""#),
        ("WORKDIR /a b", r#"WORKDIR "/a b""#),
        ("STOPSIGNAL SIGKILL", r#"STOPSIGNAL "SIGKILL""#),
        ("MAINTAINER docker <d@d.io>", r#"MAINTAINER "docker <d@d.io>""#),
        ("VOLUME [\"/test\", \" /test2 \"]", r#"VOLUME "/test" "/test2""#),
        ("VOLUME /a /b", r#"VOLUME "/a" "/b""#),
        ("USER <<X", r#"USER "<<X""#),
    ]);
}

#[test]
fn from() {
    for (text, expected) in [
        ("FROM ubuntu:14.04", r#"FROM "ubuntu:14.04""#),
        (
            "from --platform=$BUILDPLATFORM a As B.c-d_1",
            r#"FROM --platform="$BUILDPLATFORM" "a" as "B.c-d_1""#,
        ),
        ("FROM image\\\n  AS x", r#"FROM "image" as "x""#),
    ] {
        assert_eq!(dump(text), format!("{expected}\n"));
    }
}

#[test]
fn healthcheck() {
    check(&[
        ("HEALTHCHECK none", r#"HEALTHCHECK ["NONE"] [0, 0, 0, 0] 0"#),
        ("HEALTHCHECK --interval=5s NONE", r#"HEALTHCHECK ["NONE"] [0, 0, 0, 0] 0"#),
        ("HEALTHCHECK   CMD   a b", r#"HEALTHCHECK ["CMD-SHELL", "a b"] [0, 0, 0, 0] 0"#),
        (
            "HEALTHCHECK --interval=5s --timeout=3s --start-period=0s --start-interval=1m --retries=3 \\\n  CMD [\"foo\"]",
            r#"HEALTHCHECK ["CMD", "foo"] [5000000000, 3000000000, 0, 60000000000] 3"#,
        ),
    ]);
}

#[test]
fn onbuild() {
    check(&[
        (
            "ONBUILD RUN [\"echo\", \"test\"]",
            r#"ONBUILD "RUN [\"echo\", \"test\"]" -> RUN ["echo", "test"]"#,
        ),
        ("onbuild copy . \\\n  /", r#"ONBUILD "copy .   /" -> COPY "." -> "/""#),
        ("ONBUILD RUN <<E\nx\nE", r#"ONBUILD "RUN <<E\nx\nE" -> RUN "<<E" <"E" "x\n">"#),
        ("ONBUILD FOO x", r#"ONBUILD "FOO x""#),
        ("ONBUILD COPY x", r#"ONBUILD "COPY x""#),
    ]);
}

#[test]
fn triggers_of_images() {
    let shown = |text: &str| {
        let file = parse_trigger(text);
        let errors = file.diagnostics.list().iter().map(|d| d.message.clone());
        errors.chain(file.globals.iter().map(show)).collect::<Vec<_>>()
    };
    assert_eq!(shown("RUN <<E\nx\nE"), [r#"RUN "<<E" <"E" "x\n">"#]);
    assert_eq!(shown("COPY --from=a b c"), [r#"COPY "b" -> "c" from="a""#]);
    assert_eq!(shown("RUN a\nRUN b")[0], "onbuild trigger should be a single expression");
    assert_eq!(shown("")[0], "onbuild trigger should be a single expression");
    assert_eq!(shown("WHAT x")[0], "unknown instruction: WHAT");
}
