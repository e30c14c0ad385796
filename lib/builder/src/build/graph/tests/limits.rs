//! Hostile files end, with a message.

use super::*;

#[test]
fn doubling_variables_end() {
    let mut text = "FROM scratch\nENV v0=0123456789\n".to_owned();
    for at in 1..60 {
        text.push_str(&format!("ENV v{at}=$v{0}$v{0}\n", at - 1));
    }
    let errors = errors(&text);
    assert_eq!(
        errors.first().map(String::as_str),
        Some("19:9: failed to process \"$v16$v16\": the value is longer than 1048576 bytes"),
    );
}

#[test]
fn many_large_values_end() {
    let mut text = format!("FROM scratch\nENV v0={}\n", "x".repeat(60_000));
    for at in 0..3000 {
        text.push_str(&format!("ENV w{at}=$v0\n"));
    }
    let errors = errors(&text);
    let last = errors.last().unwrap();
    assert!(last.ends_with("the variables of this file expand to too much text"), "{last}");
}

#[test]
fn many_arguments_are_fine() {
    let mut text = "FROM scratch\nARG a=1\n".to_owned();
    for at in 0..20_000 {
        text.push_str(&format!("ARG b{at}=$a\n"));
    }
    assert_eq!(errors(&text), Vec::<String>::new());
}

#[test]
fn chains_of_stages_with_variables_end() {
    let mut text = "FROM scratch AS s0\n".to_owned();
    for at in 0..20_000 {
        text.push_str(&format!("ENV v{at}=0123456789\n"));
    }
    for at in 1..900 {
        text.push_str(&format!("FROM s{} AS s{at}\nENV a=1\n", at - 1));
    }
    let errors = errors(&text);
    assert!(
        errors[0].ends_with("the variables of this file expand to too much text"),
        "{errors:?}"
    );
}

#[test]
fn deep_defaults_are_refused() {
    let word = format!("{}x{}", "${a:-".repeat(1000), "}".repeat(1000));
    let errors = errors(&format!("FROM scratch\nENV a={word}\n"));
    assert!(errors[0].ends_with("substitutions are nested more than 100 deep"), "{errors:?}");
    assert!(errors[0].len() < 300, "{errors:?}");
}

#[test]
fn wide_port_ranges_cost_nothing() {
    let text = format!("FROM scratch\nEXPOSE{}\n", " 0-65535".repeat(5000));
    assert_eq!(errors(&text), Vec::<String>::new());
}

#[test]
fn many_references_below_end() {
    let mut text = String::new();
    for at in 0..300 {
        text.push_str(&format!("FROM scratch AS s{at}\nCOPY --from=s{} a b\n", (at + 1) % 300));
    }
    let errors = errors_of(&text, &Ask { all: true, ..Ask::default() });
    assert_eq!(errors.len(), 299, "{:?}", errors.first());
}

/// Files whose reading would take hours if any step looked back at all that came before. Each is
/// understood, or refused, in the time that its size explains.
#[test]
fn nothing_is_compared_with_everything() {
    let many = |text: &str, count: usize| text.repeat(count);
    let numbered = |text: &str, count: usize| -> String {
        (0..count).map(|at| text.replace('#', &at.to_string())).collect()
    };
    let head = "FROM scratch\n";
    let files = [
        // Flags, mounts, sources, pairs, markers.
        format!("{head}COPY {} {} a /b\n", many("--exclude=x ", 4000), many("--link ", 1000)),
        format!("{head}RUN {} x\n", many("--mount=type=ssh \\\n", 8_000)),
        format!("{head}COPY {} /x/\n", many("a \\\n", 20_000)),
        format!("{head}ENV {}\n", numbered("v#=$w# \\\n", 8_000)),
        format!("{head}COPY {} /x/\n{}", many("<<E ", 900), many("b\nE\n", 900)),
        // Comments, definitions, unknown words, names that are nowhere.
        format!("{}ARG {}\n{head}", many("# a text\n", 20_000), many("a \\\n", 20_000)),
        format!("{head}{}", numbered("UNKNOWN_INSTRUCTION_NUMBER_# x\n", 8_000)),
        format!("{head}{}", numbered("COPY --from=stage_number_# a b\n", 8_000)),
        format!("FROM {}\n", many("$a${b}", 5_000)),
        format!("ARG a=1\n{head}ARG {}\n", many("a \\\n", 20_000)),
        // Triggers of a base, again and again.
        format!("FROM scratch AS a\n{}{}", many("ONBUILD RUN x\n", 1000), many("FROM a\n", 900)),
        // Here-documents without an end.
        format!("{head}{}", many("RUN <<E\n E\n", 8_000)),
    ];
    for text in files {
        let checked = checked(&text, &Ask { all: true, ..Ask::default() });
        assert!(checked.found.len() <= crate::build::diagnostic::MAX_DIAGNOSTICS);
        crate::build::call::outline(&checked.plan);
    }
}
