//! `--print-plan`.

use serde_json::Value;

use crate::support::program::Sandbox;

const FILE: &str = "\
# syntax=docker/dockerfile:1
ARG GO=1.22
FROM --platform=$BUILDPLATFORM golang:${GO} AS build
ARG TARGETARCH
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/root/.cache <<EOF
set -e
go build -o /out/app ./...
EOF

FROM build AS test
RUN go test ./...

FROM scratch
COPY --from=build --chmod=755 /out/app /usr/bin/
COPY <<config.json /etc/app/
{\"arch\": \"$ARCH\"}
config.json
ENV ARCH=x
USER 1000:1000
EXPOSE 8080 8443/tcp
ENTRYPOINT [\"/usr/bin/app\"]
";

#[test]
fn a_plan_is_a_text() {
    let sandbox = Sandbox::new();
    sandbox.write("work/Dockerfile", FILE);
    let args = ["--print-plan", "-q", "--platform", "linux/arm64", "--build-arg", "GO=1.23", "."];
    let out = sandbox.build(args).run().success();
    let host = creel::spec::Platform::host();
    assert_eq!(
        out.stdout,
        format!(
            "\
stage 0 build: from image docker.io/library/golang:1.23 ({host})
  0.1 ARG TARGETARCH=arm64
  0.2 WORKDIR /src
  0.3 COPY go.mod go.sum -> /src/
  0.4 RUN /bin/sh -c set -e\\ngo build -o /out/app ./...\\n  [cache /root/.cache at /root/.cache]

stage 1 test: from stage 0 build (not needed)

stage 2 stage-2: from scratch (target)
  2.1 COPY /out/app -> /usr/bin/ from stage 0 build
  2.2 COPY <<config.json -> /etc/app/
  2.3 ENV ARCH=x
  2.4 USER 1000:1000
  2.5 EXPOSE 8080/tcp 8443/tcp
  2.6 ENTRYPOINT [\"/usr/bin/app\"]
"
        )
    );
    assert_eq!(out.stderr, "");
}

#[test]
fn a_plan_is_json_for_programs() {
    let sandbox = Sandbox::new();
    sandbox.write("work/Dockerfile", FILE);
    let out = sandbox.build(["--json", "--print-plan", "--target=test", "."]).run().success();
    let plan: Value = serde_json::from_str(&out.stdout).expect("JSON");
    assert_eq!(plan["target"], 1);
    assert_eq!(plan["images"], serde_json::json!(["docker.io/library/golang:1.22"]));
    let stages = plan["stages"].as_array().expect("stages");
    let needed: Vec<&Value> = stages.iter().map(|stage| &stage["needed"]).collect();
    assert_eq!(needed, [true, true, false]);
    assert_eq!(plan["stages"][1]["needs"], serde_json::json!([0]));
    let step = &plan["stages"][0]["steps"][3];
    assert_eq!(step["lines"], serde_json::json!([7, 10]));
    assert_eq!(step["mounts"][0]["id"], "/root/.cache");
    assert_eq!(step["mounts"][0]["sharing"], "shared");
    assert_eq!(step["environment"]["TARGETARCH"], creel::spec::Platform::host().architecture);
}

#[test]
fn warnings_go_to_stderr() {
    let sandbox = Sandbox::new();
    sandbox.write("work/Dockerfile", FILE);
    let out = sandbox.build(["--print-plan", "."]).run().success();
    assert_eq!(
        out.stderr,
        "Dockerfile:17:6: warning: Usage of undefined variable '$ARCH' [UndefinedVar]\n"
    );
}

#[test]
fn contexts_replace_images() {
    let sandbox = Sandbox::new();
    sandbox.write("work/Dockerfile", "FROM alpine:latest\n");
    let context = "alpine=docker-image://localhost:5000/alpine";
    let out = sandbox.build(["--print-plan", "--build-context", context, "."]).run().success();
    assert_eq!(out.stdout, "stage 0 stage-0: from context alpine (target)\n");
}
