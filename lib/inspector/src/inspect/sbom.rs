//! Bills of materials: SPDX 2.3 and CycloneDX 1.6, both as JSON.
//!
//! The same image gives the same bytes: identifiers are made from digests, and the only time told is
//! that of the image.

use serde_json::{Value, json};

use crate::packages::{Findings, Package};
use crate::spec::{Digest, Image};

/// Which document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SbomFormat {
    /// SPDX 2.3.
    Spdx,
    /// CycloneDX 1.6.
    CycloneDx,
}

/// The time of images that tell none.
const NO_TIME: &str = "1970-01-01T00:00:00Z";
const TOOL: &str = concat!("creel-inspect-", env!("CARGO_PKG_VERSION"));

/// Writes down what an image called `name` is made of.
pub fn sbom(name: &str, image: &Image, findings: &Findings, format: SbomFormat) -> Value {
    match format {
        SbomFormat::Spdx => spdx(name, image, findings),
        SbomFormat::CycloneDx => cyclonedx(name, image, findings),
    }
}

/// The image's time with whole seconds and `Z`, as SPDX wants it.
fn created(image: &Image) -> String {
    let told = image.config().fields().created.as_deref().unwrap_or(NO_TIME);
    match told.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Err(_) => NO_TIME.to_owned(),
    }
}

/// A package's own number, the same for the same package.
fn key(package: &Package, findings: &Findings) -> Digest {
    let purl = package.purl(findings.release.as_ref());
    Digest::sha256(format!("{purl}\0{}", package.found_in).as_bytes())
}

fn spdx(name: &str, image: &Image, findings: &Findings) -> Value {
    let digest = image.manifest().digest();
    let root = "SPDXRef-image";
    let mut packages = vec![json!({
        "SPDXID": root,
        "name": name,
        "versionInfo": digest.to_string(),
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{"algorithm": algorithm(digest), "checksumValue": digest.hex()}],
    })];
    let mut relations = vec![json!({
        "spdxElementId": "SPDXRef-DOCUMENT",
        "relationshipType": "DESCRIBES",
        "relatedSpdxElement": root,
    })];
    let mut others = std::collections::BTreeMap::new();
    for package in &findings.packages {
        let key = key(package, findings);
        let id = format!("SPDXRef-Package-{}-{}", package.ecosystem, &key.hex()[..16]);
        let declared = match package.license.as_deref() {
            None => "NOASSERTION".to_owned(),
            Some(text) if is_expression(text) => text.to_owned(),
            Some(text) => {
                let reference = Digest::sha256(text.as_bytes());
                let reference = format!("LicenseRef-{}", &reference.hex()[..16]);
                others.insert(reference.clone(), text.to_owned());
                reference
            }
        };
        let mut entry = json!({
            "SPDXID": id,
            "name": package.name,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": declared,
            "copyrightText": "NOASSERTION",
            "sourceInfo": format!("found in {}", package.found_in),
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": package.purl(findings.release.as_ref()),
            }],
        });
        if !package.version.is_empty() {
            entry["versionInfo"] = json!(package.version);
        }
        packages.push(entry);
        relations.push(json!({
            "spdxElementId": root,
            "relationshipType": "CONTAINS",
            "relatedSpdxElement": id,
        }));
    }
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": format!(
            "https://spdx.org/spdxdocs/creel-{}-{}", digest.algorithm().as_str(), digest.hex()
        ),
        "creationInfo": {"created": created(image), "creators": [format!("Tool: {TOOL}")]},
        "packages": packages,
        "relationships": relations,
    });
    if !others.is_empty() {
        let texts = others
            .iter()
            .map(|(id, text)| json!({"licenseId": id, "extractedText": text, "name": text}));
        document["hasExtractedLicensingInfos"] = texts.collect();
    }
    document
}

fn cyclonedx(name: &str, image: &Image, findings: &Findings) -> Value {
    let digest = image.manifest().digest();
    let components: Vec<Value> = findings
        .packages
        .iter()
        .map(|package| {
            let purl = package.purl(findings.release.as_ref());
            let mut component = json!({
                "type": "library",
                "bom-ref": format!("{purl}#{}", &key(package, findings).hex()[..16]),
                "name": package.name,
                "version": package.version,
                "purl": purl,
                "evidence": {"occurrences": [{"location": package.found_in}]},
            });
            if let Some(license) = &package.license {
                component["licenses"] = match is_expression(license) {
                    true => json!([{"expression": license}]),
                    false => json!([{"license": {"name": license}}]),
                };
            }
            component
        })
        .chain(findings.release.iter().map(|release| {
            json!({
                "type": "operating-system",
                "bom-ref": format!("os:{}", release.id),
                "name": release.id,
                "version": release.version,
                "description": release.name,
            })
        }))
        .collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", uuid(digest)),
        "version": 1,
        "metadata": {
            "timestamp": created(image),
            "tools": {"components": [{
                "type": "application",
                "name": "creel-inspect",
                "version": env!("CARGO_PKG_VERSION"),
            }]},
            "component": {
                "type": "container",
                "bom-ref": digest.to_string(),
                "name": name,
                "version": digest.to_string(),
            },
        },
        "components": components,
    })
}

fn algorithm(digest: &Digest) -> String {
    digest.algorithm().as_str().to_uppercase()
}

/// A UUID made from a digest (RFC 9562, version 8).
fn uuid(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("{}-{}-8{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

/// Whether a text is a licence expression of identifiers that are surely on SPDX's list.
fn is_expression(text: &str) -> bool {
    const KNOWN: &[&str] = &[
        "0BSD",
        "AFL-2.1",
        "AGPL-3.0-only",
        "AGPL-3.0-or-later",
        "Apache-2.0",
        "Artistic-1.0",
        "Artistic-2.0",
        "BlueOak-1.0.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSD-4-Clause",
        "BSL-1.0",
        "CC-BY-3.0",
        "CC-BY-4.0",
        "CC0-1.0",
        "CDDL-1.0",
        "EPL-1.0",
        "EPL-2.0",
        "FTL",
        "GFDL-1.3-only",
        "GPL-1.0-or-later",
        "GPL-2.0-only",
        "GPL-2.0-or-later",
        "GPL-3.0-only",
        "GPL-3.0-or-later",
        "HPND",
        "ICU",
        "ISC",
        "LGPL-2.0-only",
        "LGPL-2.0-or-later",
        "LGPL-2.1-only",
        "LGPL-2.1-or-later",
        "LGPL-3.0-only",
        "LGPL-3.0-or-later",
        "MIT",
        "MIT-0",
        "MPL-1.1",
        "MPL-2.0",
        "OFL-1.1",
        "OpenSSL",
        "PostgreSQL",
        "PSF-2.0",
        "Python-2.0",
        "Ruby",
        "Sleepycat",
        "Unicode-3.0",
        "Unicode-DFS-2016",
        "Unlicense",
        "Vim",
        "W3C",
        "WTFPL",
        "X11",
        "Zlib",
        "ZPL-2.1",
        "bzip2-1.0.6",
        "curl",
        "libtiff",
    ];
    let (mut depth, mut want_name) = (0_i32, true);
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    for word in spaced.split_whitespace() {
        match (word, want_name) {
            ("(", true) => depth += 1,
            (")", false) => depth -= 1,
            ("AND" | "OR", false) => want_name = true,
            (name, true) if KNOWN.contains(&name) => want_name = false,
            _ => return false,
        }
        if depth < 0 {
            return false;
        }
    }
    depth == 0 && !want_name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_told_from_other_texts() {
        for good in ["MIT", "MIT OR Apache-2.0", "(MIT AND (ISC OR Zlib))"] {
            assert!(is_expression(good), "{good}");
        }
        for bad in ["", "MIT AND", "GPL", "BSD License", "MIT)", "(MIT", "MIT Apache-2.0"] {
            assert!(!is_expression(bad), "{bad}");
        }
    }

    #[test]
    fn serial_numbers_are_uuids() {
        let uuid = uuid(&Digest::sha256(b""));
        assert_eq!(uuid, "e3b0c442-98fc-8c14-8afb-f4c8996fb924");
    }
}
