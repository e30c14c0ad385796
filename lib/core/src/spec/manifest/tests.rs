use super::*;

fn hex(text: &str) -> String {
    Digest::sha256(text.as_bytes()).to_string()
}

fn descriptor(media_type: &str, name: &str) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":{}}}"#, hex(name), name.len())
}

const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const OCI: MediaType = MediaType::Manifest(Dialect::Oci);
const DOCKER: MediaType = MediaType::Manifest(Dialect::Docker);

/// An image manifest with `more` members.
fn image(config: &str, more: &str) -> String {
    let config = descriptor(config, "config");
    let layer = descriptor(OCI_LAYER, "layer");
    format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]{more}}}"#)
}

fn index(entry: &str, more: &str) -> String {
    format!(r#"{{"schemaVersion":2,"manifests":[{}]{more}}}"#, descriptor(entry, "entry"))
}

fn parse(text: &str, declared: Option<&MediaType>) -> Result<Manifest> {
    Manifest::parse(text.to_owned().into(), declared)
}

fn own_type(media_type: &str) -> String {
    format!(r#","mediaType":"{media_type}""#)
}

#[test]
fn a_type_that_nobody_names_is_guessed() {
    let docker_index = "application/vnd.docker.distribution.manifest.v2+json";
    let schema1 = format!(
        r#"{{"schemaVersion":1,"fsLayers":[{{"blobSum":"{}"}}],"history":[{{"v1Compatibility":"{{}}"}}]}}"#,
        hex("x")
    );
    for (text, expected) in [
        (image(OCI_CONFIG, ""), OCI),
        (image(DOCKER_CONFIG, ""), DOCKER),
        (image("application/vnd.cncf.helm.config.v1+json", ""), OCI),
        (image(DOCKER_CONFIG, r#","mediaType":null"#), DOCKER),
        (image(DOCKER_CONFIG, &own_type("")), DOCKER),
        // What it calls itself counts more than its config.
        (image(DOCKER_CONFIG, &own_type(&OCI.to_string())), OCI),
        (index(docker_index, ""), MediaType::Index(Dialect::Docker)),
        (index("application/vnd.oci.image.manifest.v1+json", ""), MediaType::Index(Dialect::Oci)),
        (r#"{"schemaVersion":2,"manifests":null}"#.to_owned(), MediaType::Index(Dialect::Oci)),
        (schema1, MediaType::Schema1(false)),
    ] {
        for declared in [None, Some(MediaType::parse("application/json; charset=utf-8"))] {
            let manifest = parse(&text, declared.as_ref()).unwrap();
            assert_eq!(*manifest.media_type(), expected, "{text}");
            assert_eq!(manifest.raw(), text.as_bytes());
            assert_eq!(*manifest.digest(), Digest::sha256(text.as_bytes()));
        }
    }
}

/// As Go reads them.
#[test]
fn nulls_are_empty_wherever_they_stand() {
    let nulls = r#","annotations":{"a":null},"subject":null,"artifactType":null"#;
    let text = image(OCI_CONFIG, nulls)
        .replace(r#""size":"#, r#""urls":[null],"annotations":{"b":null},"data":null,"size":"#);
    let manifest = parse(&text, None).unwrap();
    assert_eq!(manifest.as_image().unwrap().annotations["a"], "");
    assert_eq!(manifest.as_image().unwrap().config.annotations["b"], "");
    assert_eq!(manifest.raw(), text.as_bytes());
    let platform = r#""platform":{"os":null,"architecture":null,"variant":null,"os.features":[null],"features":null},"size":"#;
    let text =
        index(&OCI.to_string(), r#","annotations":{"a":null}"#).replace(r#""size":"#, platform);
    let manifest = parse(&text, None).unwrap();
    let entry = &manifest.as_index().unwrap().manifests[0];
    assert_eq!(entry.platform.as_ref().unwrap().os, "");
    assert_eq!(manifest.as_index().unwrap().annotations["a"], "");
}

#[test]
fn names_must_agree() {
    let text = image(OCI_CONFIG, &own_type(&OCI.to_string()));
    assert!(parse(&text, Some(&OCI)).is_ok());
    let error = parse(&text, Some(&DOCKER)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(
        error.to_string(),
        "manifest calls itself application/vnd.oci.image.manifest.v1+json but was announced as \
         application/vnd.docker.distribution.manifest.v2+json"
    );
    // Declared alone decides between equals, but not against the fields.
    assert_eq!(*parse(&image(OCI_CONFIG, ""), Some(&DOCKER)).unwrap().media_type(), DOCKER);
    let index_type = MediaType::Index(Dialect::Oci);
    assert_eq!(
        parse(&image(OCI_CONFIG, ""), Some(&index_type)).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    assert!(parse(&image(OCI_CONFIG, &own_type(&index_type.to_string())), None).is_err());
}

#[test]
fn documents_with_two_readings_are_refused() {
    for (text, kind) in [
        (image(OCI_CONFIG, r#","manifests":[]"#), ErrorKind::Invalid),
        (image(OCI_CONFIG, r#","fsLayers":[]"#), ErrorKind::Invalid),
        (image(OCI_CONFIG, r#","signatures":[]"#), ErrorKind::Invalid),
        (index(OCI_CONFIG, r#","layers":[]"#), ErrorKind::Invalid),
        (index(OCI_CONFIG, r#","config":null"#), ErrorKind::Invalid),
        (index(OCI_CONFIG, r#","history":[]"#), ErrorKind::Invalid),
        (image(OCI_CONFIG, r#","layers":[]"#), ErrorKind::Invalid),
        (image(OCI_CONFIG, r#","Layers":[]"#), ErrorKind::Invalid),
        (image(OCI_CONFIG, r#","MANIFESTS":[]"#), ErrorKind::Invalid),
        (image(OCI_CONFIG, r#","mediatype":"x""#), ErrorKind::Invalid),
        (image(OCI_CONFIG, r#","mediaType":7"#), ErrorKind::Invalid),
        (image(OCI_CONFIG, &own_type("text/plain")), ErrorKind::Unsupported),
        (image(OCI_CONFIG, "").replacen("\"size\"", "\"Size\":1,\"size\"", 1), ErrorKind::Invalid),
        (
            image(OCI_CONFIG, "").replace("\"layers\":[{", "\"layers\":[{\"DIGEST\":\"x\","),
            ErrorKind::Invalid,
        ),
        (
            index(OCI_CONFIG, "").replace("[{", r#"[{"platform":{"OS":"linux"},"#),
            ErrorKind::Invalid,
        ),
        (image(OCI_CONFIG, "").replace("Version\":2", "Version\":1"), ErrorKind::Invalid),
        (image(OCI_CONFIG, "").replace("Version\":2", "Version\":\"2\""), ErrorKind::Invalid),
        (image(OCI_CONFIG, "") + "{}", ErrorKind::Invalid),
        (r#"{"schemaVersion":2}"#.to_owned(), ErrorKind::Unsupported),
        ("[]".to_owned(), ErrorKind::Invalid),
        (String::new(), ErrorKind::Invalid),
    ] {
        let error = parse(&text, None).unwrap_err();
        assert_eq!(error.kind(), kind, "{text}: {error:?}");
    }
}

#[test]
fn broken_descriptors_are_refused() {
    let good = image(OCI_CONFIG, "");
    assert!(parse(&good, None).is_ok());
    for (from, to) in [
        (hex("layer"), "sha256:../../../etc/passwd".to_owned()),
        (hex("layer"), hex("layer").to_uppercase()),
        ("\"size\":5".to_owned(), "\"size\":-5".to_owned()),
        ("\"size\":5".to_owned(), "\"size\":5.5".to_owned()),
        ("\"size\":5".to_owned(), "\"size\":99999999999999999999".to_owned()),
        (",\"size\":5".to_owned(), String::new()),
        ("\"layers\":[".to_owned(), "\"layers\":[null,".to_owned()),
    ] {
        let bad = good.replace(&from, &to);
        assert_ne!(bad, good, "{from}");
        assert_eq!(parse(&bad, None).unwrap_err().kind(), ErrorKind::Invalid, "{to}");
    }
}

#[test]
fn inline_data_must_match() {
    let with = |data: &str| {
        let text = image(OCI_CONFIG, "");
        text.replace("\"size\":6}", &format!("\"size\":6,\"data\":\"{data}\"}}"))
    };
    // base64 of "config" and of "CONFIG"
    assert!(parse(&with("Y29uZmln"), None).is_ok());
    for bad in ["Q09ORklH", "Y29uZmlnZw==", "", "*"] {
        let error = parse(&with(bad), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{bad}");
        assert!(error.to_string().contains(&hex("config")), "{error}");
    }
}

#[test]
fn sizes_are_limited() {
    let layer = descriptor(OCI_LAYER, "layer");
    let many = |count: usize| {
        let layers = vec![layer.as_str(); count].join(",");
        format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[{layers}]}}"#,
            descriptor(OCI_CONFIG, "config")
        )
    };
    assert_eq!(parse(&many(500), None).unwrap().as_image().unwrap().layers.len(), 500);
    let error = parse(&many(501), None).unwrap_err();
    assert_eq!(error.to_string(), "manifest has 501 layers, more than the limit of 500");
    let huge = image(OCI_CONFIG, &format!(",\"x\":\"{}\"", " ".repeat(4 << 20)));
    assert!(parse(&huge, None).unwrap_err().to_string().contains("larger than the limit"));
}

#[test]
fn bytes_are_checked_against_their_descriptor() {
    let text = image(OCI_CONFIG, "");
    let right = parse(&text, None).unwrap().descriptor();
    let verified = |text: &str, descriptor: &Descriptor| {
        Manifest::verified(text.to_owned().into(), descriptor)
    };
    assert_eq!(verified(&text, &right).unwrap().digest(), &right.digest);
    let sha512 =
        Descriptor { digest: Digest::compute(Algorithm::Sha512, text.as_bytes()), ..right.clone() };
    assert_eq!(verified(&text, &sha512).unwrap().digest(), &sha512.digest);
    let other = text.replace("layers\":[{", "layers\": [{").replacen(":2", ": 2", 1);
    let same_length = text.replace(&hex("layer"), &hex("other"));
    for (bytes, word) in [(other.as_str(), "expected"), (same_length.as_str(), "other bytes")] {
        let error = verified(bytes, &right).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn children_come_in_order() {
    let manifest = parse(&image(OCI_CONFIG, ""), None).unwrap();
    let digests: Vec<String> = manifest.children().iter().map(|c| c.digest.to_string()).collect();
    assert_eq!(digests, [hex("config"), hex("layer")]);
    assert!(manifest.subject().is_none());
    let subject = format!(r#","subject":{}"#, descriptor("text/plain", "about"));
    let manifest = parse(&image(OCI_CONFIG, &subject), None).unwrap();
    assert_eq!(manifest.subject().unwrap().digest.to_string(), hex("about"));
    assert_eq!(manifest.children().len(), 2, "a subject is no child");
}

#[test]
fn images_are_told_from_artifacts() {
    for (config, more, expected) in [
        (OCI_CONFIG, "", true),
        (DOCKER_CONFIG, "", true),
        ("application/octet-stream", "", true),
        ("", "", true),
        ("application/octet-stream", r#","artifactType":"a/b""#, false),
        ("application/vnd.oci.empty.v1+json", "", false),
        ("application/vnd.cncf.helm.config.v1+json", "", false),
    ] {
        let manifest = parse(&image(config, more), None).unwrap();
        assert_eq!(manifest.as_image().unwrap().is_image(), expected, "{config}");
    }
    let text = image("application/json", "").replace(OCI_LAYER, "text/plain");
    assert!(!parse(&text, None).unwrap().as_image().unwrap().is_image());
}
