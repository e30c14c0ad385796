//! Physical lines, continuation, comments, directives.

use super::*;

#[test]
fn continuation_lines_are_joined() {
    for (text, expected) in [
        (
            "RUN echo hello\\\n  world\\\n  goodnight  \\\n  moon",
            "echo hello  world  goodnight    moon",
        ),
        ("RUN echo hello  \\  \nworld", "echo hello  world"),
        ("RUN echo hello \\\ngoodbye\\\nfrog", "echo hello goodbyefrog"),
        ("RUN echo hi \\\n \\\n world \\\n\\\n good\\\n\\\nnight", "echo hi   world  goodnight"),
        ("RUN something \\", "something"),
        ("RUN something \\\n", "something"),
        ("RUN a \\\n# comment\n\n  # another\nb", "a b"),
        ("RUN a \\\n\n\nb", "a b"),
        ("RUN a\\\\\nUSER b", "a\\\\"),
        ("RUN \\\n  a", "a"),
        ("  \tRUN a\\\r\n b\r\n", "a b"),
        ("RUN a # no comment", "a # no comment"),
        ("\\\nRUN a", "a"),
    ] {
        let shown = body(text);
        let run = shown.lines().next().unwrap();
        assert_eq!(run, format!("RUN {expected:?}"), "{text:?}");
    }
    assert_eq!(body("RUN a\\\\\nUSER b"), "RUN \"a\\\\\\\\\"\nUSER \"b\"\n");
}

#[test]
fn a_byte_order_mark_is_dropped() {
    assert_eq!(dump("\u{feff}FROM x\n"), "FROM \"x\"\n");
    let file = parse("f", "\u{feff}# escape=`\nFROM x\n".as_bytes());
    assert_eq!(file.directives.escape, '`');
}

#[test]
fn directives_stand_at_the_top() {
    let directives = |text: &str| {
        let directives = parse("f", text.as_bytes()).directives;
        let value = |directive: &Option<Directive>| {
            directive.as_ref().map(|d| d.value.clone()).unwrap_or_default()
        };
        format!("{} {} {}", directives.escape, value(&directives.syntax), value(&directives.check))
    };
    for (text, expected) in [
        ("#escape = `\n\nFROM x", "`  "),
        (
            "# syntax = docker/dockerfile:1 // more\n# EScape=`\n#check=skip=all\nFROM x",
            "` docker/dockerfile:1 // more skip=all",
        ),
        ("# comment\n# escape=`\nFROM x", "\\  "),
        ("\n# escape=`\nFROM x", "\\  "),
        ("# key=value\n# escape=`\nFROM x", "\\  "),
        ("#!/bin/sh\n# syntax=a\n# escape=`\n# check=skip=B\nFROM x", "\\ a skip=B"),
        ("FROM x\n# escape=`", "\\  "),
    ] {
        assert_eq!(directives(text), expected, "{text:?}");
    }
    let file = parse("f", b"# syntax = a b \nFROM x");
    let syntax = file.directives.syntax.unwrap();
    assert_eq!(file.source.slice(syntax.span), "a b");
}

#[test]
fn mistakes_in_directives() {
    assert_eq!(
        dump("# escape=x\nFROM x"),
        "f:1:10: error: invalid escape token 'x' does not match ` or \\\nFROM \"x\"\n"
    );
    assert_eq!(
        dump("# escape=`\n# escape=\\\nFROM x"),
        "f:2:1: error: only one escape parser directive can be used\nFROM \"x\"\n"
    );
}

#[test]
fn the_backtick_continues_and_escapes() {
    assert_eq!(
        dump("# escape=`\nFROM `\n  x\nCOPY a `\n c:\\\\\nENV a=b` c d=`\"\n"),
        "FROM \"x\"\nCOPY \"a\" -> \"c:\\\\\\\\\"\nENV \"a\"=\"b` c\" \"d\"=\"`\\\"\"\n"
    );
}

#[test]
fn comments_describe_what_is_below() {
    let text = "\
# foo sets foo
ARG foo=bar

# base defines first stage
FROM busybox AS base
# this is irrelevant
ARG foo
# lost
#
# bar defines bar

# baz is something else
ARG bar baz=123
";
    let file = parse("f", text.as_bytes());
    let descriptions = |instruction: &Instruction| match &instruction.kind {
        Kind::Arg(args) => args.iter().map(|arg| arg.description.clone()).collect::<Vec<_>>(),
        _ => Vec::new(),
    };
    assert_eq!(descriptions(&file.globals[0]), [Some("sets foo".to_owned())]);
    assert_eq!(file.stages[0].start.description("base"), Some("defines first stage"));
    assert_eq!(file.stages[0].start.description("bas"), None);
    assert_eq!(descriptions(&file.stages[0].body[0]), [None]);
    assert_eq!(
        descriptions(&file.stages[0].body[1]),
        [Some("defines bar".to_owned()), Some("is something else".to_owned())]
    );
    let comments: Vec<&str> =
        file.stages[0].body[1].comments.iter().map(|c| file.source.slice(c.span)).collect();
    assert_eq!(comments, ["bar defines bar", "baz is something else"]);
}

#[test]
fn places_survive_continuation() {
    let text = "FROM x\nCOPY --chown=1 a \\\n  # comment\n  bé c \\\n\n  d/\nRUN <<E\nbody\nE\n";
    let file = parse("f", text.as_bytes());
    let [copy, run] = file.stages[0].body.as_slice() else { panic!() };
    let Kind::Copy(transfer) = &copy.kind else { panic!() };
    let place = |span: Span| {
        let at = file.source.position(span.start);
        format!("{}:{} {}", at.line, at.column, file.source.slice(span))
    };
    assert_eq!(
        transfer.paths.iter().map(|word| place(word.span)).collect::<Vec<_>>(),
        ["2:16 a", "4:3 bé", "4:6 c"]
    );
    assert_eq!(place(transfer.destination.span), "6:3 d/");
    assert_eq!(place(transfer.chown.as_ref().unwrap().span), "2:14 1");
    assert_eq!(file.source.line_range(copy.span), (2, 6));
    assert_eq!(
        copy.blanks.iter().map(|span| file.source.line_of(span.start)).collect::<Vec<_>>(),
        [5]
    );
    assert_eq!(file.source.line_range(run.span), (7, 9));
    let Kind::Run(run) = &run.kind else { panic!() };
    assert_eq!(place(run.heredocs[0].span), "7:5 <<E");
}

#[test]
fn limits() {
    let long = format!("FROM x\nRUN {}\n", "a".repeat(65_531));
    assert!(!parse("f", long.as_bytes()).diagnostics.has_errors());
    let long = format!("FROM x\nRUN {}\n", "a".repeat(65_532));
    assert!(
        dump(&long)
            .starts_with("f:2:1: error: dockerfile line greater than max allowed size of 65535\n")
    );
    let many = "FROM x\n".repeat(MAX_STAGES + 1);
    let file = parse("f", many.as_bytes());
    assert_eq!(
        one_line(&file.diagnostics.list()[0], &file.source),
        "f:1001:1: error: the file has more than 1000 stages"
    );
    let many = format!("FROM x\n{}", "USER a\n".repeat(MAX_INSTRUCTIONS));
    let file = parse("f", many.as_bytes());
    assert_eq!(
        one_line(&file.diagnostics.list()[0], &file.source),
        "f:50001:1: error: the file has more than 50000 instructions"
    );
    let file = parse("f", &vec![b'#'; MAX_FILE + 1]);
    assert_eq!(file.diagnostics.list()[0].message, "the file has more than 16777216 bytes");
    let file = parse("f", &vec![b'\n'; MAX_LINES + 1]);
    assert_eq!(file.diagnostics.list()[0].message, "the file has more than 500000 lines");
}

#[test]
fn text_must_be_utf8_where_it_counts() {
    let shown = |bytes: &[u8]| {
        let file = parse("f", bytes);
        file.diagnostics.list().iter().map(|d| one_line(d, &file.source)).collect::<Vec<_>>()
    };
    assert_eq!(shown(b"# caf\xe9\nFROM x\nRUN a \\\n# \xe9\n b"), Vec::<String>::new());
    assert_eq!(
        shown(b"FROM x\nRUN caf\xe9\n"),
        ["f:2:1: error: the instruction is not valid UTF-8"]
    );
}
