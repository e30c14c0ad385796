//! How many requests things take at a real registry, and that the bytes are right.

use super::distribution::Distribution;
use super::images::{copy, four_platforms};
use crate::registry::{Client, ClientOptions};
use crate::spec::Reference;
use crate::transport::{RegistrySink, RegistrySource, Sink as _, Source as _};

fn name(registry: &Distribution, rest: &str) -> Reference {
    Reference::parse(&format!("{}/{rest}", registry.host())).unwrap()
}

#[tokio::test]
async fn as_few_requests_as_possible() {
    let Some(mut registry) = Distribution::start("") else { return };
    let images = four_platforms();
    // Every step with a client of its own, as if with a process of its own.
    let sink = |rest: &str| {
        RegistrySink::new(&Client::new(ClientOptions::default()), &name(&registry, rest)).unwrap()
    };
    let source = |rest: &str| {
        RegistrySource::new(&Client::new(ClientOptions::default()), &name(&registry, rest)).unwrap()
    };
    let (first, again, other, other_again) =
        (sink("a/b:1"), sink("a/b:1"), sink("c:1"), sink("c:1"));
    let (from, from_again, read) = (source("a/b:1"), source("a/b:1"), source("c:1"));
    let mut count = |what: &str, expected: usize| {
        let requests = registry.requests();
        assert_eq!(requests.len(), expected, "{what}: {requests:#?}");
    };

    assert!(copy(&images, &first).await.unwrap());
    count("push", 20);
    assert!(!copy(&images, &again).await.unwrap());
    count("unchanged push", 1);
    assert!(copy(&from, &other).await.unwrap());
    count("copy within the registry", 18);
    assert!(!copy(&from_again, &other_again).await.unwrap());
    count("unchanged copy", 2);

    let root = read.read_root().await.unwrap();
    assert_eq!(root.raw(), images.root.raw());
    let child = &root.as_index().unwrap().manifests[0];
    let raw = read.open(child).await.unwrap().into_bytes(1 << 20).await.unwrap();
    let image = crate::spec::Manifest::verified(raw, child).unwrap();
    let config = &image.as_image().unwrap().config;
    let bytes = read.open(config).await.unwrap().into_bytes(1 << 20).await.unwrap();
    assert_eq!(bytes, images.content[&config.digest]);
    count("inspect", 3);

    for layer in &image.as_image().unwrap().layers {
        let bytes = read.open(layer).await.unwrap().into_bytes(1 << 20).await.unwrap();
        assert_eq!(bytes, images.content[&layer.digest]);
    }
    assert!(first.current().await.unwrap().is_some());
}
