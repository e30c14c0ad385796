//! Here-documents.

use super::*;

fn check(rows: &[(&str, &str)]) {
    for (text, expected) in rows {
        assert_eq!(body(text), format!("{expected}\n"), "{text}");
    }
}

#[test]
fn of_run() {
    check(&[
        ("RUN <<EMPTY\nEMPTY", r#"RUN "<<EMPTY" <"EMPTY" "">"#),
        ("RUN 3<<E\nE\n", r#"RUN "3<<E" <"E" fd=3 "">"#),
        ("RUN <<E\n\tfoo\n\tbar\nE", r#"RUN "<<E" <"E" "\tfoo\n\tbar\n">"#),
        ("RUN <<-E\n\tbaz\n\t\tquux\n\tE", r#"RUN "<<-E" <"E" "baz\nquux\n">"#),
        ("RUN <<-'E'\n\tdon't $x\nE", r#"RUN "<<-'E'" <"E" raw "don't $x\n">"#),
        ("RUN <<E\n# comment\na \\\n\nE", r##"RUN "<<E" <"E" "# comment\na \\\n\n">"##),
        (
            "RUN --mount=type=cache,target=/foo <<M\nx\nM",
            r#"RUN "<<M" <"M" "x\n"> mount="type=cache,target=/foo""#,
        ),
        (
            "RUN <<COMPLEX python3\nprint(1)\nCOMPLEX",
            r#"RUN "<<COMPLEX python3" <"COMPLEX" "print(1)\n">"#,
        ),
        ("RUN <<eo'f'\nx\neof", r#"RUN "<<eo'f'" <"eof" raw "x\n">"#),
        ("RUN <<eo\\'f\nx\neo'f", r#"RUN "<<eo\\'f" <"eo'f" "x\n">"#),
        ("RUN <<'e'o\\'f\nx\neo'f", r#"RUN "<<'e'o\\'f" <"eo'f" raw "x\n">"#),
        ("RUN <<'one two'\nx\none two", r#"RUN "<<'one two'" <"one two" raw "x\n">"#),
        ("RUN <<$EOF\n$EOF", r#"RUN "<<$EOF" <"$EOF" "">"#),
        ("RUN <<  EOF  > foo\nEOF", r#"RUN "<<  EOF  > foo" <"EOF" "">"#),
        ("RUN << -EOF\n-EOF", r#"RUN "<< -EOF" <"-EOF" "">"#),
        ("RUN cat <<A <<B\n1\nA\n2\nB", r#"RUN "cat <<A <<B" <"A" "1\n"> <"B" "2\n">"#),
        ("RUN cat \\\n  <<A\n1\nA", r#"RUN "cat   <<A" <"A" "1\n">"#),
        ("RUN <<E\r\na\r\nE\r\nUSER x", "RUN \"<<E\" <\"E\" \"a\\r\\n\">\nUSER \"x\""),
        ("RUN <<\"E\"\nx\nE", r#"RUN "<<\"E\"" <"E" raw "x\n">"#),
    ]);
}

#[test]
fn that_are_none() {
    check(&[
        ("RUN \"<<NO\"", r#"RUN "\"<<NO\"""#),
        ("RUN '<<NO'", r#"RUN "'<<NO'""#),
        ("RUN [\"<<EOF\"]", r#"RUN ["<<EOF"]"#),
        ("RUN cat <<<word", r#"RUN "cat <<<word""#),
        ("RUN echo $((1<<2))\nUSER x", "RUN \"echo $((1<<2))\"\nUSER \"x\""),
        ("RUN a << \nUSER x", "RUN \"a <<\"\nUSER \"x\""),
        ("CMD cat <<E", r#"CMD "cat <<E""#),
        ("RUN it's <<E", r#"RUN "it's <<E""#),
        ("ENV a=<<E", r#"ENV "a"="<<E""#),
    ]);
}

#[test]
fn of_copy() {
    check(&[
        ("COPY <<A <<B /dest\n1\nA\n2\nB", r#"COPY <"A" "1\n"> <"B" "2\n"> -> "/dest""#),
        ("COPY <<X <<Y /dest\nY\nX\nX\nY", r#"COPY <"X" "Y\n"> <"Y" "X\n"> -> "/dest""#),
        ("ADD <<EOF /q\n\"foo\"\n'bar'\nEOF", r#"ADD <"EOF" "\"foo\"\n'bar'\n"> -> "/q""#),
        ("COPY <<robots.txt foo /d/\nx\nrobots.txt", r#"COPY "foo" <"robots.txt" "x\n"> -> "/d/""#),
        ("COPY <<'E' /b\n$x\nE", r#"COPY <"E" raw "$x\n"> -> "/b""#),
        ("COPY <<-E /b\n\tx\n\tE", r#"COPY <"E" "x\n"> -> "/b""#),
        // Two markers of one name: both get the last body.
        ("COPY <<E <<E /b/\n1\nE\n2\nE", r#"COPY <"E" "2\n"> <"E" "2\n"> -> "/b/""#),
    ]);
}

#[test]
fn what_the_shell_gets() {
    let text = |text: &str| {
        let file = parse("f", format!("FROM x\n{text}").as_bytes());
        let Kind::Run(run) = &file.stages[0].body[0].kind else { panic!() };
        (run.shell_text(), run.script().is_some())
    };
    assert_eq!(text("RUN a"), (Some("a".to_owned()), false));
    assert_eq!(text("RUN [\"a\"]"), (None, false));
    assert_eq!(text("RUN <<-E\n\ta\nE"), (Some("a\n".to_owned()), true));
    assert_eq!(text("RUN cat <<E\na\nE"), (Some("cat <<E\na\nE".to_owned()), false));
    assert_eq!(
        text("RUN cat <<-A 3<<B\n\t1\n\tA\n2\nB"),
        (Some("cat <<-A 3<<B\n\t1\nA\n2\nB".to_owned()), false)
    );
}

#[test]
fn without_an_end() {
    assert_eq!(body("RUN <<E\nUSER\n"), "f:2:5: error: unterminated heredoc\nRUN \"<<E\"\n");
    let file = parse("f", b"FROM x\nRUN <<E\na\n  E\nUSER\n");
    let found = file.diagnostics.list();
    assert_eq!(found[0].label.as_deref(), Some("no line is exactly \"E\""));
    assert!(found[0].hints[0].starts_with("line 4 is it but for blanks"), "{:?}", found[0].hints);
    // What follows the end that was meant is still looked at.
    assert_eq!(found[1].message, "USER requires exactly one argument");
}

#[test]
fn of_a_mistyped_instruction_is_no_code() {
    assert_eq!(
        body("RUNN <<E\nno instruction\nE\nUSER x"),
        "f:2:1: error: unknown instruction: RUNN (did you mean RUN?)\nUSER \"x\"\n"
    );
}

#[test]
fn a_destination_is_no_document() {
    assert_eq!(
        body("COPY /foo <<EOF\nEOF"),
        "f:2:11: error: COPY cannot accept a heredoc as a destination\nCOPY \"/foo\" -> \"<<EOF\"\n"
    );
}
