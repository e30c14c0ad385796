//! ARG and ENV: scopes, order, what wins.

use super::*;

/// What `COPY WORD .` copies at the end of a file.
fn copied(text: &str, arguments: &[(&str, &str)]) -> String {
    let checked = checked(text, &Ask { arguments, ..Ask::default() });
    assert!(checked.found.iter().all(|f| f.severity != Severity::Error), "{:?}", checked.found);
    let last = checked.plan.stages.last().and_then(|stage| stage.steps.last()).unwrap();
    let Operation::Transfer(transfer) = &last.operation else { panic!("{last:?}") };
    transfer.sources.iter().map(Place::text).collect::<Vec<_>>().join(" ")
}

#[test]
fn scopes() {
    let stage = "FROM scratch\n";
    for (text, arguments, expected) in [
        // Global arguments need to be declared again.
        ("ARG A=1\nFROM scratch\nCOPY [$A] .", &[][..], "[]"),
        ("ARG A=1\nFROM scratch\nARG A\nCOPY [$A] .", &[], "[1]"),
        ("ARG A=1\nFROM scratch\nARG A=2\nCOPY [$A] .", &[], "[2]"),
        ("ARG A=1\nFROM scratch\nARG A\nCOPY [$A] .", &[("A", "3")], "[3]"),
        ("ARG A\nFROM scratch\nARG A\nCOPY [${A-unset}] .", &[], "[unset]"),
        ("ARG A=\nFROM scratch\nARG A\nCOPY [${A-unset}] .", &[], "[]"),
        // An argument given on the command line is used as it is.
        ("FROM scratch\nARG A\nARG B=x\nCOPY [$A] .", &[("A", "$B\\'")], "[$B\\']"),
        ("FROM scratch\nARG A=1\nARG B=$A$A\nCOPY [$B] .", &[], "[11]"),
        ("FROM scratch\nARG A=\"a b\" C='$A'\nCOPY $A$C .", &[], "a b$A"),
        ("ARG A=1\nARG B=${A}2\nFROM scratch\nARG B\nCOPY [$B] .", &[], "[12]"),
        ("ARG A=1\nARG B=${A}2\nFROM scratch\nARG B\nCOPY [$B] .", &[("A", "x")], "[x2]"),
        // From its line on.
        ("FROM scratch\nCOPY [$A] .", &[("A", "1")], "[]"),
        ("FROM scratch\nARG A=1\nFROM scratch\nCOPY [$A] .", &[], "[]"),
        ("FROM scratch AS a\nARG A=1\nFROM a\nCOPY [$A] .", &[], "[1]"),
        // Always there, once declared.
        ("FROM scratch\nARG TARGETARCH BUILDOS\nCOPY $TARGETARCH-$BUILDOS .", &[], "amd64-linux"),
        ("FROM scratch\nCOPY [$TARGETARCH] .", &[], "[]"),
        (
            "FROM scratch\nARG TARGETPLATFORM\nCOPY $TARGETPLATFORM .",
            &[("TARGETPLATFORM", "x")],
            "x",
        ),
        ("FROM scratch AS end\nARG TARGETSTAGE\nCOPY $TARGETSTAGE .", &[], "end"),
        ("FROM scratch\nARG TARGETSTAGE\nCOPY $TARGETSTAGE .", &[], "default"),
    ] {
        assert_eq!(copied(text, arguments), expected, "{text} {arguments:?}");
    }
    assert_eq!(copied(&format!("{stage}ARG A\nCOPY [$A] ."), &[]), "[]");
}

#[test]
fn the_later_one_wins() {
    for (body, arguments, expected) in [
        ("ENV F=a\nARG F\nCOPY $F .", &[("F", "b")][..], "b"),
        ("ENV F=a\nARG F=d\nCOPY $F .", &[], "d"),
        ("ARG F=d\nENV F=a\nCOPY $F .", &[("F", "b")], "a"),
        ("ENV F=a\nARG F\nCOPY $F .", &[], "a"),
        // One instruction sees what was before it.
        ("ENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc\nCOPY $def-$ghi .", &[], "hello-bye"),
        ("ENV a=1\nENV b=${a}2 c=${b:-none}\nCOPY $c .", &[], "none"),
        ("ENV a \"b c\" d\nCOPY $a .", &[], "b c d"),
        ("ENV $x=1\nENV k=name\nENV $k=2\nCOPY $name .", &[], "2"),
    ] {
        assert_eq!(copied(&format!("FROM scratch\n{body}"), arguments), expected, "{body}");
    }
}

#[test]
fn env_and_arg_reach_a_run() {
    let text = "FROM scratch\nENV E=1\nARG A=2 B C\nARG A=3\nENV A=4\nRUN x\n";
    let arguments =
        [("C", "5"), ("http_proxy", "http://p"), ("UNUSED", "6"), ("SOURCE_DATE_EPOCH", "0")];
    let checked = checked(text, &Ask { arguments: &arguments, ..Ask::default() });
    let Operation::Run(run) = &checked.plan.stages[0].steps.last().unwrap().operation else {
        panic!()
    };
    let environment: Vec<String> = run
        .environment
        .iter()
        .filter(|(n, _)| *n != "PATH")
        .map(|(n, v)| format!("{n}={v}"))
        .collect();
    assert_eq!(environment, ["A=4", "C=5", "E=1"]);
    let arguments: Vec<String> =
        run.build_arguments.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(arguments, ["A=4", "B=", "C=5"]);
    assert_eq!(checked.plan.proxies, [("http_proxy".to_owned(), "http://p".to_owned())]);
    assert_eq!(checked.plan.unused_arguments, ["UNUSED"]);
    assert_eq!(checked.plan.source_date_epoch.as_deref(), Some("0"));
}

#[test]
fn a_global_epoch_counts() {
    let plan = checked("ARG SOURCE_DATE_EPOCH=7\nFROM scratch\n", &Ask::default()).plan;
    assert_eq!(plan.source_date_epoch.as_deref(), Some("7"));
}

#[test]
fn base_images_bring_variables() {
    let image =
        BaseImage { env: vec!["PATH=/p".to_owned(), "F=base".to_owned()], ..BaseImage::default() };
    let bases = [("docker.io/library/b:1", image)];
    let text = "FROM b:1\nARG G=$F\nARG F=d\nENV PATH=/x:$PATH\nCOPY $G$F$PATH .\n";
    let shown = shown(text, &Ask { bases: &bases, ..Ask::default() });
    assert!(shown.ends_with("  0.4 COPY based/x:/p -> /\n"), "{shown}");
}

#[test]
fn mistakes_in_values() {
    assert_eq!(
        errors("ARG a=${\nFROM scratch\nARG b=${x:?wanted}\nENV c=${}\nLABEL d='\n"),
        [
            "1:7: failed to process \"${\": syntax error: missing '}'",
            "3:7: failed to process \"${x:?wanted}\": x: wanted",
            "4:7: failed to process \"${}\": syntax error: bad substitution",
            "5:9: failed to process \"'\": unexpected end of statement while looking for matching single-quote",
        ]
    );
    // A default that is not used does not matter.
    let ask = Ask { arguments: &[("b", "1")], ..Ask::default() };
    assert_eq!(errors_of("FROM scratch\nARG b=${x:?wanted}\n", &ask), Vec::<String>::new());
}
