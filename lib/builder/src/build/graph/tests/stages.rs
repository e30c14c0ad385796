//! FROM, targets, references between stages, triggers.

use super::*;

#[test]
fn names_and_numbers_mean_stages() {
    let text = "\
FROM golang:1.22 AS Build
RUN make
FROM alpine AS unused
FROM scratch
COPY --from=build /out /app
COPY --from=0 /a /b
COPY --from=nginx /c /d
";
    assert_eq!(
        plain(text),
        "\
stage 0 build: from image docker.io/library/golang:1.22
  0.1 RUN /bin/sh -c make

stage 1 unused: from image docker.io/library/alpine:latest (not needed)

stage 2 stage-2: from scratch (target)
  2.1 COPY /out -> /app from stage 0 build
  2.2 COPY /a -> /b from stage 0 build
  2.3 COPY /c -> /d from image docker.io/library/nginx:latest
"
    );
    assert_eq!(
        checked(text, &Ask::default()).plan.images(),
        ["docker.io/library/golang:1.22", "docker.io/library/nginx:latest"]
    );
}

#[test]
fn a_target_chooses() {
    let text = "FROM scratch AS a\nRUN [\"a\"]\nFROM a AS b\nRUN [\"b\"]\nFROM b AS c\n";
    let needed = |target: &str| {
        let ask = Ask { target: Some(target), ..Ask::default() };
        let plan = checked(text, &ask).plan;
        (plan.target, plan.stages.iter().map(|stage| stage.reachable).collect::<Vec<_>>())
    };
    assert_eq!(needed("B"), (1, vec![true, true, false]));
    assert_eq!(needed("0"), (0, vec![true, false, false]));
    let ask = |target| Ask { target: Some(target), ..Ask::default() };
    assert_eq!(
        errors_of("FROM scratch AS build\n", &ask("biuld")),
        ["1:1: target stage \"biuld\" could not be found (did you mean build?)"]
    );
    assert_eq!(
        errors_of("FROM scratch\n", &ask("x")),
        ["1:1: target stage \"x\" could not be found"]
    );
}

#[test]
fn a_stage_inherits_from_another() {
    let text = "\
FROM scratch AS a
ENV E=1
ARG A=2
WORKDIR /w
USER u
SHELL [\"/bin/bash\", \"-c\"]
FROM a
COPY $E$A .
RUN x
CMD y
";
    let text = plain(text);
    let own: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("stage 1")).collect();
    assert_eq!(
        own,
        [
            "stage 1 stage-1: from stage 0 a (target)",
            "  1.1 COPY 12 -> /w/",
            "  1.2 RUN /bin/bash -c x",
            "  1.3 CMD [\"/bin/bash\", \"-c\", \"y\"]",
        ]
    );
}

#[test]
fn references_go_up() {
    for (text, expected) in [
        (
            "FROM scratch AS target\nCOPY --from=build a b\nFROM scratch AS build\nFROM target\n",
            "2:13: cannot copy from stage \"build\", it needs to be defined before current stage \"target\"",
        ),
        (
            "FROM scratch AS a\nRUN --mount=from=b,target=/m x\nFROM scratch AS b\nFROM a\n",
            "2:13: cannot mount from stage \"b\", stage needs to be defined before current command",
        ),
        (
            "FROM scratch AS a\nCOPY --from=a x y\n",
            "2:13: circular dependency detected on stage: a",
        ),
        (
            "FROM scratch AS a\nCOPY --from=b x y\nFROM a AS b\n",
            "2:13: circular dependency detected on stage: a",
        ),
        ("FROM scratch\nCOPY --from=3 a b\n", "2:13: invalid stage index 3"),
        ("FROM scratch\nCOPY --from=-1 a b\n", "2:13: invalid stage index -1"),
        (
            "FROM scratch\nCOPY --from=0 a b\n",
            "2:13: circular dependency detected on stage: stage-0",
        ),
        (
            "FROM scratch\nCOPY --from=$x a b\n",
            "2:13: variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround",
        ),
    ] {
        assert_eq!(errors(text), [expected], "{text}");
    }
}

#[test]
fn later_stages_of_a_name_hide_earlier_ones() {
    let text = "FROM scratch AS x\nENV v=1\nFROM x AS x\nCOPY --from=x a b\nFROM x\n";
    let text = plain(text);
    assert!(text.contains("1.1 COPY a -> /b from stage 0 x\n"), "{text}");
    assert!(text.contains("stage 2 stage-2: from stage 1 x (target)\n"), "{text}");
}

#[test]
fn bases_and_platforms_are_expanded_by_global_arguments() {
    let text = "\
ARG version=1
ARG image=base:$version
FROM --platform=$BUILDPLATFORM $image AS a
FROM ${image%%:*}:${other:-2}
";
    let shown = shown(text, &Ask { all: true, ..Ask::default() });
    assert!(
        shown.contains("from image docker.io/library/base:1 (linux/amd64, not needed)\n"),
        "{shown}"
    );
    assert!(shown.contains("from image docker.io/library/base:2 (target)\n"), "{shown}");
    for (text, expected) in [
        ("FROM $x\n", "1:6: base name ($x) should not be blank"),
        ("FROM ${x\n", "1:6: failed to process \"${x\": syntax error: missing '}'"),
        ("FROM --platform=$x scratch\n", "1:17: empty platform value from expression $x"),
        (
            "FROM --platform=$BULIDPLATFORM scratch\n",
            "1:17: empty platform value from expression $BULIDPLATFORM (did you mean BUILDPLATFORM?)",
        ),
        (
            "ARG MY_ARCH=x\nFROM --platform=linux/${MYARCH} scratch\n",
            "2:17: failed to parse platform linux/${MYARCH}: \"linux/\" is not a platform (expected os/arch[/variant], as linux/arm64) (did you mean MY_ARCH?)",
        ),
    ] {
        assert_eq!(errors(text), [expected], "{text}");
    }
    let upper = errors("FROM scratch AS build\nFROM Buidl\n");
    assert!(upper[0].starts_with("2:6: failed to parse stage name \"Buidl\""), "{upper:?}");
    assert!(upper[0].ends_with("(did you mean build?)"), "{upper:?}");
}

#[test]
fn contexts_stand_for_images_and_stages() {
    let text = "FROM alpine:latest AS a\nRUN x\nFROM scratch AS deps\nRUN y\nFROM a\nCOPY --from=deps p q\nCOPY --from=docker.io/library/busybox r s\n";
    let ask =
        Ask { contexts: &["docker.io/library/alpine", "deps", "busybox:latest"], ..Ask::default() };
    assert_eq!(
        shown(text, &ask),
        "\
stage 0 a: from context alpine
  0.1 RUN /bin/sh -c x

stage 1 deps: from context deps

stage 2 stage-2: from stage 0 a (target)
  2.1 COPY p -> q from stage 1 deps  # depends on the base image
  2.2 COPY r -> s from context busybox  # depends on the base image
"
    );
    assert_eq!(context_key("alpine::linux/arm64"), "alpine::linux/arm64");
}

#[test]
fn triggers_of_a_base_run_first() {
    let text = "\
FROM scratch AS parent
ONBUILD RUN [\"first\"]
ONBUILD COPY --from=tools /t /u
FROM scratch AS tools
FROM parent AS child
RUN [\"second\"]
FROM child AS grandchild
";
    let text = plain(text);
    assert!(text.contains("\nstage 1 tools: from scratch\n"), "{text}");
    assert!(
        text.contains("stage 2 child: from stage 0 parent\n  2.1 ONBUILD RUN [\"first\"]\n  2.2 ONBUILD COPY /t -> /u from stage 1 tools\n  2.3 RUN [\"second\"]\n"),
        "{text}"
    );
    // Not inherited by grandchildren.
    assert!(text.ends_with("stage 3 grandchild: from stage 2 child (target)\n"), "{text}");
}

#[test]
fn triggers_of_images_may_need_what_no_line_names() {
    let image = BaseImage {
        on_build: vec!["COPY --from=busybox /bin /b".to_owned(), "ENV A=$B".to_owned()],
        env: vec!["B=1".to_owned(), "odd".to_owned()],
        workdir: "/srv".to_owned(),
        ..BaseImage::default()
    };
    let bases = [("docker.io/library/base:1", image)];
    let ask = Ask { bases: &bases, ..Ask::default() };
    assert_eq!(
        shown("FROM base:1\nCOPY $A .\n", &ask),
        "\
stage 0 stage-0: from image docker.io/library/base:1 (target)
  0.1 ONBUILD COPY /bin -> /b from image docker.io/library/busybox:latest
  0.2 ONBUILD ENV A=1
  0.3 COPY 1 -> /srv/
"
    );
    let broken = BaseImage { on_build: vec!["NOPE x".to_owned()], ..BaseImage::default() };
    let bases = [("docker.io/library/base:1", broken)];
    assert_eq!(
        errors_of("FROM base:1\n", &Ask { bases: &bases, ..Ask::default() }),
        ["1:6: the base's ONBUILD \"NOPE x\": unknown instruction: NOPE (did you mean COPY?)"]
    );
}

#[test]
fn what_hangs_on_an_unknown_base_stays_as_written() {
    let text = "\
FROM unknown:1
ENV A=$HOME B=x
ENV C=$A-$B
WORKDIR rel
COPY $C$B .
RUN --mount=type=cache,target=c,mode=$MODE x
EXPOSE $PORT
STOPSIGNAL $SIG
WORKDIR /abs
COPY $B y
USER ${U:?needed}
";
    assert_eq!(
        plain(text),
        "\
stage 0 stage-0: from image docker.io/library/unknown:1 (target)
  0.1 ENV A=$HOME B=x  # depends on the base image
  0.2 ENV C=$HOME-x  # depends on the base image
  0.3 WORKDIR rel  # depends on the base image
  0.4 COPY $HOME-xx -> .  # depends on the base image
  0.5 RUN /bin/sh -c x
  0.6 EXPOSE   # depends on the base image
  0.7 STOPSIGNAL $SIG  # depends on the base image
  0.8 WORKDIR /abs
  0.9 COPY x -> /abs/y
  0.10 USER ${U:?needed}  # depends on the base image
"
    );
}

#[test]
fn plans_are_json_as_well() {
    let text = "FROM scratch AS a\n# check=skip=all\nCOPY --chmod=755 --from=b:1 x /y\nRUN --mount=type=secret,id=s [\"r\"]\n";
    let checked = checked(text, &Ask::default());
    let json = to_json(&checked.plan, &checked.file.source);
    assert_eq!(
        json,
        serde_json::json!({
            "target": 0,
            "stages": [{
                "index": 0,
                "name": "a",
                "line": 1,
                "base": { "type": "scratch" },
                "baseKnown": true,
                "target": true,
                "needed": true,
                "steps": [
                    {
                        "instruction": "COPY",
                        "text": "COPY --chmod=755 --from=b:1 x /y",
                        "lines": [3, 3],
                        "from": { "type": "image", "image": "docker.io/library/b:1" },
                        "sources": [{ "path": "x" }],
                        "destination": "/y",
                        "chmod": "755",
                    },
                    {
                        "instruction": "RUN",
                        "text": "RUN --mount=type=secret,id=s [\"r\"]",
                        "lines": [4, 4],
                        "arguments": ["r"],
                        "shell": false,
                        "mounts": [{
                            "type": "secret",
                            "id": "s",
                            "target": "/run/secrets/s",
                            "readOnly": true,
                        }],
                        "environment": {
                            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                        },
                        "workdir": "/",
                    },
                ],
            }],
            "images": ["docker.io/library/b:1"],
        })
    );
}

#[test]
fn images_that_look_like_stages_are_noted() {
    let text =
        "FROM scratch AS build\nFROM scratch\nCOPY --from=biuld a b\nCOPY --from=nginx:1 c d\n";
    let checked = checked(text, &Ask::default());
    let notes = checked.found.iter().filter(|found| found.severity == Severity::Note);
    let notes: Vec<String> = notes.map(|note| one_line(note, &checked.file.source)).collect();
    assert_eq!(
        notes,
        ["f:3:13: note: no stage is called biuld: this means an image (did you mean build?)"]
    );
}
